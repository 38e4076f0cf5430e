/// FORWARD-TSN (RFC 3758 §3.2) and I-FORWARD-TSN (RFC 8260 §2.3.1): everything up to a number is to be counted as
/// received.
struct ForwardTSNChunk: Equatable, Sendable {
    var cumulative: UInt32
    var skipped: [Skip] = []
    /// Whether it is an I-FORWARD-TSN.
    var isInterleaved = false

    /// A stream and the last of its messages that will not come.
    struct Skip: Equatable, Sendable {
        var stream: UInt16
        /// The stream sequence number (16 bits), or the message identifier when interleaved.
        var sequence: UInt32
        /// Only I-FORWARD-TSN lists unordered messages.
        var isUnordered = false
    }

    /// The bytes before the list, the chunk's header included.
    static let headerSize = 8

    /// How many bytes an entry of the list takes.
    static func entrySize(isInterleaved: Bool) -> Int { isInterleaved ? 8 : 4 }

    init(cumulative: UInt32, skipped: [Skip] = [], isInterleaved: Bool = false) {
        self.cumulative = cumulative
        self.skipped = skipped
        self.isInterleaved = isInterleaved
    }

    /// Reads a chunk of type 192 or 194; a last entry that is cut short is left out.
    init?(_ chunk: RawChunk, in packet: [UInt8]) {
        guard chunk.value.count >= 4 else { return nil }
        isInterleaved = chunk.type == ChunkType.interleavedForwardTSN.rawValue
        cumulative = packet.uint32(at: chunk.value.lowerBound)
        let size = Self.entrySize(isInterleaved: isInterleaved)
        var at = chunk.value.lowerBound + 4
        while chunk.value.upperBound - at >= size {
            let stream = packet.uint16(at: at)
            skipped.append(
                isInterleaved
                    ? Skip(
                        stream: stream, sequence: packet.uint32(at: at + 4),
                        isUnordered: packet.uint16(at: at + 2) & 1 != 0)
                    : Skip(stream: stream, sequence: UInt32(packet.uint16(at: at + 2))))
            at += size
        }
    }

    /// Appends the chunk.
    func write(to packet: inout [UInt8]) {
        let type = isInterleaved ? ChunkType.interleavedForwardTSN : .forwardTSN
        packet.append(type.rawValue)
        packet.append(0)
        packet.append(
            uint16: UInt16(Self.headerSize + Self.entrySize(isInterleaved: isInterleaved) * skipped.count))
        packet.append(uint32: cumulative)
        for skip in skipped {
            packet.append(uint16: skip.stream)
            if isInterleaved {
                packet.append(uint16: skip.isUnordered ? 1 : 0)
                packet.append(uint32: skip.sequence)
            } else {
                packet.append(uint16: UInt16(truncatingIfNeeded: skip.sequence))
            }
        }
    }
}
