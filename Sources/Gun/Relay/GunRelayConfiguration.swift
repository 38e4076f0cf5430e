import JSON

/// The bounds and habits of a ``GunRelay``.
public struct GunRelayConfiguration: Sendable {
    /// What one frame may hold.
    public var limits = GunLimits()
    /// Whether the owner keeps records on disk. Without, nodes live in memory only, go when the budget is exceeded, and
    /// puts are acknowledged as soon as they are in memory.
    public var hasStorage = true
    /// Who may write what; `nil` lets everybody write everything.
    public var rule: WriteRule?
    /// How often every link is sent `[]`; gun.js does so every 20 s.
    public var heartbeat = Duration.seconds(20)
    /// How long the way back for answers, and with it the id of a message, is remembered (gun.js: at least 9 s).
    public var routeLifetime = Duration.seconds(30)
    /// How many message ids are remembered at most.
    public var rememberedMessages = 200_000
    /// The budget of the graph in memory.
    public var memoryBytes = 256 << 20
    /// How far ahead of our clock a state may be before its put is refused.
    public var futureTolerance = Duration.seconds(24 * 3600)
    /// How many writes with states in the future are kept for one link.
    public var deferredPerLink = 256
    /// How many bytes of them.
    public var deferredBytesPerLink = 1 << 20
    /// How many bytes of them over all links, those that have closed since included.
    public var deferredBytes = 64 << 20
    /// How many nodes and keys one link may be subscribed to. Queries beyond that are answered without subscribing.
    public var subscriptionsPerLink = 20_000
    /// How many bytes may wait for a link that does not take them; beyond, the link is closed.
    public var queuedBytesPerLink = 16 << 20
    /// How many bytes may wait for all links together; beyond, the link with the longest queue is closed.
    public var queuedBytes = 64 << 20
    /// How many bytes of messages that wait for one link are joined to one frame (gun.js: about 9,000 characters).
    public var packedBytes = 9_000
    /// What the links from one address share; loopback is free.
    public var perAddress = AddressLimits()
    /// What a configured relay is told, and how fast.
    public var federation = FederationLimits()
    /// Messages a second from one link, in the long run; what comes faster is read later.
    public var messagesPerSecond = 20_000.0
    /// Messages from one link at once.
    public var messageBurst = 40_000.0
    /// Bytes a second from one link, in the long run.
    public var bytesPerSecond = 64e6
    /// Bytes from one link at once.
    public var byteBurst = 128e6
    /// How long a link is left unread when more than half of what may wait for storage waits.
    public var storagePause = Duration.milliseconds(20)
    /// How long a link that was too fast is left unread at most.
    public var longestPause = Duration.seconds(5)
    /// How many broken frames a link may send before it is closed.
    public var brokenFrames = 64
    /// How many puts and queries may wait for storage to be read, over all links; beyond, they are left unanswered.
    public var waitingForStorage = 20_000
    /// How many reads from storage are under way at a time; the others wait, and links take turns.
    public var readsUnderWay = 64
    /// How many bytes of records may wait to be stored, over all links; beyond, puts are left unanswered.
    public var unstoredBytes = 128 << 20
    /// The most records in one batch for storage.
    public var batchRecords = 1_000
    /// How many links are asked for what we do not have.
    public var missFanout = 8
    /// For how many queries a second from one link others are asked, in the long run and at once.
    public var passedOnPerSecond = 200.0
    /// About how long one part of an answer may be; longer nodes are answered in parts.
    public var answerBytes = 256 << 10
    /// About how many bytes of a node are read from storage at once; longer nodes are answered slice by slice and are
    /// not held in memory.
    public var sliceBytes = 1 << 20
    /// How many records are read at once.
    public var sliceRecords = 5_000
    /// How many records one query may look at, those that do not match included.
    public var recordsPerQuery = 1_000_000
    /// How many answers that are read slice by slice one link may have under way.
    public var streamsPerLink = 16
    /// How many queries for several souls one link may make a second, in the long run and at once.
    public var soulQueriesPerSecond = 20.0
    /// How many messages of applications one link may send to all others a second, in the long run and at once.
    public var applicationMessagesPerSecond = 20.0
    /// How long such a message may be.
    public var applicationMessageBytes = 8 << 10
    /// How many copies of them are sent a second, over all links.
    public var applicationCopiesPerSecond = 20_000.0

    public init() {}

    /// Bounds that keep a relay within so many bytes of memory, its graph, queues and tables together.
    ///
    /// - Parameter bytes: at least 16 MiB is taken.
    public init(fitting bytes: Int) {
        let bytes = max(bytes, 16 << 20)
        memoryBytes = bytes * 3 / 8
        queuedBytes = bytes / 8
        queuedBytesPerLink = min(queuedBytesPerLink, bytes / 16)
        unstoredBytes = min(unstoredBytes, max(bytes / 16, 4 << 20))
        waitingForStorage = min(waitingForStorage, bytes >> 13)
        deferredBytes = min(deferredBytes, bytes / 32)
        // An id with its way back takes about 300 bytes.
        rememberedMessages = min(rememberedMessages, bytes / 16 / 300)
        federation.pendingRecords = min(federation.pendingRecords, bytes / 32 / 256)
        limits.frame.bytes = min(limits.frame.bytes, bytes / 16)
    }
}

