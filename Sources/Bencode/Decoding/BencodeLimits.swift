/// What a decoder takes at most. Everything is checked before memory is asked for.
public struct BencodeLimits: Sendable {
    /// How many lists and dictionaries may be open at once. 99 is what libtorrent takes: it refuses the hundredth.
    public var depth: Int
    /// How many values, keys included, there may be in all.
    public var items: Int
    /// How many bytes the input may have.
    public var bytes: Int

    public init(depth: Int = 99, items: Int = 100_000, bytes: Int = 1 << 24) {
        self.depth = depth
        self.items = items
        // Positions are kept in 32 bits.
        self.bytes = min(bytes, Int(Int32.max))
    }

    /// For one datagram of the DHT: 10 deep, 500 values (libtorrent's limits), the size of a UDP payload.
    public static let datagram = BencodeLimits(depth: 10, items: 500, bytes: 65_507)
}

/// How much a decoder lets pass.
public enum BencodeStrictness: Sendable {
    /// The one canonical form only: keys strictly ascending.
    case canonical
    /// Dictionaries in any order, as other programs send them; of equal keys the last one counts.
    case lenient
}

/// Why bytes are not a value.
public enum BencodeError: Error, Equatable, Sendable {
    /// The input ends inside a value.
    case endOfInput
    /// No value begins with this byte.
    case notAValue(at: Int)
    /// No digits, a leading zero, a minus zero, or another character.
    case malformedInteger(at: Int)
    /// The integer does not fit 64 bits with sign.
    case integerTooLarge(at: Int)
    /// The length of a byte string is malformed or larger than what is left.
    case malformedLength(at: Int)
    /// A dictionary's key is no byte string.
    case keyNotBytes(at: Int)
    /// A dictionary's key is not greater than the one before (canonical decoding only).
    case keysNotAscending(at: Int)
    /// There are bytes behind the value.
    case trailingBytes(at: Int)
    case tooDeep
    case tooManyItems
    case tooManyBytes
}
