import SwarmBase

/// Messages that were not sent yet, per stream, and the scheduler that takes turns among the streams: round robin by
/// message, because the fragments of one message must have consecutive numbers (RFC 9260 §6.9).
struct SendQueue: Sendable {
    /// The next piece to be sent.
    struct Fragment: Sendable {
        var message: OutgoingMessage
        var range: Range<Int>
        var flags: DataChunk.Flags
    }

    private struct Stream: Sendable {
        var id: UInt16
        var nextSequence: UInt16 = 0
        var messages = RingBuffer(filler: OutgoingMessage.filler)
        /// Payload bytes in `messages` that were not sent once.
        var bufferedBytes = 0
        var lowThreshold = 0
        /// Fragments sent whose numbers are above the peer's cumulative one.
        var outstanding = 0
        var isScheduled = false
        /// No new messages: the stream is to be reset once it is drained.
        var isClosing = false
    }

    private var streams: [Stream] = []
    private var slots: [UInt16: Int] = [:]
    /// Slots with messages, in the order of their turns; the first one is being served.
    private var turns = RingBuffer(filler: 0)
    /// How much of the served message was sent.
    private var offset = 0
    private var nextMessageID: UInt64 = 1

    /// Payload bytes of all streams that were not sent once.
    private(set) var bufferedBytes = 0
    /// Streams whose buffered bytes fell to their threshold; the owner takes them.
    var fallenLow: [UInt16] = []
    /// A closing stream has nothing left to send or to be acknowledged; the owner looks at its requests then.
    var didDrainClosingStream = false

    var isEmpty: Bool { turns.isEmpty }

    /// Payload bytes given for `stream` and not sent once.
    func bufferedBytes(of stream: UInt16) -> Int {
        slots[stream].map { streams[$0].bufferedBytes } ?? 0
    }

    /// At or below how many buffered bytes the owner wants to hear that a stream runs dry.
    mutating func setLowThreshold(_ bytes: Int, of stream: UInt16) {
        streams[slot(of: stream)].lowThreshold = max(0, bytes)
    }

    /// Takes a message; the caller checked its size and the room left.
    mutating func enqueue(
        _ payload: [UInt8], payloadProtocol: UInt32, on stream: UInt16, isUnordered: Bool, maxRetransmits: UInt16?,
        deadline: Instant
    ) {
        let slot = slot(of: stream)
        streams[slot].messages.append(
            OutgoingMessage(
                id: nextMessageID, stream: stream, slot: slot, payloadProtocol: payloadProtocol,
                isUnordered: isUnordered, maxRetransmits: maxRetransmits, deadline: deadline, payload: payload))
        nextMessageID += 1
        streams[slot].bufferedBytes += payload.count
        bufferedBytes += payload.count
        if !streams[slot].isScheduled {
            streams[slot].isScheduled = true
            turns.append(slot)
        }
    }

    /// How many bytes the served message has left; `nil` when there is nothing to send. Drops messages whose
    /// lifetime ended before their first fragment was sent: they used no number, so nobody need hear of them.
    mutating func nextLength(now: Instant) -> Int? {
        while let slot = turns.first {
            guard let message = streams[slot].messages.first else {
                endTurn(of: slot)
                continue
            }
            if offset == 0, message.isExpired(at: now) {
                _ = streams[slot].messages.popFirst()
                reduce(slot, by: message.payload.count)
                endTurn(of: slot)
                continue
            }
            return message.payload.count - offset
        }
        return nil
    }

    /// The message being served is past its lifetime although a part of it was sent.
    func isServedMessageExpired(now: Instant) -> Bool {
        guard offset > 0, let slot = turns.first, let message = streams[slot].messages.first else { return false }
        return message.isExpired(at: now)
    }

    /// The message of which a part was sent.
    var servedMessageID: UInt64? {
        guard offset > 0, let slot = turns.first else { return nil }
        return streams[slot].messages.first?.id
    }

