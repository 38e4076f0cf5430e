import DequeModule
import SwarmBase

/// What one member has to say to another in one lane: numbered fragments, kept until acknowledged.
struct Outbound: Sendable {
    /// The longest fragment, in bytes: two of them and their headers still make a relay envelope of under 24 KiB of text.
    static let fragmentSize = 8 * 1024

    /// A message that waits for acknowledgement.
    struct Entry: Equatable, Sendable {
        var number: UInt64
        /// Its fragments.
        var first: UInt64
        var last: UInt64
        /// Its bytes.
        var size: Int
        var deadline: Instant?
        /// The application knows what became of it, or is never to be told.
        var isSettled = false
        var isWithdrawn = false
        /// The reader is through with it, though not with all before it.
        var isOver = false
    }

    /// What became of a message.
    struct Settled: Equatable, Sendable {
        var number: UInt64
        /// `nil` when the application knows it already.
        var outcome: MessageOutcome?
    }

    /// What a deadline that has passed brought about.
    struct Withdrawal: Equatable, Sendable {
        var entry: Entry
        /// It cannot arrive any more. Otherwise the reader decides.
        var isExpired: Bool
    }

    let lane: Lane
    let stream: UInt64
    /// The lowest sequence number that is not durably acknowledged; `base == next` when all is.
    private(set) var base: UInt64
    /// Outcomes of messages that end before this will not be asked for again.
    private(set) var confirmed: UInt64 = 1
    /// The lowest sequence number that the running peer has not got; from `base` to `next`.
    private(set) var received: UInt64
    /// How many fragments from `received` on the peer takes.
    private var window: UInt64
    /// The next sequence number to be given out.
    private(set) var next: UInt64
    /// Fragments before this may leave: what is to survive a restart leaves only when it is kept, or the next run would
    /// give its numbers to other messages.
    private(set) var released: UInt64
    /// Fragments before this may have left.
    private(set) var sentBefore: UInt64
    private(set) var nextMessage: UInt64
    /// Bytes of payload that wait for acknowledgement.
    private(set) var bytes = 0
    /// The next fragment to be sent on each path; 0 for the first there is.
    var cursors = CarrierTable<UInt64>(0)
    private var fragments: Deque<DataFrame> = []
    private(set) var entries: Deque<Entry> = []
    private var deadlines = DeadlineQueue<UInt64>()

    /// A new stream.
    init(lane: Lane = .plain, stream: UInt64) {
        self.init(lane: lane, stream: stream, base: 1, nextMessage: 1)
    }

    /// A stream taken up again after a restart; its messages are enqueued again with their old numbers.
    init(lane: Lane = .plain, stream: UInt64, base: UInt64, nextMessage: UInt64) {
        self.lane = lane
        self.stream = stream
        self.base = base
        next = base
        received = base
        released = base
        sentBefore = base
        window = UInt64(lane.window)
        self.nextMessage = nextMessage
    }

    var isEmpty: Bool { fragments.isEmpty }

    // MARK: Messages

    /// Cuts a message into fragments.
    ///
    /// - Parameters:
    ///   - number: what names it; numbers grow.
    ///   - isHeld: the fragments leave only after `release(before:)`.
    /// - Returns: the message's number and the first of its sequence numbers.
    @discardableResult
    mutating func enqueue(
        _ content: MessageContent, number: UInt64? = nil, deadline: Instant? = nil, isHeld: Bool = false
    ) -> (message: UInt64, sequence: UInt64) {
        let payload = content.bytes
        let number = number ?? nextMessage
        let first = next
        nextMessage = number + 1
        var offset = 0
        repeat {
            let end = min(offset + Self.fragmentSize, payload.count)
            var flags: DataFrame.Flags = content.isText ? .text : []
            if offset == 0 { flags.insert(.first) }
            if end == payload.count { flags.insert(.last) }
            append(number, flags, end - offset == payload.count ? payload : Array(payload[offset..<end]))
            offset = end
        } while offset < payload.count
        finish(number, first: first, size: payload.count, isHeld: isHeld)
        if let deadline {
            entries[entries.count - 1].deadline = deadline
            deadlines.add(number, at: deadline)
        }
        return (number, first)
    }

    /// Takes up a message of an earlier run that was withdrawn then, or whose deadline has passed since.
    mutating func enqueueWithdrawn(number: UInt64, fragments count: Int) {
        let first = next
        nextMessage = number + 1
        for index in 0..<max(1, count) {
            append(number, withdrawnFlags(isFirst: index == 0, isLast: index == max(1, count) - 1), [])
        }
        finish(number, first: first, size: 0, isHeld: false)
        entries[entries.count - 1].isWithdrawn = true
    }

