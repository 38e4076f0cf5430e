import SwarmBase

/// What a packet of a session is made of (docs/protocol.md, "Frames"). A packet is any number of frames, one after the
/// other; on the direct path it is one DataChannel message, on the relay path the content of one envelope.
enum Frame: Equatable, Sendable {
    case data(DataFrame)
    case acknowledgement(Acknowledgement)
    case ping(id: UInt64)
    case pong(id: UInt64)
    /// The member leaves: nothing more will come.
    case bye
    /// Whom the sender is connected with, by the first eight bytes of their ids, and whether it forwards to them.
    case neighbours(forwards: Bool, [UInt64])
    /// A sealed presence record: the sender's, or that of one of its neighbours.
    case presence([UInt8])
    /// A datagram to be handed to a neighbour.
    case forward(to: PeerID, [UInt8])
    /// A datagram that a neighbour of the sender handed it for us.
    case forwarded([UInt8])
    /// A step to the keys of the next epoch.
    case rekeying(RekeyFrame)
    /// Keys that mail for the sender is sealed to.
    case prekeys(PrekeyBundle)
    /// How many of the receiver's the sender has.
    case prekeyStock(PrekeyStock)
    /// When a message that follows in an item of mail is no longer of use, in milliseconds since 1970 by the sender's clock.
    case deadline(message: UInt64, at: UInt64)
    /// The writer of a lane knows the outcomes of all before `base`.
    case confirmed(Lane, stream: UInt64, base: UInt64)
    /// A piece of one direction of a byte stream.
    case bytes(StreamPiece)
    /// How far a direction of a byte stream has come, and how far it may go.
    case credit(id: UInt64, received: UInt64, limit: UInt64)
    /// The sender does not take part in a conversation with us.
    case refused(reason: UInt8)

    /// The most neighbours that are told of.
    static let mostNeighbours = 256

    /// The bytes a frame adds to its body.
    static let overhead = 5

