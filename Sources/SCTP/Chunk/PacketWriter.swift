/// A packet being put together: one block of memory of its final size, filled from the front.
///
/// DATA chunks are the bulk of all traffic, so their fields are stored as whole words, and their payload is copied once,
/// from the message into the packet.
struct PacketWriter {
    private var bytes: [UInt8]
    /// How many bytes are written.
    private(set) var count = 0

    /// - Parameter capacity: how large the packet may become without being moved.
    init(capacity: Int) {
        bytes = [UInt8](repeating: 0, count: max(capacity, PacketHeader.size))
    }

    /// Writes the common header, its checksum still zero.
    mutating func start(_ header: PacketHeader) {
        reserve(PacketHeader.size)
        unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe buffer.storeBytes(of: header.sourcePort.bigEndian, toByteOffset: count, as: UInt16.self)
            unsafe buffer.storeBytes(of: header.destinationPort.bigEndian, toByteOffset: count + 2, as: UInt16.self)
            unsafe buffer.storeBytes(of: header.verificationTag.bigEndian, toByteOffset: count + 4, as: UInt32.self)
        }
        count += PacketHeader.size
    }

    /// Copies a whole chunk, padding included.
    mutating func append(_ chunk: [UInt8]) {
        reserve(chunk.count)
        unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe chunk.withUnsafeBytes { unsafe buffer[count...].copyBytes(from: $0) }
        }
        count += chunk.count
    }

    /// Writes a DATA or I-DATA chunk (RFC 9260 §3.3.1, RFC 8260 §2.1) with a part of `payload`.
    ///
    /// - Precondition: `range` lies within `payload`; the send queue cut it so.
    mutating func append(_ chunk: OutgoingChunk, payload: [UInt8], range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= payload.count)
        let header = chunk.isInterleaved ? DataChunk.interleavedHeaderSize : DataChunk.headerSize
        let length = header + range.count
        let padded = (length + 3) & ~3
        reserve(padded)
        let start = count
        unsafe bytes.withUnsafeMutableBytes { buffer in
            let type = chunk.isInterleaved ? ChunkType.interleavedData : ChunkType.data
            let first = UInt32(type.rawValue) << 24 | UInt32(chunk.flags.rawValue) << 16 | UInt32(UInt16(length))
            unsafe buffer.storeBytes(of: first.bigEndian, toByteOffset: start, as: UInt32.self)
            unsafe buffer.storeBytes(of: chunk.tsn.bigEndian, toByteOffset: start + 4, as: UInt32.self)
            if chunk.isInterleaved {
                // Only the first fragment names the protocol; in the others its place is the fragment's number.
                let third = chunk.flags.contains(.begin) ? chunk.payloadProtocol : chunk.fragment
                let stream = UInt32(chunk.stream) << 16
                unsafe buffer.storeBytes(of: stream.bigEndian, toByteOffset: start + 8, as: UInt32.self)
                unsafe buffer.storeBytes(of: chunk.sequence.bigEndian, toByteOffset: start + 12, as: UInt32.self)
                unsafe buffer.storeBytes(of: third.bigEndian, toByteOffset: start + 16, as: UInt32.self)
            } else {
                let second = UInt32(chunk.stream) << 16 | UInt32(UInt16(truncatingIfNeeded: chunk.sequence))
                unsafe buffer.storeBytes(of: second.bigEndian, toByteOffset: start + 8, as: UInt32.self)
                unsafe buffer.storeBytes(of: chunk.payloadProtocol.bigEndian, toByteOffset: start + 12, as: UInt32.self)
            }
            unsafe payload.withUnsafeBytes { source in
                guard let to = buffer.baseAddress, let from = source.baseAddress else { return }
                unsafe (to + start + header).copyMemory(from: from + range.lowerBound, byteCount: range.count)
            }
        }
        count += padded
    }

    /// The packet; with `checksum`, its CRC32C is in place, else the field stays zero (RFC 9653 §5.2).
    consuming func finish(checksum: Bool) -> [UInt8] {
        bytes.removeLast(bytes.count - count)
        if checksum { bytes.sealPacket() }
        return bytes
    }

    /// Makes room for `more` bytes. The block is of zeros, so padding needs no writing.
    private mutating func reserve(_ more: Int) {
        let missing = count + more - bytes.count
        if missing > 0 { bytes.append(contentsOf: repeatElement(0, count: missing)) }
    }
}

/// What the header of a DATA or I-DATA chunk on its way out says.
struct OutgoingChunk: Equatable, Sendable {
    var tsn: UInt32
    var flags: DataChunk.Flags
    var stream: UInt16
    /// The stream sequence number (16 bits), or the message identifier when interleaved.
    var sequence: UInt32
    /// The fragment sequence number; only when interleaved.
    var fragment: UInt32 = 0
    var payloadProtocol: UInt32
    var isInterleaved = false
}
