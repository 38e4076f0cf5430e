/// Steps through one JSON text and gives the places of its parts, without making values of them: for messages of which little is
/// read and most is handed on as it came. It refuses what ``JSONValue/init(parsing:limits:)-(Collection<UInt8>,_)`` refuses.
///
/// At the start, and after each name or element, exactly one value is to be taken: by ``enterObject()``, ``enterArray()``, ``text()``
/// or ``skip()``.
public struct JSONScanner {
    /// A text as it stands there.
    public struct Text: Sendable {
        /// Where it is, without its quotes.
        public let range: Range<Int>
        /// Whether the bytes there are not simply its UTF-8.
        public let hasEscapes: Bool
    }

    private var parser: JSONParser
    /// The next thing in the present object or array is the first.
    private var isFirst = true

    /// Begins at the start of a text.
    public init(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) {
        guard bytes.count <= limits.bytes else { throw .tooLong }
        parser = JSONParser(bytes: bytes, limits: limits)
    }

    /// Enters the next value if it is an object; else passes over it.
    public mutating func enterObject() throws(JSONError) -> Bool { try enter(UInt8(ascii: "{")) }

    /// Enters the next value if it is an array; else passes over it.
    public mutating func enterArray() throws(JSONError) -> Bool { try enter(UInt8(ascii: "[")) }

    private mutating func enter(_ opening: UInt8) throws(JSONError) -> Bool {
        guard try parser.token() == opening else {
            _ = try skip()
            return false
        }
        try parser.enter()
        isFirst = true
        return true
    }

    /// The name of the next member of the present object; `nil` at its end, which is left then.
    public mutating func nextName() throws(JSONError) -> Text? {
        guard try hasNext(before: UInt8(ascii: "}")) else { return nil }
        let name = try parser.name()
        return Text(range: name.range, hasEscapes: name.hasEscapes)
    }

    /// Whether there is one more element in the present array; it is left when there is none.
    public mutating func nextElement() throws(JSONError) -> Bool { try hasNext(before: UInt8(ascii: "]")) }

    private mutating func hasNext(before end: UInt8) throws(JSONError) -> Bool {
        let byte = try parser.token()
        defer { isFirst = false }
        if byte == end {
            parser.leave()
            return false
        }
        if isFirst { return true }
        guard byte == UInt8(ascii: ",") else { throw .unexpectedByte(offset: parser.index) }
        parser.step()
        return true
    }

    /// Whether the next value is an array.
    public mutating func isAtArray() throws(JSONError) -> Bool { try parser.token() == UInt8(ascii: "[") }

    /// Where the next value begins.
    public mutating func placeOfNext() throws(JSONError) -> Int {
        _ = try parser.token()
        return parser.index
    }

    /// Where the last value ended.
    public var place: Int { parser.index }

    /// The next value if it is a text; else passes over it.
    public mutating func text() throws(JSONError) -> Text? {
        guard try parser.token() == UInt8(ascii: "\"") else {
            _ = try skip()
            return nil
        }
        let text = try parser.textValue()
        return Text(range: text.range, hasEscapes: text.hasEscapes)
    }

    /// Passes over the next value and tells where it is.
    @discardableResult
    public mutating func skip() throws(JSONError) -> Range<Int> {
        _ = try parser.token()
        let start = parser.index
        try parser.skip()
        return start..<parser.index
    }

    /// To be called when the value is taken whole: nothing may follow it.
    public mutating func finish() throws(JSONError) {
        do {
            _ = try parser.token()
        } catch .unexpectedEnd {
            return
        }
        throw .unexpectedByte(offset: parser.index)
    }

    /// Whether a text is this one, which is ASCII.
    public func matches(_ text: Text, _ literal: StaticString) -> Bool {
        if text.hasEscapes { return value(of: text) == JSONText(literal.description) }
        guard text.range.count == literal.utf8CodeUnitCount else { return false }
        for place in 0..<text.range.count {
            // The literal is as long.
            guard unsafe parser.bytes[text.range.lowerBound + place] == literal.utf8Start[place] else { return false }
        }
        return true
    }

    /// The text itself.
    public func value(of text: Text) -> JSONText {
        guard text.hasEscapes else { return JSONText(wtf8: Array(parser.bytes[text.range])) }
        let quoted = parser.bytes[text.range.lowerBound - 1...text.range.upperBound]
        // It was scanned, so it can be parsed.
        return (try? JSONValue(parsing: quoted, limits: JSONLimits(bytes: .max)))?.text ?? JSONText("")
    }
}
