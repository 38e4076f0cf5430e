internal import SwarmBase

/// Finds the STUN messages and ChannelData in the bytes of a TCP or TLS connection to a TURN server (RFC 8656 §12.5).
struct TURNStreamReader: Sendable {
    /// The bytes are neither STUN nor ChannelData: nothing after them can be understood.
    struct NotTURN: Error, Equatable {}

    private var buffer: [UInt8] = []
    private var start = 0

    /// How many bytes wait for the rest of their frame: less than 65 556 after ``next()`` has returned `nil`.
    var bufferedCount: Int { buffer.count - start }

    /// Adds what has come.
    mutating func append(_ bytes: [UInt8]) {
        if start > 0 {
            buffer.removeSubrange(..<start)
            start = 0
        }
        buffer += bytes
    }

    /// The next whole frame, padding included; `nil` when the rest has yet to come.
    mutating func next() throws(NotTURN) -> [UInt8]? {
        guard bufferedCount > 0 else { return nil }
        let first = buffer[start]
        guard first < 4 || (64...79).contains(first) else { throw NotTURN() }
        guard bufferedCount >= 4 else { return nil }
        let length = Int(buffer[start + 2]) << 8 | Int(buffer[start + 3])
        let count: Int
        if first < 4 {
            guard length.isMultiple(of: 4) else { throw NotTURN() }
            count = 20 + length
            if bufferedCount >= 8 {
                guard buffer[start + 4..<start + 8].elementsEqual([0x21, 0x12, 0xa4, 0x42]) else { throw NotTURN() }
            }
        } else {
            count = ChannelData.headerCount + (length + 3) / 4 * 4
        }
        guard bufferedCount >= count else { return nil }
        defer { start += count }
        return Array(buffer[start..<start + count])
    }
}
