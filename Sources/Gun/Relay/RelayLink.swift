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
    /// Whether the other end is a relay of ours, to be asked for what we do not have.
    let isRelay: Bool

    init(configuration: GunRelayConfiguration, isRelay: Bool, now: Instant) {
        messages = TokenBucket(
            rate: configuration.messagesPerSecond, burst: configuration.messageBurst, now: now)
        bytes = TokenBucket(rate: configuration.bytesPerSecond, burst: configuration.byteBurst, now: now)
        passedOn = TokenBucket(
            rate: configuration.passedOnPerSecond, burst: configuration.passedOnPerSecond, now: now)
        self.isRelay = isRelay
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

    /// The next frame, with whether the link stays listed.
    mutating func popFrame() -> (frame: [UInt8], isReady: Bool)? {
        guard isWritable, let frame = queue.popFirst() else {
            isReady = false
            return nil
        }
        queuedBytes -= frame.count
        isReady = !queue.isEmpty
        return (frame, isReady)
    }
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
    /// How many reads from storage they wait for.
    var pendingLoads = 0
}

/// A query that waits for storage.
struct WaitingQuery: Sendable {
    var link: LinkID
    var message: MessageID
    var query: GunQuery
    var knownHash: Int32?
}

/// A write that waits for the clock.
struct DeferredPut: Sendable {
    var unit: PutUnit
    var link: LinkID
    var bytes: Int
}
