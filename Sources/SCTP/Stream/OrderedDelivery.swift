/// Brings the ordered messages of each stream into their order (RFC 9260 §6.5; RFC 8260 §2.2.3 with 32-bit numbers).
struct OrderedDelivery: Sendable {
    private struct Stream: Sendable {
        /// Unwrapped: its low bits are what the wire carries.
        var next: Int64 = 0
        /// Whole messages that wait for earlier ones.
        var held: [Int64: ReceivedMessage] = [:]
    }

    private var slots = SlotIndex()
    private var streams: [Stream] = []

    /// Payload bytes kept here, and how many messages.
    private(set) var heldBytes = 0
    private(set) var heldItems = 0

    /// The number on the wire, unwrapped next to the one that is expected.
    private static func unwrap(_ sequence: UInt32, near next: Int64, isInterleaved: Bool) -> Int64 {
        isInterleaved
            ? next &+ Int64(Int32(bitPattern: sequence &- UInt32(truncatingIfNeeded: next)))
            : next
                &+ Int64(
                    Int16(bitPattern: UInt16(truncatingIfNeeded: sequence) &- UInt16(truncatingIfNeeded: next)))
    }

    private mutating func slot(of stream: UInt16) -> Int {
        if let slot = slots[stream] { return slot }
        streams.append(Stream())
        slots[stream] = streams.count - 1
        return streams.count - 1
    }

    /// Hands a message out, and those that waited for it, or keeps it until its turn comes.
    mutating func deliver(
        _ message: ReceivedMessage, sequence: UInt32, isInterleaved: Bool, to inbox: inout Inbox
    ) {
        let slot = slot(of: message.stream)
        let next = streams[slot].next
        let number = Self.unwrap(sequence, near: next, isInterleaved: isInterleaved)
        guard number == next else {
            // A number of the past is the peer's mistake: its turn never comes, so the message is dropped.
            guard number > next else { return }
            if streams[slot].held.updateValue(message, forKey: number) == nil {
                heldBytes += message.payload.count
                heldItems += 1
            }
            return
        }
        inbox.deliver(message)
        streams[slot].next = next + 1
        if !streams[slot].held.isEmpty { release(slot, to: &inbox) }
    }

    /// Whether the turn of a message has passed.
    func hasPassed(_ sequence: UInt32, of stream: UInt16) -> Bool {
        guard let slot = slots[stream] else { return false }
        return Self.unwrap(sequence, near: streams[slot].next, isInterleaved: true) < streams[slot].next
    }

    /// A message and those before it will not come: what waits behind them goes (RFC 3758 §3.6).
    mutating func skip(
        stream: UInt16, sequence: UInt32, isInterleaved: Bool, to inbox: inout Inbox
    ) {
        let slot = slot(of: stream)
        let number = Self.unwrap(sequence, near: streams[slot].next, isInterleaved: isInterleaved)
        guard number >= streams[slot].next else { return }
        streams[slot].next = number + 1
        // Whole messages below the new number were received and not given up: they go out in their order.
        for passed in streams[slot].held.keys.filter({ $0 <= number }).sorted() {
            guard let message = streams[slot].held.removeValue(forKey: passed) else { continue }
            heldBytes -= message.payload.count
            heldItems -= 1
            inbox.deliver(message)
        }
        release(slot, to: &inbox)
    }

    /// Hands out the messages whose turn has come.
    private mutating func release(_ slot: Int, to inbox: inout Inbox) {
        while let message = streams[slot].held.removeValue(forKey: streams[slot].next) {
            heldBytes -= message.payload.count
            heldItems -= 1
            streams[slot].next += 1
            inbox.deliver(message)
        }
    }

    /// Starts a stream again at 0 and drops what waited on it (RFC 6525 §5.2.2).
    mutating func reset(_ stream: UInt16) {
        guard let slot = slots[stream] else { return }
        for message in streams[slot].held.values {
            heldBytes -= message.payload.count
            heldItems -= 1
        }
        streams[slot] = Stream()
    }

    /// The same for all streams.
    mutating func resetAll() { self = OrderedDelivery() }
}
