public import SwarmBase

/// Who sent what to whom, and what came of it: holds a run against the promise that a message arrives once, and in the order of its lane, or
/// has expired.
///
/// It knows what a crash takes along. What an application was handed but its disk had not noted is handed on again; what
/// had not reached the sender's disk may be gone; and who lost the disk may be told again what it knew before.
public struct DeliveryLedger: Sendable {
    /// From whom to whom.
    public struct Pair: Hashable, Sendable {
        public let from: Int
        public let to: Int

        public init(from: Int, to: Int) {
            self.from = from
            self.to = to
        }
    }

    private struct Message: Sendable {
        enum Fate: Sendable {
            /// It must arrive, or expire.
            case due
            /// The sender's disk was lost with it, or the sender has none: it may arrive.
            case uncertain
            /// Its sender crashed before it could leave.
            case withdrawn
        }

        let number: UInt64
        let size: Int
        /// The lane it went in: 0 to 3 are in order.
        let lane: Int
        let mayExpire: Bool
        var fate = Fate.due
        /// On the sender's disk, or the sender keeps nothing.
        var isKept: Bool
        /// It counts as handed on, whatever the receiver's disk has lost since.
        var wasHandedOn = false
        /// The receiver knows that it was handed on; its disk does; and its disk did once, or it has none.
        var isKnown = false
        var isOnDisk = false
        var wasNoted = false
        /// In which of its runs the sender was told last that the message has arrived, or has expired.
        var toldInRun: Int?
        var hasExpired = false
        var isAcknowledged: Bool { toldInRun != nil && !hasExpired }
        var isOver: Bool { toldInRun != nil }
        var isOrdered: Bool { lane < 4 }
    }

    /// What a receiver knows of one lane.
    private struct Lane: Sendable {
        /// The next message that the receiver's application expects, in lanes with order; `nil` when it has forgotten.
        var next: Int? = 0
        /// Where `next` stands on the receiver's disk.
        var nextOnDisk: Int? = 0
        /// What was handed on and is in no note yet.
        var fresh: [Int] = []
    }

    private struct Stream: Sendable {
        /// In the order of sending, of all lanes.
        var messages: [Message] = []
        /// The message of each number that the sender's engine gave in its present streams.
        var indices: [UInt64: Int] = [:]
        var lanes = [Lane](repeating: Lane(), count: 8)
    }

    /// How far a receiver's application is in a lane, as its disk will have it.
    public struct Position: Sendable {
        let lane: Int
        let next: Int?
        let handedOn: [Int]
    }

    private var streams: [Pair: Stream] = [:]
    /// How many messages must still arrive or expire, and be reported to their senders.
    public private(set) var outstanding = 0
    /// How many were sent, how many handed on, and how many have expired.
    public private(set) var sent = 0
    public private(set) var handedOn = 0
    public private(set) var expired = 0
    /// What was not as it should be, in the order of noticing.
    public var problems: [String] { noted.all }
    private var noted = ProblemList()

    public init() {}

    // MARK: What is sent

    /// The text of the next message of a pair: says which it is, and is as long as asked for.
    public func nextText(of pair: Pair, size: Int) -> String {
        let head = "\(pair.from)>\(pair.to) \(streams[pair]?.messages.count ?? 0) \(Secrecy.mark) "
        return head + String(repeating: "x", count: max(0, size - head.utf8.count))
    }

    /// A message was sent; its engine numbers it.
    ///
    /// - Parameters:
    ///   - lane: where it went.
    ///   - mayExpire: it has a deadline.
    ///   - isKept: the sender keeps nothing on disk, so that the message may leave at once.
    public mutating func sent(
        _ text: String, number: UInt64, lane: Int, mayExpire: Bool, of pair: Pair, isKept: Bool
    ) {
        let index = streams[pair]?.messages.count ?? 0
        streams[pair, default: Stream()].messages.append(
            Message(number: number, size: text.utf8.count, lane: lane, mayExpire: mayExpire, isKept: isKept))
        streams[pair]?.indices[number] = index
        outstanding += 1
        sent += 1
    }

