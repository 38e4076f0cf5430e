import CChecksum

/// The common header of every packet (RFC 9260 §3.1).
struct PacketHeader: Equatable, Sendable {
    var sourcePort: UInt16
    var destinationPort: UInt16
    var verificationTag: UInt32

    /// The header's size in bytes.
    static let size = 12

    /// Reads the header of a packet whose CRC32C is right.
    ///
    /// - Parameter acceptsZero: whether a checksum of zero stands for none (RFC 9653 §5.3).
    /// - Returns: `nil` when the packet is too short for a chunk or its checksum is wrong.
    init?(packet: [UInt8], acceptsZero: Bool = false) {
        guard packet.count >= Self.size + 4 else { return nil }
        let field = packet.checksumField
        guard (acceptsZero && field == 0) || field == packet.packetChecksum else { return nil }
        sourcePort = packet.uint16(at: 0)
        destinationPort = packet.uint16(at: 2)
        verificationTag = packet.uint32(at: 4)
    }

    init(sourcePort: UInt16, destinationPort: UInt16, verificationTag: UInt32) {
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.verificationTag = verificationTag
    }

    /// Starts a packet: the header with the checksum still zero.
    func write(to packet: inout [UInt8]) {
        packet.append(uint16: sourcePort)
        packet.append(uint16: destinationPort)
        packet.append(uint32: verificationTag)
        packet.append(uint32: 0)
    }
}

extension [UInt8] {
    /// The big-endian number at `index`; traps past the end, which callers have excluded.
    ///
    /// Any bit pattern is an integer, so the load is unsafe in name only: its bounds are checked in every build.
    func uint16(at index: Int) -> UInt16 {
        UInt16(bigEndian: unsafe span.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt16.self))
    }

    /// The big-endian number at `index`; traps past the end, which callers have excluded.
    func uint32(at index: Int) -> UInt32 {
        UInt32(bigEndian: unsafe span.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt32.self))
    }

    mutating func append(uint16 value: UInt16) {
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    mutating func append(uint32 value: UInt32) {
        append(UInt8(truncatingIfNeeded: value >> 24))
        append(UInt8(truncatingIfNeeded: value >> 16))
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    /// Overwrites the big-endian number at `index`; the caller has checked the bounds.
    mutating func set(uint16 value: UInt16, at index: Int) {
        self[index] = UInt8(truncatingIfNeeded: value >> 8)
        self[index + 1] = UInt8(truncatingIfNeeded: value)
    }

    /// Fills up to a multiple of four bytes (RFC 9260 §3.2).
    mutating func pad() {
        while count & 3 != 0 { append(0) }
    }

    /// The CRC32C of a packet, its checksum field taken as zero (RFC 9260 §6.8).
    var packetChecksum: UInt32 {
        unsafe withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress, bytes.count >= PacketHeader.size else { return 0 }
            let zeros: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
            var crc = unsafe swarm_crc32c(0, base, 8)
            crc = unsafe Swift.withUnsafeBytes(of: zeros) { zeros in
                unsafe swarm_crc32c(crc, zeros.bindMemory(to: UInt8.self).baseAddress, 4)
            }
            return unsafe swarm_crc32c(crc, base + PacketHeader.size, bytes.count - PacketHeader.size)
        }
    }

    /// The checksum field: unlike every other field it is stored least significant byte first.
    var checksumField: UInt32 {
        uint32(at: 8).byteSwapped
    }

    /// Computes and stores the checksum of a finished packet.
    mutating func sealPacket() {
        let crc = packetChecksum
        self[8] = UInt8(truncatingIfNeeded: crc)
        self[9] = UInt8(truncatingIfNeeded: crc >> 8)
        self[10] = UInt8(truncatingIfNeeded: crc >> 16)
        self[11] = UInt8(truncatingIfNeeded: crc >> 24)
    }
}
