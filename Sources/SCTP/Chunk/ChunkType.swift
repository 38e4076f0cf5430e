/// The chunk types of this subset (RFC 9260 §3.2, RFC 3758, RFC 4820, RFC 6525, RFC 8260).
enum ChunkType: UInt8, Sendable {
    case data = 0
    case initiation = 1
    case initiationAck = 2
    case sack = 3
    case heartbeat = 4
    case heartbeatAck = 5
    case abort = 6
    case shutdown = 7
    case shutdownAck = 8
    case error = 9
    case cookieEcho = 10
    case cookieAck = 11
    case shutdownComplete = 14
    case interleavedData = 64
    case reconfiguration = 130
    case pad = 132
    case forwardTSN = 192
    case interleavedForwardTSN = 194
}

/// What to do with a chunk or parameter type nobody here knows: its two highest bits say so (RFC 9260 §3.2, §3.2.1).
struct UnknownTypeAction: Equatable, Sendable {
    /// Whether what follows in the packet or chunk is read.
    var continues: Bool
    /// Whether the sender is told.
    var reports: Bool

    init(chunkType: UInt8) {
        continues = chunkType & 0x80 != 0
        reports = chunkType & 0x40 != 0
    }

    init(parameterType: UInt16) {
        continues = parameterType & 0x8000 != 0
        reports = parameterType & 0x4000 != 0
    }
}

/// One chunk found in a packet: its type, its flags and where its value lies.
struct RawChunk: Equatable, Sendable {
    var type: UInt8
    var flags: UInt8
    /// The bytes of the value, after the four bytes of the chunk's header, without padding.
    var value: Range<Int>
}

/// Walks over the chunks of a packet, or over the parameters or causes in a chunk: all have a 4-byte header whose
/// last two bytes are the length without padding (RFC 9260 §3.2, §3.2.1).
struct ChunkWalker {
    private let packet: [UInt8]
    private var offset: Int
    private let end: Int

    /// Walks over all chunks of `packet`.
    init(packet: [UInt8]) {
        self.init(packet, in: min(PacketHeader.size, packet.count)..<packet.count)
    }

    /// Walks over the items in a part of `packet`.
    init(_ packet: [UInt8], in range: Range<Int>) {
        self.packet = packet
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next item; `nil` at the end and when the rest is malformed. Missing padding of the last one is tolerated.
    mutating func next() -> RawChunk? {
        guard end - offset >= 4 else { return nil }
        let length = Int(packet.uint16(at: offset + 2))
        guard length >= 4, length <= end - offset else {
            offset = end
            return nil
        }
        let chunk = RawChunk(
            type: packet[offset], flags: packet[offset + 1], value: offset + 4..<offset + length)
        offset = min(end, offset + (length + 3) & ~3)
        return chunk
    }

    /// The next parameter or cause: the type has 16 bits.
    mutating func nextParameter() -> (type: UInt16, value: Range<Int>)? {
        guard let chunk = next() else { return nil }
        return (UInt16(chunk.type) << 8 | UInt16(chunk.flags), chunk.value)
    }
}

extension [UInt8] {
    /// Appends a whole chunk with padding.
    ///
    /// - Precondition: the value is shorter than 65,532 bytes; every caller bounds it by the packet.
    mutating func appendChunk(_ type: ChunkType, flags: UInt8 = 0, value: [UInt8] = []) {
        append(type.rawValue)
        append(flags)
        append(uint16: UInt16(value.count + 4))
        append(contentsOf: value)
        pad()
    }

    /// Appends a whole parameter or error cause with padding.
    ///
    /// - Precondition: the value is shorter than 65,532 bytes.
    mutating func appendParameter(_ type: UInt16, value: [UInt8] = []) {
        append(uint16: type)
        append(uint16: UInt16(value.count + 4))
        append(contentsOf: value)
        pad()
    }
}
