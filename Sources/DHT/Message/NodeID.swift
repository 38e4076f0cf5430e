import Crypto

/// 160 bits: a node's id, an infohash, or an item's target, all in one space (BEP 5). Ordered as an unsigned big-endian number.
public struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Two words and a half: a distance costs three XORs and allocates nothing.
    let high: UInt64
    let middle: UInt64
    let low: UInt32

    /// The number of bytes.
    public static let byteCount = 20
    static let bitCount = 160

    init(high: UInt64, middle: UInt64, low: UInt32) {
        self.high = high
        self.middle = middle
        self.low = low
    }

    /// Makes an id from exactly 20 bytes; `nil` for any other count.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        var high: UInt64 = 0
        var middle: UInt64 = 0
        var low: UInt32 = 0
        for (index, byte) in bytes.enumerated() {
            if index < 8 {
                high = high << 8 | UInt64(byte)
            } else if index < 16 {
                middle = middle << 8 | UInt64(byte)
            } else {
                low = low << 8 | UInt32(byte)
            }
        }
        self.init(high: high, middle: middle, low: low)
    }

    /// The SHA-1 of `content`.
    init(hashing content: [UInt8]) {
        var high: UInt64 = 0
        var middle: UInt64 = 0
        var low: UInt32 = 0
        for (index, byte) in Insecure.SHA1.hash(data: content).enumerated() {
            if index < 8 {
                high = high << 8 | UInt64(byte)
            } else if index < 16 {
                middle = middle << 8 | UInt64(byte)
            } else {
                low = low << 8 | UInt32(byte)
            }
        }
        self.init(high: high, middle: middle, low: low)
    }

    /// Any id.
    public static func random(using entropy: inout some RandomNumberGenerator) -> NodeID {
        NodeID(high: entropy.next(), middle: entropy.next(), low: UInt32(truncatingIfNeeded: entropy.next()))
    }

    /// An id that has exactly the first `count` bits in common with `other`; 0…159.
    static func random(
        sharing count: Int, with other: NodeID, using entropy: inout some RandomNumberGenerator
    ) -> NodeID {
        let noise = random(using: &entropy)
        func mask(_ from: Int, _ width: Int) -> (keep: UInt64, flip: UInt64) {
            let bits = min(max(count - from, 0), width)
            let keep = bits == 0 ? 0 : UInt64.max << UInt64(64 - bits)
            let flip = count >= from && count < from + width ? UInt64(1) << UInt64(63 - (count - from)) : 0
            return (keep, flip)
        }
        func mix(_ own: UInt64, _ noise: UInt64, _ mask: (keep: UInt64, flip: UInt64)) -> UInt64 {
            let mixed = own & mask.keep | noise & ~mask.keep
            return mixed & ~mask.flip | ~own & mask.flip
        }
        let low = mix(UInt64(other.low) << 32, UInt64(noise.low) << 32, mask(128, 32))
        return NodeID(
            high: mix(other.high, noise.high, mask(0, 64)), middle: mix(other.middle, noise.middle, mask(64, 64)),
            low: UInt32(truncatingIfNeeded: low >> 32))
    }

    /// The 20 bytes.
    public var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(Self.byteCount)
        append(to: &result)
        return result
    }

    func append(to bytes: inout [UInt8]) {
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: high >> UInt64(shift)))
        }
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: middle >> UInt64(shift)))
        }
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: low >> UInt32(shift)))
        }
    }

    /// How far apart two ids are (BEP 5: XOR, as an unsigned number).
    public func distance(to other: NodeID) -> NodeID {
        NodeID(high: high ^ other.high, middle: middle ^ other.middle, low: low ^ other.low)
    }

    /// How many first bits two ids have in common: 0…160.
    public func sharedPrefix(with other: NodeID) -> Int {
        let distance = distance(to: other)
        if distance.high != 0 { return distance.high.leadingZeroBitCount }
        if distance.middle != 0 { return 64 + distance.middle.leadingZeroBitCount }
        return 128 + distance.low.leadingZeroBitCount
    }

    public static func < (a: NodeID, b: NodeID) -> Bool {
        if a.high != b.high { return a.high < b.high }
        if a.middle != b.middle { return a.middle < b.middle }
        return a.low < b.low
    }

    public var description: String {
        String(bytes.flatMap { [$0 >> 4, $0 & 15] }.map { Character(String($0, radix: 16)) })
    }
}