    /// Takes at most `length` bytes of the served message.
    mutating func take(_ length: Int) -> Fragment? {
        guard let slot = turns.first, !streams[slot].messages.isEmpty, length > 0 else { return nil }
        var flags: DataChunk.Flags = []
        if offset == 0 {
            flags.insert(.begin)
            if !streams[slot].messages[0].isUnordered {
                streams[slot].messages[0].streamSequence = streams[slot].nextSequence
                streams[slot].nextSequence &+= 1
            }
        }
        let message = streams[slot].messages[0]
        if message.isUnordered { flags.insert(.unordered) }
        let range = offset..<min(message.payload.count, offset + length)
        if range.upperBound == message.payload.count {
            flags.insert(.end)
            _ = streams[slot].messages.popFirst()
            endTurn(of: slot)
        } else {
            offset = range.upperBound
        }
        streams[slot].outstanding += 1
        reduce(slot, by: range.count)
        return Fragment(message: message, range: range, flags: flags)
    }

    /// Throws the unsent rest of the served message away.
    ///
    /// - Returns: the message, when it was the served one: its owner spends a number on the end that is never sent.
    mutating func discardRest(of id: UInt64) -> OutgoingMessage? {
        guard offset > 0, let slot = turns.first, let message = streams[slot].messages.first, message.id == id else {
            return nil
        }
        _ = streams[slot].messages.popFirst()
        reduce(slot, by: message.payload.count - offset)
        streams[slot].outstanding += 1
        endTurn(of: slot)
        return message
    }

    /// The peer's cumulative number passed a fragment of this slot.
    mutating func settle(slot: Int) {
        streams[slot].outstanding -= 1
        noteDrained(slot)
    }

    /// Takes no more messages on a stream; with `discarding`, those of which nothing was sent are dropped.
    mutating func close(_ stream: UInt16, discarding: Bool) {
        let slot = slot(of: stream)
        streams[slot].isClosing = true
        if discarding {
            let isServed = turns.first == slot && offset > 0
            let kept = isServed ? streams[slot].messages.popFirst() : nil
            var dropped = 0
            while let message = streams[slot].messages.popFirst() { dropped += message.payload.count }
            if let kept { streams[slot].messages.append(kept) }
            reduce(slot, by: dropped)
        }
        noteDrained(slot)
    }

    /// Whether messages are refused on a stream.
    func isClosing(_ stream: UInt16) -> Bool {
        slots[stream].map { streams[$0].isClosing } ?? false
    }

    /// Whether all data of a stream was sent and acknowledged or given up.
    func isDrained(_ stream: UInt16) -> Bool {
        slots[stream].map { streams[$0].messages.isEmpty && streams[$0].outstanding == 0 } ?? true
    }

    /// The stream was reset: it starts again at sequence 0, and takes messages.
    mutating func reopen(_ stream: UInt16, resetSequence: Bool) {
        guard let slot = slots[stream] else { return }
        if resetSequence { streams[slot].nextSequence = 0 }
        streams[slot].isClosing = false
        streams[slot].lowThreshold = 0
    }

    /// Drops everything.
    mutating func removeAll() {
        self = SendQueue()
    }

    private mutating func slot(of stream: UInt16) -> Int {
        if let slot = slots[stream] { return slot }
        streams.append(Stream(id: stream))
        slots[stream] = streams.count - 1
        return streams.count - 1
    }

    /// The slot's turn is over: it goes to the end of the line if it has more.
    private mutating func endTurn(of slot: Int) {
        offset = 0
        _ = turns.popFirst()
        if streams[slot].messages.isEmpty {
            streams[slot].isScheduled = false
            noteDrained(slot)
        } else {
            turns.append(slot)
        }
    }

    private mutating func reduce(_ slot: Int, by bytes: Int) {
        guard bytes > 0 else { return }
        let before = streams[slot].bufferedBytes
        let after = before - bytes
        streams[slot].bufferedBytes = after
        bufferedBytes -= bytes
        let threshold = streams[slot].lowThreshold
        if before > threshold, after <= threshold { fallenLow.append(streams[slot].id) }
    }

    private mutating func noteDrained(_ slot: Int) {
        if streams[slot].isClosing, streams[slot].messages.isEmpty, streams[slot].outstanding == 0 {
            didDrainClosingStream = true
        }
    }
}
