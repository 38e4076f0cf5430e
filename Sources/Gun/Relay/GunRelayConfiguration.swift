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
    /// Messages a second from one link, in the long run.
    public var messagesPerSecond = 20_000.0
    /// Messages from one link at once.
    public var messageBurst = 40_000.0
    /// Bytes a second from one link, in the long run.
    public var bytesPerSecond = 64e6
    /// Bytes from one link at once.
    public var byteBurst = 128e6
    /// How many broken frames a link may send before it is closed.
    public var brokenFrames = 64
    /// How many puts and queries may wait for storage to be read, over all links; beyond, they are left unanswered.
    public var waitingForStorage = 20_000
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

/// A read from storage, to be answered once.
public struct LoadID: Hashable, Sendable { let number: UInt64 }

/// A write to storage, to be answered once.
public struct BatchID: Hashable, Sendable { let number: UInt64 }

/// What a ``GunRelay`` wants of its owner.
public enum GunRelayEvent: Equatable, Sendable {
    /// Read the whole node, or one key of it, and call ``GunRelay/loaded(_:_:now:wall:)``.
    case load(LoadID, Soul, Key?)
    /// Write these records, replacing what their keys hold, and call ``GunRelay/stored(_:now:)`` or
    /// ``GunRelay/storeFailed(_:now:)``. There is at most one batch under way.
    case store(BatchID, [GunRecord])
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
    /// Messages refused by a rate limit.
    public var limitedMessages = 0
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
}
