import Dispatch
import Glibc

/// Reads standard input line by line, on a thread of its own: standard input may be a file, which no event loop polls.
struct ConsoleInput: Sendable {
    /// One line, or why there is none.
    enum Line: Sendable {
        /// Without its end.
        case bytes([UInt8])
        /// It was longer than the limit and has been skipped.
        case tooLong
    }

    /// The longest line in bytes.
    let maximumLineLength: Int

    /// Begins to read.
    ///
    /// - Parameters:
    ///   - onLine: called for each line on that thread; the next one is read when it returns.
    ///   - onEnd: called once, when there is nothing more to read.
    func start(onLine: @escaping @Sendable (Line) -> Void, onEnd: @escaping @Sendable () -> Void) {
        let limit = maximumLineLength
        DispatchQueue(label: "console input").async {
            var splitter = LineSplitter(limit: limit)
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(STDIN_FILENO, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                for line in splitter.append(buffer[..<count]) { onLine(line) }
            }
            if let last = splitter.finish() { onLine(last) }
            onEnd()
        }
    }
}

/// Cuts a stream of bytes into lines of bounded length.
struct LineSplitter {
    let limit: Int
    private var current: [UInt8] = []
    private var isSkipping = false

    init(limit: Int) { self.limit = limit }

    /// Takes more bytes and gives the lines that they complete.
    mutating func append(_ bytes: ArraySlice<UInt8>) -> [ConsoleInput.Line] {
        var lines: [ConsoleInput.Line] = []
        var rest = bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            take(rest[..<end])
            rest = rest[(end + 1)...]
            if let line = finish() { lines.append(line) }
        }
        take(rest)
        return lines
    }

    /// Ends the current line; `nil` when it is empty.
    mutating func finish() -> ConsoleInput.Line? {
        defer {
            current = []
            isSkipping = false
        }
        if isSkipping { return .tooLong }
        if current.last == UInt8(ascii: "\r") { current.removeLast() }
        return current.isEmpty ? nil : .bytes(current)
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) {
        guard !isSkipping else { return }
        if current.count + bytes.count > limit {
            current = []
            isSkipping = true
        } else {
            current += bytes
        }
    }
}
