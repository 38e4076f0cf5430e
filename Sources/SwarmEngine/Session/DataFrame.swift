import SwarmBase

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
        /// The message is not to be handed on; what this held is not sent.
        static let withdrawn = Flags(rawValue: 8)
        /// What goes over the wire.
        static let sent: Flags = [.first, .last, .text, .withdrawn]
        /// At the writer: it need not be sent any more. At the reader: it was more than is kept.
        static let dropped = Flags(rawValue: 128)
    }

    static let headerSize = 34

    var lane = Lane.plain
    /// Which run of sequence numbers this belongs to: random, made when a member first writes to another.
    var stream: UInt64
    /// Counts the fragments of the stream, from 1.
    var sequence: UInt64
    /// The lowest sequence number that the sender has not seen acknowledged: where a receiver that knows nothing of the
    /// stream begins.
    var base: UInt64
    /// Names the message among those of the sender to this receiver.
    var message: UInt64
    var flags: Flags
    var payload: [UInt8]

    init(
        lane: Lane = .plain, stream: UInt64, sequence: UInt64, base: UInt64, message: UInt64, flags: Flags,
        payload: [UInt8]
    ) {
        self.lane = lane
        self.stream = stream
        self.sequence = sequence
        self.base = base
        self.message = message
        self.flags = flags
        self.payload = payload
    }

    init(reading reader: inout ByteReader, lane: Lane) throws(Refusal) {
        guard let stream: UInt64 = reader.integer(), let sequence: UInt64 = reader.integer(),
            let base: UInt64 = reader.integer(), let message: UInt64 = reader.integer(),
            let flags: UInt8 = reader.integer(), base >= 1, base <= sequence, sequence < UInt64.max / 2
        else { throw .malformed }
        self.init(
            lane: lane, stream: stream, sequence: sequence, base: base, message: message,
            flags: Flags(rawValue: flags).intersection(.sent), payload: reader.rest())
    }

    func write(to body: inout ByteWriter) {
        body.bytes.reserveCapacity(body.bytes.count + Self.headerSize + payload.count)
        body.integer(stream)
        body.integer(sequence)
        body.integer(base)
        body.integer(message)
        body.integer(flags.intersection(.sent).rawValue)
        body.append(payload)
    }
}

/// How far a lane has arrived.
struct Acknowledgement: Equatable, Sendable {
    /// The most outcomes in one frame: the largest window, and as much again that was noted late.
    static let mostOutcomes = 2048
    /// How far beyond `durable` the bitmap reaches, in fragments.
    static let farthest = 8192

    var lane = Lane.plain
    var stream: UInt64
    /// Everything before this has come: it need not be sent again while both members run.
    var received: UInt64
    /// Everything before this was handed to the application, and the receiver knows so even after a restart: the sender
    /// may forget it.
    var durable: UInt64
    /// How many fragments from `received` on the receiver takes now; 0 while its application does not keep up.
    var window: UInt16
    /// What became of messages that were not handed on.
    var outcomes: [InboundNote.Outcome] = []
    /// Which fragments beyond `durable` the same is true of.
    var bitmap: [UInt8] = []

    init(
        lane: Lane = .plain, stream: UInt64, received: UInt64, durable: UInt64, window: UInt16,
        outcomes: [InboundNote.Outcome] = [], bitmap: [UInt8] = []
    ) {
        self.lane = lane
        self.stream = stream
        self.received = received
        self.durable = durable
        self.window = window
        self.outcomes = outcomes
        self.bitmap = bitmap
    }

    /// The bytes it takes in a packet.
    var size: Int { Frame.overhead + 29 + min(outcomes.count, Self.mostOutcomes) * 9 + bitmap.count }

    /// Whether the frame that every member knows can say it.
    var isPlain: Bool { lane == .plain && outcomes.isEmpty && bitmap.isEmpty }

    /// Whether a fragment is handed on and noted.
    func covers(_ sequence: UInt64) -> Bool { InboundNote.covers(sequence, next: durable, beyond: bitmap) }

    init(readingPlain reader: inout ByteReader) throws(Refusal) {
        guard let stream: UInt64 = reader.integer(), let received: UInt64 = reader.integer(),
            let durable: UInt64 = reader.integer(), let window: UInt16 = reader.integer(), durable <= received
        else { throw .malformed }
        self.init(stream: stream, received: received, durable: durable, window: window)
    }

    init(reading reader: inout ByteReader, lane: Lane) throws(Refusal) {
        try self.init(readingPlain: &reader)
        self.lane = lane
        guard let count: UInt16 = reader.integer(), count <= Self.mostOutcomes else { throw .malformed }
        for _ in 0..<count {
            guard let message: UInt64 = reader.integer(), let code: UInt8 = reader.integer() else { throw .malformed }
            outcomes.append(InboundNote.Outcome(sequence: 0, message: message, code: code))
        }
        guard reader.remaining <= Self.farthest / 8 else { throw .malformed }
        bitmap = reader.rest()
    }

    func writePlain(to body: inout ByteWriter) {
        body.integer(stream)
        body.integer(received)
        body.integer(durable)
        body.integer(window)
    }

    func write(to body: inout ByteWriter) {
        body.integer(lane.number)
        writePlain(to: &body)
        let outcomes = self.outcomes.prefix(Self.mostOutcomes)
        body.integer(UInt16(truncatingIfNeeded: outcomes.count))
        for outcome in outcomes {
            body.integer(outcome.message)
            body.integer(outcome.code)
        }
        body.append(bitmap)
    }
}

/// A piece of one direction of a byte stream.
struct StreamPiece: Equatable, Sendable {
    /// The bytes before the payload.
    static let headerSize = 17

    var id: UInt64
    /// Where the payload belongs.
    var offset: UInt64
    /// The direction ends behind the payload.
    var isEnd: Bool
    var payload: [UInt8]
}
