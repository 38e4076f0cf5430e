/// A DATA (RFC 9260 §3.3.1) or I-DATA chunk (RFC 8260 §2.1) as it lies in a packet: the payload is not copied.
struct DataChunk: Equatable, Sendable {
    var tsn: UInt32
    var stream: UInt16
    /// DATA: the stream sequence number, 16 bits. I-DATA: the message identifier, 32 bits.
    var sequence: UInt32
    /// I-DATA: the fragment's place in its message, 0 for the first one. DATA: 0.
    var fragment: UInt32
    /// I-DATA: only the first fragment has one, in the others it is 0.
    var payloadProtocol: UInt32
    var flags: Flags
    var isInterleaved: Bool
    /// Where the user data lies in the packet; never empty.
    var payload: Range<Int>

    /// The flags of a DATA or I-DATA chunk.
    struct Flags: OptionSet, Hashable, Sendable {
        var rawValue: UInt8

        /// The last fragment of a message.
        static let end = Flags(rawValue: 1)
        /// The first fragment of a message.
        static let begin = Flags(rawValue: 2)
        /// Not ordered within the stream; the stream sequence number means nothing.
        static let unordered = Flags(rawValue: 4)
        /// The sender asks for a SACK at once (RFC 7053).
        static let immediate = Flags(rawValue: 8)
    }

    /// The bytes before the payload of a DATA chunk, the chunk's header included.
    static let headerSize = 16
    /// The same of an I-DATA chunk.
    static let interleavedHeaderSize = 20

    /// Reads a chunk of type 0.
    ///
    /// - Returns: `nil` when it is cut short or has no user data (RFC 9260 §6.2 asks for an abort then).
    init?(_ chunk: RawChunk, in packet: [UInt8]) {
        guard chunk.value.count > 12 else { return nil }
        let start = chunk.value.lowerBound
        tsn = packet.uint32(at: start)
        stream = packet.uint16(at: start + 4)
        sequence = UInt32(packet.uint16(at: start + 6))
        fragment = 0
        payloadProtocol = packet.uint32(at: start + 8)
        flags = Flags(rawValue: chunk.flags & 0x0f)
        isInterleaved = false
        payload = start + 12..<chunk.value.upperBound
    }

    /// Reads a chunk of type 64.
    ///
    /// - Returns: `nil` when it is cut short or has no user data.
    init?(interleaved chunk: RawChunk, in packet: [UInt8]) {
        guard chunk.value.count > 16 else { return nil }
        let start = chunk.value.lowerBound
        tsn = packet.uint32(at: start)
        stream = packet.uint16(at: start + 4)
        sequence = packet.uint32(at: start + 8)
        flags = Flags(rawValue: chunk.flags & 0x0f)
        let third = packet.uint32(at: start + 12)
        fragment = flags.contains(.begin) ? 0 : third
        payloadProtocol = flags.contains(.begin) ? third : 0
        isInterleaved = true
        payload = start + 16..<chunk.value.upperBound
    }

    /// The size of a chunk with this much user data, padded.
    static func size(payload: Int, isInterleaved: Bool = false) -> Int {
        ((isInterleaved ? interleavedHeaderSize : headerSize) + payload + 3) & ~3
    }
}
