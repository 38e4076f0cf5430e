import SwarmBase

/// A message of ours as it is kept.
struct KeptMessage: Sendable {
    var number: UInt64
    var sequence: UInt64
    var isText: Bool
    var lane = Lane.plain
    /// By the wall clock, in milliseconds since 1970; 0 for none.
    var deadline: UInt64 = 0
    var fragments: UInt32 = 0
    var isWithdrawn = false
    var bytes: [UInt8]

    /// Number, sequence number, flags (1 text, 2 more about it, 4 withdrawn), with flag 2 lane, deadline and number of
    /// fragments, and the content.
    var kept: [UInt8] {
        var writer = ByteWriter(capacity: bytes.count + 32)
        writer.integer(number)
        writer.integer(sequence)
        let hasMore = lane != .plain || deadline != 0 || isWithdrawn
        writer.integer(UInt8((isText ? 1 : 0) | (hasMore ? 2 : 0) | (isWithdrawn ? 4 : 0)))
        if hasMore {
            writer.integer(lane.number)
            writer.integer(deadline)
            writer.integer(fragments)
        }
        writer.append(bytes)
        return writer.bytes
    }

    init(
        number: UInt64, sequence: UInt64, isText: Bool, lane: Lane, deadline: UInt64, fragments: UInt32,
        isWithdrawn: Bool, bytes: [UInt8]
    ) {
        self.number = number
        self.sequence = sequence
        self.isText = isText
        self.lane = lane
        self.deadline = deadline
        self.fragments = fragments
        self.isWithdrawn = isWithdrawn
        self.bytes = bytes
    }

    init?(kept: [UInt8]) {
        var reader = ByteReader(kept)
        guard let number: UInt64 = reader.integer(), let sequence: UInt64 = reader.integer(),
            let flags: UInt8 = reader.integer(), sequence >= 1, number < UInt64.max / 2, sequence < UInt64.max / 2
        else { return nil }
        self.number = number
        self.sequence = sequence
        isText = flags & 1 != 0
        isWithdrawn = flags & 4 != 0
        if flags & 2 != 0 {
            guard let lane = Lane(reading: &reader),
                let deadline: UInt64 = reader.integer(), let fragments: UInt32 = reader.integer(), fragments <= 1 << 20
            else { return nil }
            self.lane = lane
            self.deadline = deadline
            self.fragments = fragments
        }
        bytes = reader.rest()
    }

    var content: MessageContent { isText ? .text(String(decoding: bytes, as: UTF8.self)) : .binary(bytes) }
}

/// What an earlier run kept of the conversation with one member.
struct KeptConversation: Sendable {
    private var messages: [KeptMessage] = []
    private var outbound: [Lane: (stream: UInt64, nextMessage: UInt64, next: UInt64)] = [:]
    private var inbound: [Lane: InboundNote] = [:]

    var isEmpty: Bool { outbound.isEmpty && inbound.isEmpty }

    /// Takes one record: what kind it is, and what else its key says. What does not parse is passed over.
    mutating func take(_ kind: Substring, _ word: Substring?, _ value: [UInt8]) {
        var reader = ByteReader(value)
        let lane = word.map { UInt8($0).flatMap { Lane(number: $0) } } ?? .plain
        switch kind {
        case "out":
            guard let lane, let stream: UInt64 = reader.integer(), let nextMessage: UInt64 = reader.integer(),
                let next: UInt64 = reader.integer(), next >= 1
            else { return }
            outbound[lane] = (stream, nextMessage, next)
        case "in":
            if let lane, let note = InboundNote(kept: value) { inbound[lane] = note }
        case "msg":
            if let message = KeptMessage(kept: value) { messages.append(message) }
        default: break
        }
    }

    /// The conversation taken up again.
    ///
    /// - Parameters:
    ///   - fresh: the stream of lane 0 if none was kept.
    ///   - moment: when a reading of the wall clock is; a past one is not after the present.
    func session(
        _ configuration: SessionConfiguration, fresh: Outbound, seed: UInt64, moment: (UInt64) -> Instant
    ) -> Session {
        var session = Session(
            configuration: configuration, outbound: outbound[.plain].map { restored(.plain, $0, moment) } ?? fresh,
            seed: seed)
        for (lane, kept) in outbound where lane != .plain && !lane.isControl {
            session.outbounds[lane.index] = restored(lane, kept, moment)
        }
        for (lane, note) in inbound where !lane.isControl { session.inbounds[lane.index].restore(note) }
        session.nextMessage = outbound.values.map(\.nextMessage).max() ?? 1
        for message in messages { session.nextMessage = max(session.nextMessage, message.number + 1) }
        return session
    }

    private func restored(
        _ lane: Lane, _ kept: (stream: UInt64, nextMessage: UInt64, next: UInt64), _ moment: (UInt64) -> Instant
    ) -> Outbound {
        let waiting = messages.filter { $0.lane == lane }.sorted { $0.number < $1.number }
        var outbound = Outbound(
            lane: lane, stream: kept.stream, base: waiting.first?.sequence ?? kept.next, nextMessage: kept.nextMessage)
        for message in waiting {
            if lane != .plain { outbound.fillGap(before: message.sequence) }
            if message.isWithdrawn {
                outbound.enqueueWithdrawn(number: message.number, fragments: Int(message.fragments))
            } else {
                outbound.enqueue(
                    message.content, number: message.number,
                    deadline: message.deadline == 0 ? nil : moment(message.deadline))
            }
        }
        if lane != .plain { outbound.fillGap(before: kept.next) }
        outbound.markAllSent()
        return outbound
    }
}
