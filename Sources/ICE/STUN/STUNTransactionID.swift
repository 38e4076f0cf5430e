/// The 96-bit transaction id of a STUN message (RFC 8489 §5): the only thing that ties an answer to its request.
public struct STUNTransactionID: Hashable, Comparable, Sendable {
    let high: UInt64
    let low: UInt32

    public static func < (a: STUNTransactionID, b: STUNTransactionID) -> Bool { (a.high, a.low) < (b.high, b.low) }

    /// An id from the generator; unpredictable when the generator is.
    public static func random(using generator: inout some RandomNumberGenerator) -> STUNTransactionID {
        let high = generator.next()
        return STUNTransactionID(high: high, low: UInt32(truncatingIfNeeded: generator.next()))
    }

    init(high: UInt64, low: UInt32) {
        self.high = high
        self.low = low
    }

    /// The id in the header of a datagram that is known to have 20 bytes.
    init(header datagram: [UInt8]) {
        var (high, low) = (UInt64(0), UInt32(0))
        for index in 8..<16 { high = high << 8 | UInt64(datagram[index]) }
        for index in 16..<20 { low = low << 8 | UInt32(datagram[index]) }
        self.init(high: high, low: low)
    }

    /// Makes an id of exactly 12 bytes in network order.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 12 else { return nil }
        high = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The 12 bytes in network order.
    public var bytes: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * UInt64($0))) }
            + (0..<4).map { UInt8(truncatingIfNeeded: low >> (24 - 8 * UInt32($0))) }
    }
}