/// What the links from one address share: an IPv4 address or an IPv6 /64.
public struct AddressLimits: Sendable {
    /// Messages a second from one address, in the long run; what comes faster is read later.
    public var messagesPerSecond = 50_000.0
    /// Messages from one address at once.
    public var messageBurst = 100_000.0
    /// Bytes a second, in the long run.
    public var bytesPerSecond = 128e6
    /// Bytes at once.
    public var byteBurst = 256e6
    /// Bytes a second that one address may write, in the long run; more is refused.
    public var writtenBytesPerSecond = 4e6
    /// Bytes that one address may write at once.
    public var writtenByteBurst = 1e9
    /// Subscriptions of all links from one address together.
    public var subscriptions = 200_000

    public init() {}
}

/// What a configured relay is told, and how fast.
public struct FederationLimits: Sendable {
    /// How many puts may be unacknowledged at a time.
    public var puts = 256
    /// How many records one put carries at most when it makes up for what was missed.
    public var recordsPerPut = 100
    /// After which time a put counts as taken: not every relay acknowledges what changes nothing (gun.md §5.2).
    public var patience = Duration.seconds(10)
    /// How many records are noted while a relay is away or behind; beyond, all that is kept is offered to it anew.
    public var pendingRecords = 100_000
    /// How many nodes and keys we follow at one relay.
    public var subscriptions = 200_000
    /// How many bytes may wait for the link before what follows is put off.
    public var queuedBytes = 1 << 20
    /// Through how many relays a message goes at most (gun.md §12, Q8); gun.js counts acknowledgements down from 9.
    public var hops = 16
    /// How many changes the log keeps for relays that are away; who has missed more is offered all that is kept.
    public var changes: UInt64 = 1_000_000

    public init() {}
}

/// Why the relay wants a link closed.
public enum GunCloseReason: Equatable, Sendable {
    /// It did not take what was sent to it: see ``GunRelayConfiguration/queuedBytesPerLink``.
    case slowReader
    /// It sent too many broken frames.
    case brokenFrames
    /// Its handshake carries our own name: we are talking to ourselves.
    case ourselves
}

extension GunCloseReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .slowReader: "it does not read"
        case .brokenFrames: "too many broken frames"
        case .ourselves: "it is ourselves"
        }
    }
}

/// A read from storage, to be answered once.
public struct LoadID: Hashable, Sendable { let number: UInt64 }

/// A write to storage, to be answered once.
public struct BatchID: Hashable, Sendable {
    let number: UInt64
    /// The number that its first record has in the log of changes, its second the next and so on; `nil` when no log is
    /// kept.
    public let firstChange: UInt64?
}

/// What a ``GunRelay`` wants of its owner.
public enum GunRelayEvent: Equatable, Sendable {
    /// Read these records, and call ``GunRelay/loaded(_:_:now:wall:)``.
    case load(LoadID, RecordRange)
    /// Write these records, replacing what their keys hold, and call ``GunRelay/stored(_:now:)`` or
    /// ``GunRelay/storeFailed(_:now:)``. There is at most one batch under way.
    case store(BatchID, [GunRecord])
    /// What is to be done with the log of changes; only after ``GunRelay/resume(_:)``.
    case changes(ChangeLogRequest)
    /// Read nothing from the link for that time: it is too fast.
    case pause(LinkID, Duration)
    /// Close the link. The relay has forgotten it already.
    case close(LinkID, GunCloseReason)
}

/// What a relay has done so far, for metrics.
public struct GunRelayCounters: Equatable, Sendable {
    public var framesReceived = 0
    public var bytesReceived = 0
    public var framesSent = 0
    public var bytesSent = 0
    /// Frames that were not JSON or over a limit.
    public var brokenFrames = 0
    /// Frames or batch elements that were no messages.
    public var ignoredMessages = 0
    /// Messages whose id had been seen.
    public var duplicateMessages = 0
    /// How often a link was left unread for being too fast.
    public var pauses = 0
    /// Messages refused by a rate limit.
    public var limitedMessages = 0
    /// Puts refused because their address had written too much.
    public var quotaRefusals = 0
    /// Links closed because they did not read.
    public var slowReaders = 0
    /// Messages of applications passed on.
    public var applicationMessages = 0
    /// Answers that had come from another peer already.
    public var repeatedAnswers = 0
    /// Slices read for long answers.
    public var slices = 0
    /// Nodes whose time was over.
    public var expiredNodes = 0
    /// Puts sent to configured relays.
    public var federatedPuts = 0
    /// Records sent to configured relays, what made up for missed time included.
    public var federatedRecords = 0
    /// Puts that a configured relay refused.
    public var federationRefusals = 0
    /// Messages that had gone through too many relays to be passed on.
    public var hopRefusals = 0
    /// Puts and queries left unanswered because storage was behind.
    public var busyRefusals = 0
    public var puts = 0
    public var gets = 0
    /// Puts refused whole.
    public var refusedPuts = 0
    /// Records that the rule refused.
    public var refusedRecords = 0
    /// Records that the rule let pass unkept.
    public var passedRecords = 0
    /// Records that replaced what was held.
    public var acceptedRecords = 0
    /// Records that changed nothing.
    public var ignoredRecords = 0
    /// Records that waited for the clock.
    public var deferredRecords = 0
    /// Queries for what is nowhere.
    public var misses = 0
    /// Nodes that left memory.
    public var evictedNodes = 0

    public init() {}
}
