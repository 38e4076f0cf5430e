/// A transmission sequence number, unwrapped to 64 bits so that plain comparison is right (RFC 9260 §1.6, RFC 1982).
///
/// On the wire it has 32 bits; a number read from a packet is placed next to one already known.
struct TSN: Hashable, Comparable, Sendable {
    /// The unwrapped number; its low 32 bits are what the wire carries.
    var value: Int64

    /// The first number of a side, from its INIT or INIT ACK.
    init(initial wire: UInt32) {
        value = (1 << 32) + Int64(wire)
    }

    /// The number with these low 32 bits that is nearest to `reference` (at most 2^31 away).
    init(_ wire: UInt32, near reference: TSN) {
        value = reference.value &+ Int64(Int32(bitPattern: wire &- reference.wire))
    }

    private init(value: Int64) { self.value = value }

    /// What the wire carries.
    var wire: UInt32 { UInt32(truncatingIfNeeded: value) }

    /// The number after this one.
    var next: TSN { self + 1 }

    static func < (a: TSN, b: TSN) -> Bool { a.value < b.value }

    static func + (tsn: TSN, count: Int) -> TSN { TSN(value: tsn.value &+ Int64(count)) }

    static func - (tsn: TSN, count: Int) -> TSN { TSN(value: tsn.value &- Int64(count)) }

    /// How many numbers lie from `earlier` to `later`.
    static func - (later: TSN, earlier: TSN) -> Int { Int(later.value &- earlier.value) }
}

/// Whether `a` comes before `b` in 16-bit serial order (stream sequence numbers, RFC 9260 §6.5).
func streamSequence(_ a: UInt16, precedes b: UInt16) -> Bool {
    Int16(bitPattern: a &- b) < 0
}

/// Whether `a` comes before `b` in 32-bit serial order (re-configuration request numbers, RFC 6525 §5).
func requestSequence(_ a: UInt32, precedes b: UInt32) -> Bool {
    Int32(bitPattern: a &- b) < 0
}
