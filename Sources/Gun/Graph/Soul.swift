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