    /// Appends the frame to a packet.
    func write(to packet: inout [UInt8]) {
        // The length is known when the body is written.
        let start = packet.count
        var writer = ByteWriter(capacity: 0)
        swap(&writer.bytes, &packet)
        writer.integer(type)
        writer.integer(UInt32(0))
        writeBody(to: &writer)
        let length = UInt32(writer.bytes.count - start - Self.overhead)
        for index in 0..<4 {
            writer.bytes[start + 1 + index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index))
        }
        swap(&writer.bytes, &packet)
    }

    private var type: UInt8 {
        switch self {
        case .data(let frame): frame.lane == .plain ? 1 : 10
        case .acknowledgement(let frame): frame.isPlain ? 2 : 11
        case .ping: 3
        case .pong: 4
        case .bye: 5
        case .neighbours: 6
        case .presence: 7
        case .forward: 8
        case .forwarded: 9
        case .confirmed: 12
        case .bytes: 13
        case .credit: 14
        case .refused: 15
        case .prekeys: 23
        case .prekeyStock: 24
        case .deadline: 25
        case .rekeying(let frame): frame.type
        }
    }

    private func writeBody(to body: inout ByteWriter) {
        switch self {
        case .data(let frame):
            if frame.lane != .plain { body.integer(frame.lane.number) }
            frame.write(to: &body)
        case .acknowledgement(let frame):
            if frame.isPlain { frame.writePlain(to: &body) } else { frame.write(to: &body) }
        case .ping(let id), .pong(let id):
            body.integer(id)
        case .bye:
            break
        case .neighbours(let forwards, let ids):
            body.integer(UInt8(forwards ? 1 : 0))
            for id in ids { body.integer(id) }
        case .presence(let sealed):
            body.append(sealed)
        case .forward(let peer, let datagram):
            body.append(peer.rawRepresentation)
            body.append(datagram)
        case .forwarded(let datagram):
            body.append(datagram)
        case .rekeying(let frame):
            frame.write(to: &body)
        case .prekeys(let bundle):
            bundle.write(to: &body)
        case .prekeyStock(let stock):
            body.integer(stock.lastResort?.value ?? 0)
            body.integer(stock.oneTime)
        case .deadline(let message, let time):
            body.integer(message)
            body.integer(time)
        case .confirmed(let lane, let stream, let base):
            body.integer(lane.number)
            body.integer(stream)
            body.integer(base)
        case .bytes(let piece):
            body.integer(piece.id)
            body.integer(piece.offset)
            body.integer(UInt8(piece.isEnd ? 1 : 0))
            body.append(piece.payload)
        case .credit(let id, let received, let limit):
            body.integer(id)
            body.integer(received)
            body.integer(limit)
        case .refused(let reason):
            body.integer(reason)
        }
    }

    /// The frames of a packet. Frames of unknown type are passed over, so that later versions may add some.
    ///
    /// - Throws: `Refusal.malformed` when a frame is cut off or too short for its type.
    static func parse(_ packet: [UInt8]) throws(Refusal) -> [Frame] {
        var reader = ByteReader(packet)
        var frames: [Frame] = []
        while !reader.isAtEnd {
            guard let type: UInt8 = reader.integer(), let body = reader.prefixed(by: UInt32.self) else {
                throw .malformed
            }
            if let frame = try Frame(type: type, body: body) { frames.append(frame) }
        }
        return frames
    }

    private init?(type: UInt8, body: [UInt8]) throws(Refusal) {
        var reader = ByteReader(body)
        switch type {
        case 1:
            self = .data(try DataFrame(reading: &reader, lane: .plain))
        case 2:
            self = .acknowledgement(try Acknowledgement(readingPlain: &reader))
        case 10, 11:
            guard let lane = Lane(reading: &reader) else { throw .malformed }
            self =
                type == 10
                ? .data(try DataFrame(reading: &reader, lane: lane))
                : .acknowledgement(try Acknowledgement(reading: &reader, lane: lane))
        case 3:
            guard let id: UInt64 = reader.integer() else { throw .malformed }
            self = .ping(id: id)
        case 4:
            guard let id: UInt64 = reader.integer() else { throw .malformed }
            self = .pong(id: id)
        case 5:
            self = .bye
        case 6:
            guard let flags: UInt8 = reader.integer(), reader.remaining % 8 == 0,
                reader.remaining / 8 <= Self.mostNeighbours
            else { throw .malformed }
            var ids: [UInt64] = []
            while let id: UInt64 = reader.integer() { ids.append(id) }
            self = .neighbours(forwards: flags & 1 != 0, ids)
        case 7:
            self = .presence(reader.rest())
        case 8:
            guard let raw = reader.bytes(64), let peer = PeerID(rawRepresentation: raw) else { throw .malformed }
            self = .forward(to: peer, reader.rest())
        case 9:
            self = .forwarded(reader.rest())
        case 12:
            guard let lane = Lane(reading: &reader),
                let stream: UInt64 = reader.integer(), let base: UInt64 = reader.integer()
            else { throw .malformed }
            self = .confirmed(lane, stream: stream, base: base)
        case 13:
            guard let id: UInt64 = reader.integer(), let offset: UInt64 = reader.integer(), offset < UInt64.max / 2,
                let flags: UInt8 = reader.integer()
            else { throw .malformed }
            self = .bytes(StreamPiece(id: id, offset: offset, isEnd: flags & 1 != 0, payload: reader.rest()))
        case 14:
            guard let id: UInt64 = reader.integer(), let received: UInt64 = reader.integer(),
                let limit: UInt64 = reader.integer()
            else { throw .malformed }
            self = .credit(id: id, received: received, limit: limit)
        case 15:
            guard let reason: UInt8 = reader.integer() else { throw .malformed }
            self = .refused(reason: reason)
        case 23:
            guard let bundle = PrekeyBundle(reading: &reader) else { throw .malformed }
            self = .prekeys(bundle)
        case 24:
            guard let id: UInt32 = reader.integer(), let count: UInt16 = reader.integer() else { throw .malformed }
            self = .prekeyStock(PrekeyStock(lastResort: PrekeyID(id), oneTime: count))
        case 25:
            guard let message: UInt64 = reader.integer(), let time: UInt64 = reader.integer() else { throw .malformed }
            self = .deadline(message: message, at: time)
        default:
            guard let frame = try RekeyFrame(type: type, reading: &reader) else { return nil }
            self = .rekeying(frame)
        }
    }
}
