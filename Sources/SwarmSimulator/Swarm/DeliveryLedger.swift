public import SwarmBase

/// Who sent what to whom, and what came of it: holds a run against the promise that a message arrives once and in order.
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
            /// It must arrive.
            case due
            /// The sender's disk was lost with it, or the sender has none: it may arrive.
            case uncertain
            /// Its sender crashed before it could leave.
            case withdrawn
        }

        let number: UInt64
        let size: Int
        let sentAt: Instant
        var fate = Fate.due
        /// On the sender's disk, or the sender keeps nothing.
        var isKept: Bool
        var wasHandedOn = false
        /// In which of its runs the sender was told last that the message has arrived.
        var toldInRun: Int?
        var isAcknowledged: Bool { toldInRun != nil }
    }

    private struct Stream: Sendable {
        var messages: [Message] = []
        /// The message of each number that the sender's engine gave in its present stream.
        var indices: [UInt64: Int] = [:]
        /// The next message that the receiver's application expects; `nil` when it has forgotten.
        var next: Int? = 0
        /// Where `next` stands on the receiver's disk.
        var nextOnDisk: Int? = 0
        /// Everything before this was on the receiver's disk once, or was handed to one that has none: it counts as handed
        /// on, whatever happens to the disk.
        var everNoted = 0
    }

    private var streams: [Pair: Stream] = [:]
    /// How many messages must still arrive and be reported to their senders.
    public private(set) var outstanding = 0
    /// How many were sent, and how many handed on.
    public private(set) var sent = 0
    public private(set) var handedOn = 0
    /// What was not as it should be, in the order of noticing.
    public private(set) var problems: [String] = []

    public init() {}

    // MARK: What is sent

    /// The text of the next message of a pair: says which it is, and is as long as asked for.
    public func nextText(of pair: Pair, size: Int) -> String {
        let head = "\(pair.from)>\(pair.to) \(streams[pair]?.messages.count ?? 0) \(Secrecy.mark) "
        return head + String(repeating: "x", count: max(0, size - head.utf8.count))
    }

    /// A message was sent; its engine numbers it.
    ///
    /// - Parameter isKept: the sender keeps nothing on disk, so that the message may leave at once.
    public mutating func sent(_ text: String, number: UInt64, of pair: Pair, isKept: Bool, at now: Instant) {
        let index = streams[pair]?.messages.count ?? 0
        streams[pair, default: Stream()].messages.append(
            Message(number: number, size: text.utf8.count, sentAt: now, isKept: isKept))
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
        let firstOwed = stream.messages.firstIndex { !$0.isAcknowledged && $0.fate == .due } ?? stream.messages.count
        // One who has forgotten begins where the sender does: at what was not acknowledged, or before.
        let expected = stream.next ?? min(index, firstOwed)
        if stream.messages[index].fate == .withdrawn {
            note("\(sender)>\(receiver): \(index) arrived, though it was on no disk when its sender crashed", at: now)
        }
        if index < expected {
            note("\(sender)>\(receiver): \(index) came again or late, after \(expected - 1)", at: now)
            return index
        }
        for skipped in expected..<index where stream.messages[skipped].fate == .due {
            note("\(sender)>\(receiver): \(index) came, but \(skipped) did not", at: now)
        }
        stream.messages[index].wasHandedOn = true
        stream.next = index + 1
        return index
    }

    /// What a receiver's disk has noted of a stream: everything that was handed on when the note was made.
    public mutating func noted(_ pair: Pair, next: Int?) {
        guard var stream = streams.removeValue(forKey: pair) else { return }
        stream.nextOnDisk = next
        stream.everNoted = max(stream.everNoted, next ?? 0)
        streams[pair] = stream
    }

    /// How far a receiver's application is in a stream.
    public func position(_ pair: Pair) -> Int? { streams[pair]?.next }

    /// A sender was told that a message has arrived.
    public mutating func delivered(number: UInt64, of pair: Pair, run: Int, at now: Instant) {
        guard let index = streams[pair]?.indices[number], let message = streams[pair]?.messages[index] else {
            return note("\(pair.from) was told that \(number) reached \(pair.to), which it never sent", at: now)
        }
        if !message.wasHandedOn {
            note("\(pair.from) was told that \(index) reached \(pair.to), which was not handed on", at: now)
        }
        if message.toldInRun == run { note("\(pair.from) was told twice that \(index) reached \(pair.to)", at: now) }
        if !message.isAcknowledged, message.fate == .due { outstanding -= 1 }
        streams[pair]?.messages[index].toldInRun = run
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
            if pair.to == member {
                if !hasDisk { stream.everNoted = max(stream.everNoted, stream.next ?? 0) }
                stream.next = losesDisk ? nil : stream.nextOnDisk
                if losesDisk { stream.nextOnDisk = nil }
                for index in stream.messages.indices.dropFirst(stream.everNoted)
                where !stream.messages[index].isAcknowledged {
                    stream.messages[index].wasHandedOn = false
                }
            }
            if pair.from == member {
                for index in stream.messages.indices where stream.messages[index].fate == .due {
                    let message = stream.messages[index]
                    guard !message.isAcknowledged, losesDisk || !message.isKept else { continue }
                    stream.messages[index].fate = message.isKept ? .uncertain : .withdrawn
                    stream.indices[message.number] = nil
                    outstanding -= 1
                }
                if losesDisk { stream.indices = [:] }
            }
            streams[pair] = stream
        }
    }

    // MARK: The end

    /// The messages that must have arrived and have not.
    public var missing: [String] {
        streams.sorted { ($0.key.from, $0.key.to) < ($1.key.from, $1.key.to) }.flatMap { pair, stream in
            stream.messages.indices.compactMap { index -> String? in
                let message = stream.messages[index]
                guard message.fate == .due, !(message.wasHandedOn && message.isAcknowledged) else { return nil }
                let what = message.wasHandedOn ? "is not known to have arrived" : "did not arrive"
                return "\(pair.from)>\(pair.to): \(index) \(what)"
            }
        }
    }

    public mutating func note(_ problem: String, at now: Instant) {
        guard problems.count < 100 else { return }
        problems.append("\(Double((now - .zero).nanosecondsClamped / 1_000_000) / 1000) s: \(problem)")
    }
}
