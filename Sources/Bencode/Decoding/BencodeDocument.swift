/// A decoded input: the bytes as they came, and where in them each value is.
///
/// Nothing is copied out until it is asked for, and each value knows its own bytes: what is hashed or signed is hashed as received,
/// never as encoded anew (an unsorted `info` dictionary would get another hash).
public struct BencodeDocument: Sendable {
    /// One value; those inside a list or dictionary follow it directly.
    struct Element: Sendable {
        var kind: BencodeKind
        /// Where the value's encoding begins.
        var start: Int32
        /// Where its content begins: the digits, the bytes, the first member.
        var content: Int32
        /// Where its encoding ends.
        var end: Int32
        /// The index behind the last element inside it.
        var next: Int32
    }

    let bytes: [UInt8]
    let elements: [Element]

    /// Decodes exactly one value that uses all of `bytes`.
    public init(
        decoding bytes: [UInt8], as strictness: BencodeStrictness = .canonical, limits: BencodeLimits = BencodeLimits()
    ) throws(BencodeError) {
        try self.init(decodingPrefixOf: bytes, as: strictness, limits: limits)
        guard byteCount == bytes.count else { throw .trailingBytes(at: byteCount) }
    }

    /// Decodes the value at the beginning of `bytes`; what follows it is left alone (`ut_metadata` puts raw data there).
    public init(
        decodingPrefixOf bytes: [UInt8], as strictness: BencodeStrictness = .canonical,
        limits: BencodeLimits = BencodeLimits()
    ) throws(BencodeError) {
        var parser = BencodeParser(bytes, strictness: strictness, limits: limits)
        try parser.parse()
        self.bytes = bytes
        elements = parser.elements
    }

    /// The value.
    public var root: BencodeNode { BencodeNode(document: self, index: 0) }

    /// How many bytes the value uses.
    public var byteCount: Int { Int(elements[0].end) }
}

/// The four kinds of values of BEP 3.
public enum BencodeKind: UInt8, Sendable {
    case integer, bytes, list, dictionary
}
