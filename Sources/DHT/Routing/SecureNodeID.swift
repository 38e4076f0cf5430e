import CChecksum
public import SwarmBase

/// Node ids that are bound to an address (BEP 42): the first 21 bits are a checksum of it, so nobody chooses them freely.
extension NodeID {
    /// Whether the id fits the address; local addresses fit any.
    public func fits(_ address: IPAddress) -> Bool {
        if address.isLocal { return true }
        let expected = Self.prefix(of: address, random: UInt8(truncatingIfNeeded: low))
        return (high >> 32) >> 11 == UInt64(expected) >> 11
    }

    /// A random id that fits the address.
    static func fitting(_ address: IPAddress, using entropy: inout some RandomNumberGenerator) -> NodeID {
        let noise = random(using: &entropy)
        let expected = prefix(of: address, random: UInt8(truncatingIfNeeded: noise.low))
        let mask: UInt64 = 0xffff_f800_0000_0000
        return NodeID(
            high: UInt64(expected) << 32 & mask | noise.high & ~mask, middle: noise.middle, low: noise.low)
    }

    /// The checksum of the masked address, with the low three bits of the id's last byte in its top.
    private static func prefix(of address: IPAddress, random: UInt8) -> UInt32 {
        let r = random & 7
        var masked: [UInt8]
        switch address {
        case .v4: masked = zip(address.bytes, [0x03, 0x0f, 0x3f, 0xff] as [UInt8]).map { $0 & $1 }
        case .v6:
            masked = zip(address.bytes, [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff] as [UInt8]).map { $0 & $1 }
        }
        masked[0] |= r << 5
        return unsafe masked.withUnsafeBufferPointer { unsafe swarm_crc32c(0, $0.baseAddress, $0.count) }
    }
}
