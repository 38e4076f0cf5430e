import SwarmBase

/// One datagram of signaling between members, straight over the node's socket (docs/protocol.md, "Signaling by
/// datagram"): a message, or a piece of one that is too long for a datagram.
struct SignalingDatagram: Equatable {
    /// `S`: no protocol that shares the socket begins with it (RFC 7983 §7, BEP 5, BEP 29).
    static let firstByte: UInt8 = 0x53
    static let headerSize = 7
    /// What a piece carries at most: with its header, IPv6's and UDP's no more than the 1,280 bytes that every IPv6 link
    /// carries (RFC 8200 §5).
    static let largestPiece = 1_200
    /// So many pieces hold the largest signal.
    static let mostPieces = 16

    /// Random; the pieces of one message have it in common.
    var message: UInt32
    var index: UInt8
    /// How many pieces the message has, 1…16.
    var count: UInt8
    var piece: [UInt8]

    init(message: UInt32, index: UInt8, count: UInt8, piece: [UInt8]) {
        self.message = message
        self.index = index
        self.count = count
        self.piece = piece
    }

    /// - Returns: `nil` for anything that is not of this form.
    init?(parsing datagram: [UInt8]) {
        var reader = ByteReader(datagram)
        guard let first: UInt8 = reader.integer(), first == Self.firstByte, let message: UInt32 = reader.integer(),
            let index: UInt8 = reader.integer(), let count: UInt8 = reader.integer(), index < count,
            count <= Self.mostPieces, (1...Self.largestPiece).contains(reader.remaining)
        else { return nil }
        self.init(message: message, index: index, count: count, piece: reader.rest())
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.headerSize + piece.count)
        writer.integer(Self.firstByte)
        writer.integer(message)
        writer.integer(index)
        writer.integer(count)
        writer.append(piece)
        return writer.bytes
    }

    /// Cuts a message into datagrams.
    ///
    /// - Returns: none when it is empty or longer than all pieces together.
    static func cut(_ content: [UInt8], message: UInt32) -> [[UInt8]] {
        let count = (content.count + largestPiece - 1) / largestPiece
        guard (1...mostPieces).contains(count) else { return [] }
        return (0..<count).map { index in
            let piece = content[index * largestPiece..<min(content.count, (index + 1) * largestPiece)]
            return SignalingDatagram(
                message: message, index: UInt8(index), count: UInt8(count), piece: Array(piece)
            ).bytes
        }
    }
}

/// Puts messages together that came in pieces. Bounded in number and time.
struct SignalingReassembly {
    /// How many messages may be incomplete at a time: the oldest goes first.
    static let mostMessages = 32
    /// How long a message may take to arrive.
    static let patience: Duration = .seconds(5)

    private struct Key: Hashable {
        var source: TransportAddress
        var message: UInt32
    }

    private struct Incomplete {
        var since: Instant
        var pieces: [[UInt8]?]
        var missing: Int
    }

    private var incomplete: [Key: Incomplete] = [:]

    /// How many messages have not come whole.
    var count: Int { incomplete.count }

    /// Takes one piece.
    ///
    /// - Returns: the whole message, when this was the last piece that was missing.
    mutating func insert(_ datagram: SignalingDatagram, from source: TransportAddress, now: Instant) -> [UInt8]? {
        guard datagram.count > 1 else { return datagram.piece }
        let key = Key(source: source, message: datagram.message)
        if incomplete[key] == nil {
            makeRoom(now: now)
            let count = Int(datagram.count)
            incomplete[key] = Incomplete(since: now, pieces: Array(repeating: nil, count: count), missing: count)
        }
        guard var message = incomplete[key], message.pieces.count == Int(datagram.count),
            message.pieces[Int(datagram.index)] == nil
        else { return nil }
        message.pieces[Int(datagram.index)] = datagram.piece
        message.missing -= 1
        guard message.missing == 0 else {
            incomplete[key] = message
            return nil
        }
        incomplete[key] = nil
        return message.pieces.flatMap { $0 ?? [] }
    }

    private mutating func makeRoom(now: Instant) {
        incomplete = incomplete.filter { now - $0.value.since <= Self.patience }
        guard incomplete.count >= Self.mostMessages,
            let oldest = incomplete.min(by: { $0.value.since < $1.value.since })
        else { return }
        incomplete[oldest.key] = nil
    }
}
