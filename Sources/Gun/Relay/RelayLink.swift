import JSON
import SwarmBase

/// What the relay keeps of one connection.
struct RelayLink: Sendable {
    var queue = FIFO<[UInt8]>()
    var queuedBytes = 0
    /// Whether the owner's socket takes more.
    var isWritable = true
    /// Whether the link is in the relay's list of links with something to send.
    var isReady = false
    var messages: TokenBucket
    var bytes: TokenBucket
    var passedOn: TokenBucket
    var brokenFrames = 0
    var deferredCount = 0
    var deferredBytes = 0
    /// The peer's name for itself.
    var pid: JSONText?
    /// Where it comes from, as it is counted; `nil` for the host itself.
    let address: IPAddress?
    /// Which of the configured relays the other end is.
    let peer: Int?
    var soulQueries: TokenBucket
    var applicationMessages: TokenBucket
    /// Answers that are read slice by slice: how many there are, and those that wait for the link to be taken from.
    var streamCount = 0
    var streams = FIFO<QueryStream>()
    /// When something came from it last.
    var heardAt: Instant

    init(configuration: GunRelayConfiguration, address: IPAddress?, peer: Int?, now: Instant) {
        messages = TokenBucket(
            rate: configuration.messagesPerSecond, burst: configuration.messageBurst, now: now)
        bytes = TokenBucket(rate: configuration.bytesPerSecond, burst: configuration.byteBurst, now: now)
        passedOn = TokenBucket(
            rate: configuration.passedOnPerSecond, burst: configuration.passedOnPerSecond, now: now)
        soulQueries = TokenBucket(
            rate: configuration.soulQueriesPerSecond, burst: configuration.soulQueriesPerSecond, now: now)
        applicationMessages = TokenBucket(
            rate: configuration.applicationMessagesPerSecond, burst: configuration.applicationMessagesPerSecond,
            now: now)
        self.address = address
        self.peer = peer
        heardAt = now
    }

    /// What came of queueing a frame.
    enum Queued: Sendable {
        case done
        /// The link was idle: it must be listed as having something to send.
        case becameReady
        case tooMuch
    }

    mutating func append(_ frame: [UInt8], limit: Int) -> Queued {
        guard queuedBytes + frame.count <= limit || queue.isEmpty else { return .tooMuch }
        queue.append(frame)
        queuedBytes += frame.count
        return becomeReady() ? .becameReady : .done
    }

    /// - Returns: whether the link must now be listed as having something to send.
    mutating func becomeReady() -> Bool {
        guard isWritable, !isReady, !queue.isEmpty else { return false }
        isReady = true
        return true
    }

    /// The next frame, with the bytes that it takes from the queue and whether the link stays listed. Messages that
    /// wait together leave as a batch, as long as it stays within `packed` bytes.
    mutating func popFrame(packed: Int) -> (frame: [UInt8], bytes: Int, isReady: Bool)? {
        guard isWritable, let first = queue.popFirst() else {
            isReady = false
            return nil
        }
        var frames = [first]
        var bytes = first.count
        while let next = queue.first, bytes + next.count <= packed, Self.isMessage(first), Self.isMessage(next) {
            _ = queue.popFirst()
            frames.append(next)
            bytes += next.count
        }
        queuedBytes -= bytes
        isReady = !queue.isEmpty
        return (GunFrame.batch(frames), bytes, isReady)
    }

    private static func isMessage(_ frame: [UInt8]) -> Bool { frame.first == UInt8(ascii: "{") }
}

/// The way back for answers to one message.
struct AnswerRoute: Sendable {
    /// Where the message came from.
    var link: LinkID
    /// The id it had there, when we passed it on under another.
    var original: MessageID?
}

/// A put whose records are not all settled yet.
struct PutJob: Sendable {
    var link: LinkID
    /// What to acknowledge; `nil` when there is no one to tell.
    var message: MessageID?
    /// How many records are still waiting for the clock, for a read, or to be stored.
    var remaining: Int
    var fault: JSONText?
}

typealias JobID = UInt64

/// Records of one put that are decided and passed on together.
struct PutUnit: Sendable {
    var job: JobID
    var link: LinkID
    var message: MessageID
    var ok: JSONValue?
    var records: [GunRecord]
    /// Whether these are all the records of the message, so that they can travel on under its id.
    var isWhole: Bool
    /// A link that gets them by another way.
    var skipped: LinkID?
    /// The names of peers that have the message already.
    var heard: [JSONText] = []
    /// How many reads from storage they wait for.
    var pendingLoads = 0
    /// What was read because the rule had asked for it.
    var lookedUp: Set<RecordAddress> = []
    /// Through how many relays the message came.
    var hops = 0
}

/// A query that waits for storage.
struct WaitingQuery: Sendable {
    var link: LinkID
    var message: MessageID
    var query: GunQuery
    var knownHash: Int32?
    /// Through how many relays it came.
    var hops = 0
}

/// An answer that is read from storage slice by slice, each when the link has taken the one before.
struct QueryStream: Sendable {
    var waiting: WaitingQuery
    var range: RecordRange
    /// What is left of the `%` limit.
    var lengthLeft: Double?
    /// The id of the next part, which the last one has named.
    var partID: MessageID?
    /// How many records have been looked at.
    var looked = 0
}

/// A write that waits for the clock.
struct DeferredPut: Sendable {
    var unit: PutUnit
    var link: LinkID
    var bytes: Int
}
