public import JSON

/// The unique text id of a node. Any text but the empty one, opaque to us: no character is special.
public struct Soul: Hashable, Comparable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The text; never empty.
    public let text: JSONText

    /// - Returns: `nil` for the empty text, which names nothing.
    public init?(_ text: JSONText) {
        if text.isEmpty { return nil }
        self.text = text
    }

    /// - Returns: `nil` for the empty text, which names nothing.
    public init?(_ string: String) { self.init(JSONText(string)) }

    /// A soul written in the source.
    ///
    /// - Precondition: not empty.
    public init(stringLiteral value: String) {
        precondition(!value.isEmpty, "a soul is not empty")
        text = JSONText(value)
    }

    public var description: String { text.string }

    /// For how many seconds what is written to it counts, when it ends in or contains `<?n` (gun.md §10.6).
    public var lifetime: Double? {
        let mark = Array("<?".utf8)
        let bytes = text.utf8
        guard bytes.count > 2 else { return nil }
        var at = 0
        while at + 2 < bytes.count, bytes[at] != mark[0] || bytes[at + 1] != mark[1] { at += 1 }
        let digits = bytes[(at + 2)...].prefix { 0x30...0x39 ~= $0 }.prefix(9)
        guard at + 2 < bytes.count, let seconds = Int(String(decoding: digits, as: UTF8.self)), seconds > 0 else {
            return nil
        }
        return Double(seconds)
    }

    public static func < (a: Soul, b: Soul) -> Bool { a.text < b.text }
}

/// The name of one value in a node. Any text but the empty one and `_`, which holds a node's metadata on the wire.
public struct Key: Hashable, Comparable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The text; neither empty nor `_`.
    public let text: JSONText

    static let reserved: JSONText = "_"

    /// - Returns: `nil` for the empty text and for `_`.
    public init?(_ text: JSONText) {
        if text.isEmpty || text == Key.reserved { return nil }
        self.text = text
    }

    /// - Returns: `nil` for the empty text and for `_`.
    public init?(_ string: String) { self.init(JSONText(string)) }

    /// A key written in the source.
    ///
    /// - Precondition: neither empty nor `_`.
    public init(stringLiteral value: String) {
        precondition(!value.isEmpty && value != "_", "a key is neither empty nor \"_\"")
        text = JSONText(value)
    }

    public var description: String { text.string }

    public static func < (a: Key, b: Key) -> Bool { a.text < b.text }
}