    /// Everything that a member has sent so far is on its disk.
    public mutating func kept(from: Int, to: Int, number: UInt64) {
        let pair = Pair(from: from, to: to)
        guard let index = streams[pair]?.indices[number] else { return }
        streams[pair]?.messages[index].isKept = true
    }

    // MARK: What comes

    /// An application was handed a message.
    ///
    /// - Returns: what it counts as among the messages of its pair; `nil` when it is none of them.
    @discardableResult
    public mutating func received(_ text: String, by receiver: Int, from sender: Int, at now: Instant) -> Int? {
        let pair = Pair(from: sender, to: receiver)
        let words = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, words[0] == "\(sender)>\(receiver)", let index = Int(words[1]),
            var stream = streams.removeValue(forKey: pair)
        else {
            note("\(receiver) was handed what \(sender) never sent: \(text.prefix(40))", at: now)
            return nil
        }
        defer { streams[pair] = stream }
        guard stream.messages.indices.contains(index), stream.messages[index].size == text.utf8.count else {
            note("\(receiver) was handed a message of \(sender) that is not as it was sent", at: now)
            return nil
        }
        handedOn += 1
        let message = stream.messages[index]
        if message.fate == .withdrawn {
            note("\(sender)>\(receiver): \(index) arrived, though it was on no disk when its sender crashed", at: now)
        }
        if message.hasExpired { note("\(sender)>\(receiver): \(index) arrived, and was said to have expired", at: now) }
        if message.isKnown {
            note("\(sender)>\(receiver): \(index) came again", at: now)
            return index
        }
        if message.isOrdered { checkOrder(of: index, in: stream, pair, at: now) }
        stream.messages[index].wasHandedOn = true
        stream.messages[index].isKnown = true
        stream.lanes[message.lane].next = max(index + 1, stream.lanes[message.lane].next ?? 0)
        stream.lanes[message.lane].fresh.append(index)
        return index
    }

    private mutating func checkOrder(of index: Int, in stream: Stream, _ pair: Pair, at now: Instant) {
        let lane = stream.messages[index].lane
        // One who has forgotten begins where the sender does: at what was not acknowledged, or before.
        guard let expected = stream.lanes[lane].next else { return }
        if index < expected {
            return note("\(pair.from)>\(pair.to): \(index) came late, after \(expected - 1)", at: now)
        }
        for skipped in expected..<index {
            let message = stream.messages[skipped]
            guard message.lane == lane, message.fate == .due, !message.mayExpire else { continue }
            note("\(pair.from)>\(pair.to): \(index) came, but \(skipped) did not", at: now)
        }
    }

    /// What a receiver's disk has noted of a lane: everything that was handed on when the note was made.
    public mutating func noted(_ pair: Pair, _ position: Position) {
        guard streams[pair] != nil else { return }
        streams[pair]?.lanes[position.lane].nextOnDisk = position.next
        for index in position.handedOn {
            streams[pair]?.messages[index].isOnDisk = true
            streams[pair]?.messages[index].wasNoted = true
        }
    }

    /// What a note that is made now says.
    public mutating func position(_ pair: Pair, lane: Int) -> Position? {
        guard let state = streams[pair]?.lanes[lane] else { return nil }
        streams[pair]?.lanes[lane].fresh = []
        return Position(lane: lane, next: state.next, handedOn: state.fresh)
    }

    /// A sender was told that a message has arrived.
    public mutating func delivered(number: UInt64, of pair: Pair, run: Int, at now: Instant) {
        guard let index = streams[pair]?.indices[number], let message = streams[pair]?.messages[index] else {
            return note("\(pair.from) was told that \(number) reached \(pair.to), which it never sent", at: now)
        }
        if message.hasExpired {
            note("\(pair.from) was told that \(index) reached \(pair.to), after it had expired", at: now)
        } else if !message.wasHandedOn {
            note("\(pair.from) was told that \(index) reached \(pair.to), which was not handed on", at: now)
        }
        if message.toldInRun == run { note("\(pair.from) was told twice that \(index) reached \(pair.to)", at: now) }
        if !message.isOver, message.fate == .due { outstanding -= 1 }
        streams[pair]?.messages[index].toldInRun = run
    }

