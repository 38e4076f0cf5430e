public import JSON
import SwarmBase

/// The id of one message. Peers remember ids and drop what they have seen, so ours are long and random.
public struct MessageID: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The text, as received.
    public let text: JSONText

    public init(_ text: JSONText) { self.text = text }

    public init(stringLiteral value: String) { text = JSONText(value) }

    public var description: String { text.string }

    /// The characters that gun.js makes its ids of.
    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXZabcdefghijklmnopqrstuvwxyz".utf8)

    /// A new id: 12 characters, 71 bits.
    static func random(using entropy: inout Entropy) -> MessageID {
        MessageID(JSONText(latin1: (0..<12).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &entropy)] }))
    }
}

/// One connection to a peer, as its owner numbers it.
public struct LinkID: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
    public let number: UInt64

    public init(_ number: UInt64) { self.number = number }

    public init(integerLiteral value: UInt64) { number = value }

    public var description: String { "link \(number)" }

    public static func < (a: LinkID, b: LinkID) -> Bool { a.number < b.number }
}
