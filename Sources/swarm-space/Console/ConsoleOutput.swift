import Dispatch
import Glibc

/// Writes whole lines to standard output and standard error, in order, without making the caller wait for the reader.
final class ConsoleOutput: Sendable {
    private let queue = DispatchQueue(label: "console output")

    init() {
        // A reader that goes away is no reason to die before the peers have been told.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Writes one line to standard output.
    func line(_ bytes: [UInt8]) { write(bytes + [UInt8(ascii: "\n")], to: STDOUT_FILENO) }

    /// Writes one line to standard output.
    func line(_ text: String) { line(Array(text.utf8)) }

    /// Writes to standard output what is no whole line: a prompt.
    func text(_ text: String) { write(Array(text.utf8), to: STDOUT_FILENO) }

    /// Writes one line to standard error: for people, never for programs.
    func note(_ text: String) { write(Array("\(text)\n".utf8), to: STDERR_FILENO) }

    /// Returns when everything is written.
    func flush() { queue.sync {} }

    /// Waits until everything is written: so that a reader who does not keep up slows down who writes.
    func written() async {
        await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
    }

    private func write(_ bytes: [UInt8], to descriptor: CInt) {
        queue.async {
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { return }
                rest = rest.dropFirst(written)
            }
        }
    }
}
