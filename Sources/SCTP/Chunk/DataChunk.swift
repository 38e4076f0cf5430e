/// A DATA chunk as it lies in a packet (RFC 9260 §3.3.1): the payload is not copied.
struct DataChunk: Equatable, Sendable {
    var tsn: UInt32
    var stream: UInt16
    var streamSequence: UInt16
    var payloadProtocol: UInt32
    var flags: Flags
    /// Where the user data lies in the packet; never empty.
    var payload: Range<Int>

    /// The flags of a DATA chunk.
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

    /// The bytes before the payload, the chunk's header included.
    static let headerSize = 16

    /// Reads a chunk of type 0.
    ///
    /// - Returns: `nil` when it is cut short or has no user data (RFC 9260 §6.2 asks for an abort then).
    init?(_ chunk: RawChunk, in packet: [UInt8]) {
        guard chunk.value.count > 12 else { return nil }
        let start = chunk.value.lowerBound
        tsn = packet.uint32(at: start)
        stream = packet.uint16(at: start + 4)
        streamSequence = packet.uint16(at: start + 6)
        payloadProtocol = packet.uint32(at: start + 8)
        flags = Flags(rawValue: chunk.flags & 0x0f)
        payload = start + 12..<chunk.value.upperBound
    }

    /// The size of a chunk with this much user data, padded.
    static func size(payload: Int) -> Int { (headerSize + payload + 3) & ~3 }

    /// Appends a chunk that carries a part of `message`.
    static func write(
        to packet: inout [UInt8], tsn: TSN, flags: Flags, message: OutgoingMessage, range: Range<Int>
    ) {
        packet.append(ChunkType.data.rawValue)
        packet.append(flags.rawValue)
        packet.append(uint16: UInt16(headerSize + range.count))
        packet.append(uint32: tsn.wire)
        packet.append(uint16: message.stream)
        packet.append(uint16: message.streamSequence)
        packet.append(uint32: message.payloadProtocol)
        packet.append(contentsOf: message.payload[range])
        packet.pad()
    }
}