    /// Takes up a stream in which messages were through before others ahead of them: their numbers stay used.
    mutating func fillGap(before sequence: UInt64) {
        while next < sequence { append(0, Self.tombstone, []) }
        released = next
    }

    /// What stands for a fragment of a message that is over: a reader that has lost what it noted passes over it.
    private static let tombstone: DataFrame.Flags = [.first, .last, .withdrawn]

    private mutating func append(_ number: UInt64, _ flags: DataFrame.Flags, _ payload: [UInt8]) {
        fragments.append(
            DataFrame(
                lane: lane, stream: stream, sequence: next, base: base, message: number, flags: flags, payload: payload)
        )
        next += 1
    }

    private mutating func finish(_ number: UInt64, first: UInt64, size: Int, isHeld: Bool) {
        entries.append(Entry(number: number, first: first, last: next - 1, size: size))
        bytes += size
        if !isHeld { released = next }
    }

    /// What was enqueued before this number is kept, and may leave.
    mutating func release(before sequence: UInt64) { released = max(released, min(sequence, next)) }

    /// What is before this has left by a way that is no path.
    mutating func markSent(before sequence: UInt64) { sentBefore = max(sentBefore, min(sequence, next)) }

    /// Everything so far may have left already, in an earlier run.
    mutating func markAllSent() { sentBefore = next }

    // MARK: Fragments

    /// The fragment with a number, carrying the current base; `nil` when it is acknowledged, held or not there yet.
    func fragment(_ sequence: UInt64) -> DataFrame? {
        guard sequence >= base, sequence < released else { return nil }
        var fragment = fragments[Int(sequence - base)]
        fragment.base = base
        return fragment
    }

    /// The number of the next fragment that is to go by a path now.
    func nextSequence(on carrier: Carrier) -> UInt64? {
        var sequence = max(cursors[carrier], received)
        let limit = min(released, received + min(window, UInt64(lane.window)))
        while sequence < limit, fragments[Int(sequence - base)].flags.contains(.dropped) { sequence += 1 }
        return sequence < limit ? sequence : nil
    }

    /// The number of the first fragment from there on that can be left as mail.
    ///
    /// - Parameters:
    ///   - knowsDeadlines: the reader of mail does. Else nothing is left from a message on that may yet be withdrawn.
    ///   - knowsLanes: the reader knows what withdrawn means. Else a message that has left cannot be.
    func nextInMail(from start: UInt64, knowsDeadlines: Bool, knowsLanes: Bool) -> UInt64? {
        var sequence = max(start, base)
        while sequence < released, fragments[Int(sequence - base)].flags.contains(.dropped) { sequence += 1 }
        guard sequence < released else { return nil }
        if !knowsDeadlines, let index = index(of: fragments[Int(sequence - base)].message),
            entries[index].deadline != nil, !entries[index].isWithdrawn,
            knowsLanes || entries[index].first >= sentBefore
        {
            return nil
        }
        return sequence
    }

    /// When a message that is not withdrawn is no longer of use.
    func deadline(of number: UInt64) -> Instant? {
        index(of: number).flatMap { entries[$0].isWithdrawn ? nil : entries[$0].deadline }
    }

    /// The bytes that a fragment takes in a packet.
    func size(of sequence: UInt64) -> Int {
        Frame.overhead + DataFrame.headerSize + fragments[Int(sequence - base)].payload.count
    }

    /// The same of all those before one that wait for acknowledgement.
    func size(before sequence: UInt64) -> Int {
        fragments.prefix(while: { $0.sequence < sequence }).lazy.filter { !$0.flags.contains(.dropped) }
            .reduce(0) { $0 + size(of: $1.sequence) }
    }

    /// A fragment has gone by a path.
    mutating func sent(_ sequence: UInt64, on carrier: Carrier) {
        cursors[carrier] = sequence + 1
        sentBefore = max(sentBefore, sequence + 1)
    }

    /// It is noted that what ends before this number is over.
    mutating func confirm(before sequence: UInt64) { confirmed = max(confirmed, min(sequence, base)) }

    /// The peer runs anew: it has what was durable, no more.
    mutating func peerRestarted() {
        received = base
        window = UInt64(lane.window)
        guard !lane.isOrdered else { return }
        for index in fragments.indices where fragments[index].flags.contains(.dropped) {
            fragments[index].flags = Self.tombstone
        }
    }

    // MARK: Acknowledgements

