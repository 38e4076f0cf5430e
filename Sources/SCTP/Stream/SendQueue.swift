import SwarmBase

/// Messages on their way out, per stream, and the scheduler that takes turns among the streams.
///
/// With DATA the fragments of one message must have consecutive numbers (RFC 9260 §6.9), so streams take turns by
/// message, round robin. With I-DATA (RFC 8260) they take turns by fragment, each stream in proportion to its weight
/// (RFC 8260 §3.6, weighted fair queueing by bytes).
struct SendQueue: Sendable {
    /// A part of a message that is to be sent next.
    struct Piece: Equatable, Sendable {
        /// Where the message is kept.
        var message: Int
        var offset: Int
        var length: Int
        /// Its place in the message.
        var number: UInt32
        var flags: DataChunk.Flags
    }

    private struct Stream: Sendable {
        var id: UInt16
        var nextSequence: UInt32 = 0
        var nextUnorderedSequence: UInt32 = 0
        /// Places of the messages that were not sent whole.
        var messages = RingBuffer<Int>(filler: -1)
        /// Payload bytes in `messages` that were not sent once.
        var bufferedBytes = 0
        var lowThreshold = 0
        /// Fragments sent whose numbers are above the peer's cumulative one.
        var outstanding = 0
        var isScheduled = false
        /// No new messages: the stream is to be reset once it is drained.
        var isClosing = false
        /// RFC 8831 §6.4's priority.
        var weight = SendQueue.normalWeight
        /// The stream's virtual time: bytes sent, each the longer the smaller the weight.
        var virtualTime: Int64 = 0

        /// The number of the next message; unordered ones have numbers only when interleaved.
        mutating func nextNumber(isUnordered: Bool, isInterleaved: Bool) -> UInt32 {
            if !isUnordered {
                defer { nextSequence &+= 1 }
                return nextSequence
            }
            guard isInterleaved else { return 0 }
            defer { nextUnorderedSequence &+= 1 }
            return nextUnorderedSequence
        }

        /// So many bytes of the stream were sent.
        ///
        /// - Returns: its virtual time before that.
        mutating func charge(_ bytes: Int) -> Int64 {
            defer { virtualTime += Int64(bytes + DataChunk.interleavedHeaderSize) << 16 / Int64(weight) }
            return virtualTime
        }

        /// Fewer bytes wait.
        ///
        /// - Returns: whether they fell to the threshold.
        mutating func reduce(by bytes: Int) -> Bool {
            let before = bufferedBytes
            bufferedBytes = before - bytes
            return before > lowThreshold && bufferedBytes <= lowThreshold
        }
    }

    /// "Normal" (RFC 8831 §6.4).
    static let normalWeight: UInt16 = 256

    private var streams: [Stream] = []
    private var slots = SlotIndex()
    private var messages: [OutgoingMessage] = []
    private var freeMessages: [Int] = []
    /// Slots with messages. DATA: in the order of their turns, the first one is being served.
    private var turns = RingBuffer<Int>(filler: -1)
    /// I-DATA: the same as a heap, the least virtual time first.
    private var heap: [Int] = []
    /// I-DATA: the virtual time of what was sent last; a stream that wakes up starts from it.
    private var virtualTime: Int64 = 0
    /// I-DATA: whole sizes of the messages of which a part was sent.
    private var startedBytes = 0
    /// The slot whose first message `nextLength` spoke of.
    private var served = -1

    /// Whether fragments of several messages may mix: both sides speak I-DATA. Set before the first piece is taken.
    private(set) var isInterleaved = false
    /// I-DATA: no further message of several fragments is begun while this many bytes are begun: the peer keeps all of
    /// them until they are whole, and its window must not fill with beginnings.
    var maxStartedBytes = Int.max
    /// Payload bytes of all streams that were not sent once.
    private(set) var bufferedBytes = 0
    /// Streams whose buffered bytes fell to their threshold; the owner takes them.
    var fallenLow: [UInt16] = []
    /// A closing stream has nothing left to send or to be acknowledged; the owner looks at its requests then.
    var didDrainClosingStream = false

    /// Whether every message was sent once.
    var isEmpty: Bool { turns.isEmpty && heap.isEmpty }

    /// Messages that were not sent whole.
    private(set) var waitingMessages = 0
    /// Messages kept: those, and the ones that were sent and not acknowledged.
    var messageCount: Int { messages.count - freeMessages.count }

    /// The message at `place`.
    subscript(place: Int) -> OutgoingMessage {
        _read { yield messages[place] }
    }

    /// Payload bytes given for `stream` and not sent once.
    func bufferedBytes(of stream: UInt16) -> Int {
        slots[stream].map { streams[$0].bufferedBytes } ?? 0
    }

