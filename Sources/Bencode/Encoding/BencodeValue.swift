/// A value by itself, to be encoded; the encoding is always the canonical one.
public enum BencodeValue: Hashable, Sendable {
    case integer(Int64)
    case bytes([UInt8])
    case list([BencodeValue])
    case dictionary([[UInt8]: BencodeValue])

    /// The canonical encoding.
    public var encoded: [UInt8] {
        var writer = BencodeWriter()
        write(to: &writer)
        return writer.bytes
    }

    /// Appends the canonical encoding.
    func write(to writer: inout BencodeWriter) {
        switch self {
        case .integer(let value): writer.integer(value)
        case .bytes(let bytes): writer.string(bytes)
        case .list(let values):
            writer.beginList()
            for value in values { value.write(to: &writer) }
            writer.end()
        case .dictionary(let entries):
            writer.beginDictionary()
            for (key, value) in entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                writer.string(key)
                value.write(to: &writer)
            }
            writer.end()
        }
    }
}

extension BencodeValue: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(integerLiteral value: Int64) { self = .integer(value) }

    public init(stringLiteral value: String) { self = .bytes(Array(value.utf8)) }

    public init(arrayLiteral elements: BencodeValue...) { self = .list(elements) }

    /// Of equal keys the last one counts.
    public init(dictionaryLiteral elements: (String, BencodeValue)...) {
        self = .dictionary(
            Dictionary(elements.map { (Array($0.0.utf8), $0.1) }, uniquingKeysWith: { $1 }))
    }
}
