/// Writes a message straight into its bytes. The caller keeps a dictionary's keys in ascending order and closes what it opens.
public struct BencodeWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init(capacity: Int = 128) { bytes.reserveCapacity(capacity) }

    public mutating func beginDictionary() { bytes.append(UInt8(ascii: "d")) }

    public mutating func beginList() { bytes.append(UInt8(ascii: "l")) }

    /// Closes the innermost list or dictionary.
    public mutating func end() { bytes.append(UInt8(ascii: "e")) }

    public mutating func integer(_ value: Int64) {
        bytes.append(UInt8(ascii: "i"))
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        decimal(value.magnitude)
        bytes.append(UInt8(ascii: "e"))
    }

    /// A byte string.
    public mutating func string(_ content: some Collection<UInt8>) {
        decimal(UInt64(content.count))
        bytes.append(UInt8(ascii: ":"))
        bytes.append(contentsOf: content)
    }

    /// A key; its value is what is written next.
    public mutating func key(_ name: String) { string(name.utf8) }

    /// A value that is encoded already.
    public mutating func encoded(_ value: some Collection<UInt8>) { bytes.append(contentsOf: value) }

    private mutating func decimal(_ value: UInt64) {
        if value >= 10 { decimal(value / 10) }
        bytes.append(0x30 + UInt8(value % 10))
    }
}