    /// A sender was told that a message has expired.
    public mutating func expired(number: UInt64, of pair: Pair, run: Int, at now: Instant) {
        guard let index = streams[pair]?.indices[number], let message = streams[pair]?.messages[index] else {
            return note("\(pair.from) was told that \(number) to \(pair.to) expired, which it never sent", at: now)
        }
        if !message.mayExpire { note("\(pair.from)>\(pair.to): \(index) expired, and has no deadline", at: now) }
        if message.isAcknowledged { note("\(pair.from)>\(pair.to): \(index) expired, after it had arrived", at: now) }
        if message.isKnown { note("\(pair.from)>\(pair.to): \(index) expired, and was handed on", at: now) }
        if message.toldInRun == run { note("\(pair.from) was told twice that \(index) expired", at: now) }
        if !message.isOver {
            expired += 1
            if message.fate == .due { outstanding -= 1 }
        }
        streams[pair]?.messages[index].toldInRun = run
        streams[pair]?.messages[index].hasExpired = true
    }

    // MARK: Crashes

    /// A member crashed: what it was handed and had not noted is forgotten, what it sent and had not kept is withdrawn.
    ///
    /// - Parameters:
    ///   - hasDisk: whether it notes anything.
    ///   - losesDisk: nothing but its identity is left.
    public mutating func crashed(_ member: Int, hasDisk: Bool, losesDisk: Bool) {
        for pair in streams.keys {
            guard var stream = streams[pair], pair.from == member || pair.to == member else { continue }
            if pair.to == member { Self.forget(&stream, hasDisk: hasDisk, losesDisk: losesDisk) }
            if pair.from == member {
                for index in stream.messages.indices where stream.messages[index].fate == .due {
                    let message = stream.messages[index]
                    guard !message.isOver, losesDisk || !message.isKept else { continue }
                    stream.messages[index].fate = message.isKept ? .uncertain : .withdrawn
                    stream.indices[message.number] = nil
                    outstanding -= 1
                }
                if losesDisk { stream.indices = [:] }
            }
            streams[pair] = stream
        }
    }

    private static func forget(_ stream: inout Stream, hasDisk: Bool, losesDisk: Bool) {
        for index in stream.messages.indices {
            if !hasDisk, stream.messages[index].isKnown { stream.messages[index].wasNoted = true }
            if losesDisk { stream.messages[index].isOnDisk = false }
            stream.messages[index].isKnown = stream.messages[index].isOnDisk
            if !stream.messages[index].wasNoted, !stream.messages[index].isAcknowledged {
                stream.messages[index].wasHandedOn = false
            }
        }
        for lane in stream.lanes.indices {
            if losesDisk { stream.lanes[lane].nextOnDisk = nil }
            stream.lanes[lane].next = stream.lanes[lane].nextOnDisk
            stream.lanes[lane].fresh = []
        }
    }

    // MARK: The end

    /// The messages that must have arrived and have not.
    public var missing: [String] {
        streams.sorted { ($0.key.from, $0.key.to) < ($1.key.from, $1.key.to) }.flatMap { pair, stream in
            stream.messages.indices.compactMap { index -> String? in
                let message = stream.messages[index]
                guard message.fate == .due, !message.hasExpired, !(message.wasHandedOn && message.isAcknowledged) else {
                    return nil
                }
                let what = message.wasHandedOn ? "is not known to have arrived" : "did not arrive"
                return "\(pair.from)>\(pair.to): \(index) of lane \(message.lane) \(what)"
            }
        }
    }

    public mutating func note(_ problem: String, at now: Instant) { noted.note(problem, at: now) }
}
