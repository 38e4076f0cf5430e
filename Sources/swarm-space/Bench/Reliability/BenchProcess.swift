import Foundation
import Glibc
import JSON
import SwarmBase
import Synchronization

/// One `swarm-space … --json` as a process of its own: takes commands, and keeps what it says with the moment at which it came.
final class BenchProcess: Sendable {
    typealias Moment = ContinuousClock.Instant

    struct Event: Sendable {
        let at: Moment
        let value: JSONValue

        var name: String? { value["event"]?.string }
    }

    private let process: Process
    private let input: Int32
    /// Held so that the descriptor stays open.
    private let inputPipe: Pipe
    private let said = Mutex<[Event]>([])

    /// Starts it.
    ///
    /// - Parameter within: a command that runs another one, such as `ip netns exec NAME`; empty for none.
    init(_ arguments: [String], within: [String] = []) throws {
        let binary = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path
        let command = within + [binary] + arguments
        let process = Process()
        let output = Pipe()
        inputPipe = Pipe()
        input = inputPipe.fileHandleForWriting.fileDescriptor
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardInput = inputPipe
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        let descriptor = dup(output.fileHandleForReading.fileDescriptor)
        Thread.detachNewThread { [self] in read(descriptor) }
    }

    private func read(_ descriptor: Int32) {
        defer { _ = close(descriptor) }
        var line: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            let now = ContinuousClock.now
            for byte in chunk[..<count] {
                if byte != UInt8(ascii: "\n") {
                    line.append(byte)
                } else {
                    if let value = try? JSONValue(parsing: line) {
                        said.withLock { $0.append(Event(at: now, value: value)) }
                    }
                    line = []
                }
            }
        }
    }

    /// What it has said so far.
    var events: [Event] { said.withLock { $0 } }

    /// Gives it a command. One whose process has ended is lost.
    func command(_ value: JSONValue) {
        let line = value.serialized() + [UInt8(ascii: "\n")]
        // A line is far shorter than what a pipe takes in one piece.
        _ = unsafe line.withUnsafeBytes { unsafe write(input, $0.baseAddress, $0.count) }
    }

    /// Waits until it says something.
    func wait(_ what: String, within limit: Duration = .seconds(30), for match: (Event) -> Bool) async throws -> Event {
        let deadline = ContinuousClock.now + limit
        while true {
            if let event = events.first(where: match) { return event }
            guard ContinuousClock.now < deadline else {
                throw CommandFailure(.failed, "a trial was given up: waited \(limit) for \(what)")
            }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Ends it without a word (SIGKILL), or in good order.
    func end(killed: Bool = false) {
        guard process.isRunning else { return }
        kill(process.processIdentifier, killed ? SIGKILL : SIGTERM)
        process.waitUntilExit()
    }
}