    /// At or below how many buffered bytes the owner wants to hear that a stream runs dry.
    mutating func setLowThreshold(_ bytes: Int, of stream: UInt16) {
        streams[slot(of: stream)].lowThreshold = max(0, bytes)
    }

    /// How much of the association a stream gets beside others, when messages interleave; 0 counts as normal.
    mutating func setWeight(_ weight: UInt16, of stream: UInt16) {
        streams[slot(of: stream)].weight = weight == 0 ? Self.normalWeight : weight
    }

    /// Both sides speak I-DATA: what waits is scheduled by weight.
    mutating func interleave() {
        guard !isInterleaved else { return }
        isInterleaved = true
        while let slot = turns.popFirst() { push(slot) }
    }

    // MARK: Messages

    /// Takes a message; the caller checked its size and the room left.
    mutating func enqueue(
        _ payload: [UInt8], payloadProtocol: UInt32, on stream: UInt16, isUnordered: Bool, maxRetransmits: UInt16?,
        deadline: Instant
    ) {
        let slot = slot(of: stream)
        let count = payload.count
        let message = OutgoingMessage(
            payload: payload, stream: stream, slot: slot, payloadProtocol: payloadProtocol, isUnordered: isUnordered,
            maxRetransmits: maxRetransmits, deadline: deadline)
        let place: Int
        if let free = freeMessages.popLast() {
            messages[free] = message
            place = free
        } else {
            messages.append(message)
            place = messages.count - 1
        }
        streams[slot].messages.append(place)
        streams[slot].bufferedBytes += count
        bufferedBytes += count
        waitingMessages += 1
        if !streams[slot].isScheduled {
            streams[slot].isScheduled = true
            if isInterleaved {
                streams[slot].virtualTime = max(streams[slot].virtualTime, virtualTime)
                push(slot)
            } else {
                turns.append(slot)
            }
        }
    }

    /// How many bytes the message whose turn it is has left; `nil` when there is nothing to send. Drops messages whose
    /// lifetime ended before their first fragment was sent: they used no number, so nobody need hear of them.
    mutating func nextLength(now: Instant) -> Int? {
        expiredStarted = nil
        while let slot = nextSlot() {
            let place = streams[slot].messages[0]
            if messages[place].isExpired(at: now) {
                guard messages[place].sentBytes > 0 else {
                    drop(place, of: slot)
                    continue
                }
                expiredStarted = place
            }
            served = slot
            return messages[place].remaining
        }
        served = -1
        return nil
    }

    /// The message that `nextLength` spoke of, when it is past its lifetime although a part of it was sent.
    private(set) var expiredStarted: Int?

    /// Takes at most `length` bytes of the message that `nextLength` spoke of.
    mutating func take(_ length: Int) -> Piece? {
        let slot = served
        guard slot >= 0, length > 0, let place = streams[slot].messages.first else { return nil }
        let piece = messages[place].take(length, place: place)
        if piece.flags.contains(.begin) {
            messages[place].sequence = streams[slot].nextNumber(
                isUnordered: piece.flags.contains(.unordered), isInterleaved: isInterleaved)
        }
        if isInterleaved { virtualTime = max(virtualTime, streams[slot].charge(piece.length)) }
        if piece.flags.contains(.end) {
            if isInterleaved, piece.offset > 0 { startedBytes -= piece.offset + piece.length }
            endMessage(of: slot)
        } else if isInterleaved {
            if piece.offset == 0 { startedBytes += messages[place].payload.count }
            siftDown(slot)
        }
        streams[slot].outstanding += 1
        reduce(slot, by: piece.length)
        return piece
    }

    /// Gives a message up. If a rest of it was not sent, the rest is thrown away.
    ///
    /// - Returns: the end that stands for that rest: its owner spends a number on it, that the skip may cover the
    ///   message to its end.
    mutating func abandon(_ place: Int) -> Piece? {
        messages[place].isAbandoned = true
        let rest = messages[place].remaining
        guard rest > 0 else { return nil }
        let slot = messages[place].slot
        let size = messages[place].payload.count
        var flags: DataChunk.Flags = .end
        if messages[place].isUnordered { flags.insert(.unordered) }
        let number = messages[place].fragments
        if isInterleaved { startedBytes -= size }
        messages[place].sentBytes = size
        messages[place].outstanding += 1
        streams[slot].outstanding += 1
        bringToTop(slot)
        endMessage(of: slot)
        reduce(slot, by: rest)
        return Piece(message: place, offset: size, length: 0, number: number, flags: flags)
    }

    /// The peer's cumulative number passed a fragment of the message at `place`.
    mutating func settle(_ place: Int) {
        let slot = messages[place].slot
        if messages[place].settle() { free(place) }
        streams[slot].outstanding -= 1
        if streams[slot].isClosing { noteDrained(slot) }
    }

    // MARK: Streams

