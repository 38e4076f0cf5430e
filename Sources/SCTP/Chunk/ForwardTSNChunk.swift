/// FORWARD-TSN (RFC 3758 §3.2): everything up to a number is to be counted as received.
struct ForwardTSNChunk: Equatable, Sendable {
    var cumulative: UInt32
    var skipped: [Skip] = []

    /// An ordered stream and the last of its messages that will not come.
    struct Skip: Equatable, Sendable {
        var stream: UInt16
        var streamSequence: UInt16
    }

    /// The bytes before the list, the chunk's header included.
    static let headerSize = 8

    init(cumulative: UInt32, skipped: [Skip] = []) {
        self.cumulative = cumulative
        self.skipped = skipped
    }

    /// Reads a chunk of type 192; a last entry that is cut short is left out.
    init?(_ chunk: RawChunk, in packet: [UInt8]) {
        guard chunk.value.count >= 4 else { return nil }
        cumulative = packet.uint32(at: chunk.value.lowerBound)
        var at = chunk.value.lowerBound + 4
        while chunk.value.upperBound - at >= 4 {
            skipped.append(Skip(stream: packet.uint16(at: at), streamSequence: packet.uint16(at: at + 2)))
            at += 4
        }
    }

    /// Appends the chunk.
    func write(to packet: inout [UInt8]) {
        packet.append(ChunkType.forwardTSN.rawValue)
        packet.append(0)
        packet.append(uint16: UInt16(Self.headerSize + 4 * skipped.count))
        packet.append(uint32: cumulative)
        for skip in skipped {
            packet.append(uint16: skip.stream)
            packet.append(uint16: skip.streamSequence)
        }
    }
}
