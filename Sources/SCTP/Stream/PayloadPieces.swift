/// The bytes of a message that is still incomplete: pieces that are put together once, when it is whole.
///
/// What arrives in order extends the last piece. When a gap closes, the shorter list of pieces moves to the longer one;
/// so the work for a message grows with its size (times a logarithm at worst), in whatever order its parts come.
struct PayloadPieces: Sendable {
    /// A piece stops growing here, so that growth never moves more than this.
    private static let maxPiece = 1 << 20

    /// Before `back`, last one first.
    private var front: [[UInt8]] = []
    private var back: [[UInt8]] = []
    private(set) var count = 0

    /// Starts with a part of a packet.
    ///
    /// - Parameter hint: how large the whole is expected to be.
    init(_ packet: [UInt8], _ range: Range<Int>, hint: Int) {
        var piece: [UInt8] = []
        piece.reserveCapacity(max(range.count, min(hint, Self.maxPiece)))
        piece.append(contentsOf: packet[range])
        back.append(piece)
        count = range.count
    }

    /// Adds a part of a packet at the end.
    mutating func append(_ packet: [UInt8], _ range: Range<Int>) {
        count += range.count
        let last = back.count - 1
        if last >= 0, back[last].count < Self.maxPiece {
            back[last].append(contentsOf: packet[range])
        } else {
            back.append(Array(packet[range]))
        }
    }

    /// Adds all of `other` at the end.
    mutating func append(_ other: consuming PayloadPieces) {
        count += other.count
        if other.front.count + other.back.count <= front.count + back.count {
            back.append(contentsOf: other.front.reversed())
            back.append(contentsOf: other.back)
        } else {
            other.front.append(contentsOf: back.reversed())
            other.front.append(contentsOf: front)
            other.count = count
            self = other
        }
    }

    /// The whole, moved at most once.
    consuming func joined() -> [UInt8] {
        if front.isEmpty, back.count == 1 { return back[0] }
        if back.isEmpty, front.count == 1 { return front[0] }
        var whole: [UInt8] = []
        whole.reserveCapacity(count)
        for piece in front.reversed() { whole.append(contentsOf: piece) }
        for piece in back { whole.append(contentsOf: piece) }
        return whole
    }
}
