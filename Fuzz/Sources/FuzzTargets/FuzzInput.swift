import SwarmBase

/// An input read as a script: numbers decide what happens next, pieces of bytes are what it happens with.
///
/// Behind its end there are only zeros, so every input is a script.
struct FuzzInput {
    private let bytes: [UInt8]
    private var index = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { index >= bytes.count }

    mutating func byte() -> UInt8 {
        guard index < bytes.count else { return 0 }
        defer { index += 1 }
        return bytes[index]
    }

    mutating func word() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }

    /// A number below `bound`.
    mutating func choice(_ bound: Int) -> Int { Int(byte()) % bound }

    /// A piece with its length in two bytes before it; shorter where the script ends.
    mutating func piece() -> [UInt8] {
        let count = min(Int(word()), bytes.count - index)
        defer { index += count }
        return Array(bytes[index..<index + count])
    }

    /// What is left, up to a zero byte: for scripts whose pieces are texts.
    mutating func text() -> [UInt8] {
        let end = bytes[index...].firstIndex(of: 0) ?? bytes.count
        defer { index = min(end + 1, bytes.count) }
        return Array(bytes[index..<end])
    }

    /// 0 to 255 of a unit that goes from a millisecond to a minute.
    mutating func duration() -> Duration {
        let value = byte()
        let unit: Duration = [.milliseconds(1), .milliseconds(40), .seconds(1), .seconds(60)][Int(value >> 6)]
        return unit * Int(value & 63)
    }
}
