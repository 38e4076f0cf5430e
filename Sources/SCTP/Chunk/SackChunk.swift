/// A run of received numbers above the cumulative one.
struct TSNBlock: Equatable, Sendable {
    var first: TSN
    var last: TSN
}

/// A selective acknowledgement (RFC 9260 §3.3.4).
struct SackChunk: Equatable, Sendable {
    var cumulative: UInt32
    /// The receiver's free buffer in bytes.
    var window: UInt32
    /// Offsets from the cumulative number: first and last of each run.
    var gaps: [Gap] = []
    /// Numbers that arrived more than once.
    var duplicates: [UInt32] = []

    /// One gap ack block; both ends are offsets from the cumulative number.
    struct Gap: Equatable, Sendable {
        var first: UInt16
        var last: UInt16
    }

    /// The bytes before the blocks, the chunk's header included.
    static let headerSize = 16

    init(cumulative: UInt32, window: UInt32, gaps: [Gap] = [], duplicates: [UInt32] = []) {
        self.cumulative = cumulative
        self.window = window
        self.gaps = gaps
        self.duplicates = duplicates
    }

    /// Reads a chunk of type 3; `nil` when the counts do not fit its length.
    init?(_ chunk: RawChunk, in packet: [UInt8]) {
        guard chunk.value.count >= 12 else { return nil }
        let start = chunk.value.lowerBound
        cumulative = packet.uint32(at: start)
        window = packet.uint32(at: start + 4)
        let gapCount = Int(packet.uint16(at: start + 8))
        let duplicateCount = Int(packet.uint16(at: start + 10))
        guard chunk.value.count >= 12 + 4 * (gapCount + duplicateCount) else { return nil }
        var at = start + 12
        if gapCount > 0 {
            gaps.reserveCapacity(gapCount)
            for _ in 0..<gapCount {
                gaps.append(Gap(first: packet.uint16(at: at), last: packet.uint16(at: at + 2)))
                at += 4
            }
        }
        for _ in 0..<duplicateCount {
            duplicates.append(packet.uint32(at: at))
            at += 4
        }
    }

    /// Appends the chunk.
    func write(to packet: inout [UInt8]) {
        packet.append(ChunkType.sack.rawValue)
        packet.append(0)
        packet.append(uint16: UInt16(Self.headerSize + 4 * (gaps.count + duplicates.count)))
        packet.append(uint32: cumulative)
        packet.append(uint32: window)
        packet.append(uint16: UInt16(gaps.count))
        packet.append(uint16: UInt16(duplicates.count))
        for gap in gaps {
            packet.append(uint16: gap.first)
            packet.append(uint16: gap.last)
        }
        for duplicate in duplicates { packet.append(uint32: duplicate) }
    }
}
