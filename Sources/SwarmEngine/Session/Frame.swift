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

    /// The most neighbours that are told of.
    static let mostNeighbours = 256

    /// The bytes a frame adds to its body.
    static let overhead = 5

    /// Appends the frame to a packet.
    func write(to packet: inout [UInt8]) {
        var body = ByteWriter()
        let type: UInt8
        switch self {
        case .data(let frame):
            type = 1
            body.bytes.reserveCapacity(DataFrame.headerSize + frame.payload.count)
            body.integer(frame.stream)
            body.integer(frame.sequence)
            body.integer(frame.base)
            body.integer(frame.message)
            body.integer(frame.flags.rawValue)
            body.append(frame.payload)
        case .acknowledgement(let frame):
            type = 2
            body.integer(frame.stream)
            body.integer(frame.received)
            body.integer(frame.durable)
            body.integer(frame.window)
        case .ping(let id):
            type = 3
            body.integer(id)
        case .pong(let id):
            type = 4
            body.integer(id)
        case .bye:
            type = 5
        case .neighbours(let forwards, let ids):
            type = 6
            body.integer(UInt8(forwards ? 1 : 0))
            for id in ids { body.integer(id) }
        case .presence(let sealed):
            type = 7
            body.append(sealed)
        case .forward(let peer, let datagram):
            type = 8
            body.append(peer.rawRepresentation)
            body.append(datagram)
        case .forwarded(let datagram):
            type = 9
            body.append(datagram)
        case .rekeying(let frame):
            type = frame.type
            frame.write(to: &body)
        case .prekeys(let bundle):
            type = 23
            bundle.write(to: &body)
        case .prekeyStock(let stock):
            type = 24
            body.integer(stock.lastResort?.value ?? 0)
            body.integer(stock.oneTime)
        }
        var header = ByteWriter(capacity: Self.overhead)
        header.integer(type)
        header.integer(UInt32(body.bytes.count))
        packet += header.bytes
        packet += body.bytes
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
            guard let stream: UInt64 = reader.integer(), let sequence: UInt64 = reader.integer(),
                let base: UInt64 = reader.integer(), let message: UInt64 = reader.integer(),
                let flags: UInt8 = reader.integer(), base >= 1, base <= sequence, sequence < UInt64.max / 2
            else { throw .malformed }
            self = .data(
                DataFrame(
                    stream: stream, sequence: sequence, base: base, message: message, flags: .init(rawValue: flags),
                    payload: reader.rest()))
        case 2:
            guard let stream: UInt64 = reader.integer(), let received: UInt64 = reader.integer(),
                let durable: UInt64 = reader.integer(), let window: UInt16 = reader.integer(), durable <= received
            else { throw .malformed }
            self = .acknowledgement(
                Acknowledgement(stream: stream, received: received, durable: durable, window: window))
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
        case 23:
            guard let bundle = PrekeyBundle(reading: &reader) else { throw .malformed }
            self = .prekeys(bundle)
        case 24:
            guard let id: UInt32 = reader.integer(), let count: UInt16 = reader.integer() else { throw .malformed }
            self = .prekeyStock(PrekeyStock(lastResort: PrekeyID(id), oneTime: count))
        default:
            guard let frame = try RekeyFrame(type: type, reading: &reader) else { return nil }
            self = .rekeying(frame)
        }
    }
}

/// A piece of a message.
struct DataFrame: Equatable, Sendable {
    struct Flags: OptionSet, Equatable, Sendable {
        let rawValue: UInt8
        /// The message begins here.
        static let first = Flags(rawValue: 1)
        /// The message ends here.
        static let last = Flags(rawValue: 2)
        /// The message is text.
        static let text = Flags(rawValue: 4)
    }

    static let headerSize = 33

    /// Which run of sequence numbers this belongs to: random, made when a member first writes to another.
    var stream: UInt64
    /// Counts the fragments of the stream, from 1.
    var sequence: UInt64
    /// The lowest sequence number that the sender has not seen acknowledged: where a receiver that knows nothing of the
    /// stream begins.
    var base: UInt64
    /// Counts the messages of the stream, from 1.
    var message: UInt64
    var flags: Flags
    var payload: [UInt8]
}

/// How far a stream has arrived.
struct Acknowledgement: Equatable, Sendable {
    var stream: UInt64
    /// Everything before this has come: it need not be sent again while both members run.
    var received: UInt64
    /// Everything before this was handed to the application, and the receiver knows so even after a restart: the sender
    /// may forget it.
    var durable: UInt64
    /// How many fragments from `received` on the receiver takes now; 0 while its application does not keep up.
    var window: UInt16
}