    /// Takes no more messages on a stream; with `discarding`, those of which nothing was sent are dropped.
    mutating func close(_ stream: UInt16, discarding: Bool) {
        let slot = slot(of: stream)
        streams[slot].isClosing = true
        if discarding, let first = streams[slot].messages.first {
            let isStarted = messages[first].sentBytes > 0
            if isStarted { _ = streams[slot].messages.popFirst() }
            var dropped = 0
            while let place = streams[slot].messages.popFirst() {
                dropped += messages[place].payload.count
                waitingMessages -= 1
                free(place)
            }
            if isStarted { streams[slot].messages.append(first) }
            // A stream without messages leaves the schedule when its turn comes.
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
        if resetSequence {
            streams[slot].nextSequence = 0
            streams[slot].nextUnorderedSequence = 0
        }
        streams[slot].isClosing = false
        streams[slot].lowThreshold = 0
        streams[slot].weight = Self.normalWeight
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

    private mutating func reduce(_ slot: Int, by bytes: Int) {
        guard bytes > 0 else { return }
        bufferedBytes -= bytes
        if streams[slot].reduce(by: bytes) { fallenLow.append(streams[slot].id) }
    }

    private mutating func noteDrained(_ slot: Int) {
        if streams[slot].isClosing, streams[slot].messages.isEmpty, streams[slot].outstanding == 0 {
            didDrainClosingStream = true
        }
    }

    private mutating func free(_ place: Int) {
        messages[place].payload = []
        freeMessages.append(place)
        if freeMessages.count == messages.count, messages.count > 128 {
            // Nothing is on its way: an idle association is small.
            messages = []
            freeMessages = []
        }
    }

    // MARK: Schedule

    /// The slot whose turn it is; those that have run empty leave the schedule.
    private mutating func nextSlot() -> Int? {
        while let slot = isInterleaved ? heap.first : turns.first {
            if streams[slot].messages.isEmpty {
                endTurn(of: slot)
                continue
            }
            return isInterleaved ? startable(slot) : slot
        }
        return nil
    }

    /// I-DATA: `slot`, or another one with a message begun when no further one may be begun.
    private func startable(_ slot: Int) -> Int {
        let place = streams[slot].messages[0]
        guard startedBytes > 0, messages[place].sentBytes == 0,
            startedBytes + messages[place].remaining > maxStartedBytes
        else { return slot }
        var best: Int?
        for other in heap {
            guard let first = streams[other].messages.first, messages[first].sentBytes > 0 else { continue }
            if let known = best, streams[known].virtualTime <= streams[other].virtualTime { continue }
            best = other
        }
        return best ?? slot
    }

    /// The first message of a slot was sent whole, or is given up.
    private mutating func endMessage(of slot: Int) {
        _ = streams[slot].messages.popFirst()
        waitingMessages -= 1
        endTurn(of: slot)
    }

    /// The message at `place`, of which nothing was sent, is worth nothing any more.
    private mutating func drop(_ place: Int, of slot: Int) {
        let size = messages[place].payload.count
        bringToTop(slot)
        endMessage(of: slot)
        free(place)
        reduce(slot, by: size)
    }

    /// The slot's turn is over: it goes to the end of the line if it has more.
    private mutating func endTurn(of slot: Int) {
        let isDone = streams[slot].messages.isEmpty
        if isInterleaved {
            if isDone { remove(slot) } else { siftDown(slot) }
        } else {
            _ = turns.popFirst()
            if !isDone { turns.append(slot) }
        }
        if isDone {
            streams[slot].isScheduled = false
            if streams[slot].isClosing { noteDrained(slot) }
        }
    }

    /// DATA: a message can only be dropped or given up while it is served, or was not begun, so its slot is the first.
    private func bringToTop(_ slot: Int) {
        precondition(isInterleaved || turns.first == slot)
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        (streams[a].virtualTime, streams[a].id) < (streams[b].virtualTime, streams[b].id)
    }

    private mutating func push(_ slot: Int) {
        heap.append(slot)
        var child = heap.count - 1
        while child > 0, precedes(heap[child], heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// A slot's virtual time has grown.
    private mutating func siftDown(_ slot: Int) {
        guard heap.count > 1, let index = heap.first == slot ? 0 : heap.firstIndex(of: slot) else { return }
        siftDown(from: index)
    }

    private mutating func siftDown(from index: Int) {
        var parent = index
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if precedes(heap[child], heap[least]) { least = child }
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    private mutating func remove(_ slot: Int) {
        guard let index = heap.first == slot ? 0 : heap.firstIndex(of: slot) else { return }
        heap.swapAt(index, heap.count - 1)
        heap.removeLast()
        guard index < heap.count else { return }
        siftDown(from: index)
        // What came from the end may also belong above.
        var child = index
        while child > 0, precedes(heap[child], heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }
}