    /// Takes note of how far the stream has arrived.
    ///
    /// - Returns: the messages that are over. Acknowledgements of another stream, of what
    ///   is acknowledged already or of what was never sent change nothing.
    mutating func acknowledge(_ acknowledgement: Acknowledgement) -> [Settled] {
        guard acknowledgement.stream == stream, acknowledgement.received <= next else { return [] }
        if acknowledgement.received >= received {
            received = acknowledgement.received
            window = UInt64(acknowledgement.window)
        }
        var settled: [Settled] = []
        let upTo = min(acknowledgement.durable, next)
        while let entry = entries.first, entry.last < upTo {
            entries.removeFirst()
            settle(entry, by: acknowledgement, &settled)
        }
        while base < upTo, let fragment = fragments.popFirst() {
            bytes -= fragment.payload.count
            base += 1
        }
        if !acknowledgement.bitmap.isEmpty { settleBeyond(acknowledgement, &settled) }
        return settled
    }

    private mutating func settleBeyond(_ acknowledgement: Acknowledgement, _ settled: inout [Settled]) {
        let end = acknowledgement.durable + UInt64(acknowledgement.bitmap.count) * 8
        for index in entries.indices {
            let entry = entries[index]
            guard entry.first < end else { break }
            // A message is handed on as a whole.
            guard !entry.isOver, acknowledgement.covers(entry.last), acknowledgement.covers(entry.first) else {
                continue
            }
            settle(entry, by: acknowledgement, &settled)
            entries[index].isSettled = true
            entries[index].isOver = true
            for sequence in entry.first...entry.last where sequence >= base {
                let position = Int(sequence - base)
                bytes -= fragments[position].payload.count
                fragments[position].payload = []
                fragments[position].flags.insert(.dropped)
            }
        }
    }

    private func settle(_ entry: Entry, by acknowledgement: Acknowledgement, _ settled: inout [Settled]) {
        guard !entry.isOver else { return }
        guard !entry.isSettled else { return settled.append(Settled(number: entry.number, outcome: nil)) }
        let code = acknowledgement.outcomes.first { $0.message == entry.number }?.code
        let outcome: MessageOutcome =
            switch code {
            case nil: .delivered
            case InboundNote.Outcome.withdrawn: .expired
            case .some(let code): .rejected(Rejection(rawValue: code) ?? .refused)
            }
        settled.append(Settled(number: entry.number, outcome: outcome))
    }

    // MARK: Deadlines

    /// When the next deadline passes.
    var nextDeadline: Instant? { deadlines.nextDeadline }

    /// Withdraws what is past its deadline.
    ///
    /// - Parameter knowsLanes: the reader knows what withdrawn means.
    mutating func expire(now: Instant, knowsLanes: Bool) -> [Withdrawal] {
        var withdrawals: [Withdrawal] = []
        while let number = deadlines.popDue(now: now) {
            guard let index = index(of: number), !entries[index].isSettled, !entries[index].isWithdrawn else {
                continue
            }
            // Who does not know what withdrawn means passes over fragments without a beginning.
            guard knowsLanes || entries[index].first >= sentBefore else { continue }
            withdraw(index)
            let isExpired = entries[index].last >= sentBefore
            entries[index].isSettled = isExpired
            withdrawals.append(Withdrawal(entry: entries[index], isExpired: isExpired))
        }
        while let number = deadlines.first, index(of: number) == nil { deadlines.popFirst() }
        return withdrawals
    }

    private mutating func withdraw(_ index: Int) {
        entries[index].isWithdrawn = true
        let entry = entries[index]
        for sequence in max(entry.first, base)...entry.last {
            let position = Int(sequence - base)
            bytes -= fragments[position].payload.count
            fragments[position].payload = []
            fragments[position].flags = withdrawnFlags(
                isFirst: sequence == entry.first, isLast: sequence == entry.last)
        }
        entries[index].size = 0
    }

    private func withdrawnFlags(isFirst: Bool, isLast: Bool) -> DataFrame.Flags {
        var flags: DataFrame.Flags = .withdrawn
        if isFirst, lane != .plain { flags.insert(.first) }
        if isLast { flags.insert(.last) }
        return flags
    }

    /// Where a message stands among `entries`.
    private func index(of number: UInt64) -> Int? {
        let index = entries.partitioningIndex { $0.number >= number }
        return index < entries.count && entries[index].number == number ? index : nil
    }

    /// How much of a message the running peer has, in bytes; `nil` when it does not wait any more.
    func progress(of number: UInt64) -> (received: Int, size: Int)? {
        guard let index = index(of: number) else { return nil }
        let entry = entries[index]
        let count = received > entry.first ? Int(min(received, entry.last + 1) - entry.first) : 0
        return (min(count * Self.fragmentSize, entry.size), entry.size)
    }

    // MARK: The end

    /// The peer takes nothing more of it.
    ///
    /// - Returns: the messages that will not be handed on.
    func unsettled() -> [UInt64] { entries.filter { !$0.isSettled }.map(\.number) }
}
