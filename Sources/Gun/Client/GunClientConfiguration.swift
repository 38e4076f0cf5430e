/// The bounds and habits of a ``GunClient``.
public struct GunClientConfiguration: Sendable {
    /// What one frame from a relay may hold.
    public var limits = GunLimits()
    /// The budget of the graph in memory.
    public var memoryBytes = 64 << 20
    /// How long a put waits for its acknowledgement before it is sent again and read back. Relays acknowledge after
    /// their disk write, gun.js within about 250 ms; what changes nothing gun.js never acknowledges.
    public var acknowledgementTimeout = Duration.seconds(4)
    /// How often a put is sent over one connection, the first time included.
    public var attempts = 4
    /// How many keys of a put are read back to verify it.
    public var verifiedKeys = 16
    /// How many durable puts are kept.
    public var outboxPuts = 4_096
    /// How many bytes of them.
    public var outboxBytes = 32 << 20
    /// How long a durable put that some link has acknowledged is kept for links that open later.
    public var acknowledgedLifetime = Duration.seconds(60)
    /// How long the ids of our own messages are remembered, so that answers find what they answer.
    public var sentLifetime = Duration.seconds(120)
    /// How many of them.
    public var sentMessages = 50_000
    /// How far ahead of our clock a state may be before its write is dropped.
    public var futureTolerance = Duration.seconds(24 * 3600)
    /// How many writes with states in the future are kept.
    public var deferredWrites = 2_048
    /// How many bytes of them.
    public var deferredBytes = 4 << 20
    /// How many queries a second we answer from our graph over one link, in the long run and at once.
    public var answersPerSecond = 50.0
    /// How many bytes of answers a second we send over one link, in the long run and at once.
    public var answerBytesPerSecond = 1e6
    /// About how long a batch of messages in one frame may be.
    public var frameBytes = 64 << 10

    /// Who may write what; `nil` lets everybody write everything.
    public var rule: WriteRule?
    /// Whether the owner keeps the shared graph: see ``GunClient/pollStorage()``.
    public var isKept = false
    /// How many souls and keys one member may follow.
    public var followedByMember = 4_096
    /// How many queries a second one member may send in the long run; at once it may send as many as it may follow.
    public var queriesPerSecond = 100.0
    /// About how much of the graph goes to a member in one frame, in bytes: fewer than a data channel's messages may have.
    public var memberFrameBytes = 16 << 10
    /// How many names of neighbours are told and listened to.
    public var neighbours = 256
    /// How many milliseconds pass before a relay is given what it may lack: it may hear it from another meanwhile.
    public var repairDelay = 50...500

    public init() {}
}

/// Who is at the other end of a link.
public enum GunLinkKind: Sendable {
    /// A relay: it has everything, is asked for what we follow, and acknowledges what we write.
    case relay
    /// A peer like ourselves.
    case member
}

/// Who may have a soul from us.
public enum GunAudience: Sendable {
    /// Only relays.
    case relays
    /// Members too.
    case everybody
}

/// One put, as ``GunClient/put(_:_:state:durable:now:)`` named it.
public struct PutID: Hashable, Comparable, Sendable {
    let number: UInt64

    public static func < (a: PutID, b: PutID) -> Bool { a.number < b.number }
}

/// What a ``GunClient`` has to say.
public enum GunClientEvent: Equatable, Sendable {
    /// A key of a subscribed node or a subscribed key has a new value, written by someone else. Once for each write that
    /// won, over however many links it came.
    case changed(Soul, Key, GunValue, state: Double)
    /// The relay at that link has the put: it said so, or gave it back when asked. Once for each link.
    case acknowledged(PutID, LinkID)
    /// The relay at that link refuses the put.
    case refused(PutID, LinkID, String)
    /// Newer writes have taken the place of every key of the put before it was acknowledged.
    case superseded(PutID)
    /// The outbox was full: the put is no longer sent again.
    case dropped(PutID)
    /// Every link that was asked says that there is no such node or key.
    case missing(Soul, Key?)
}

/// What a client has done so far, for metrics.
public struct GunClientCounters: Equatable, Sendable {
    public var framesReceived = 0
    public var framesSent = 0
    /// Frames that were not JSON or over a limit, foreign frames, and batch elements that were no messages.
    public var ignoredMessages = 0
    /// Puts with a fault.
    public var malformedPuts = 0
    /// Records that won over what we held.
    public var acceptedRecords = 0
    /// Records that changed nothing: older ones, echoes, duplicates.
    public var ignoredRecords = 0
    /// Records of souls that are neither subscribed to nor held.
    public var unwantedRecords = 0
    /// Records that waited for the clock.
    public var deferredRecords = 0
    /// Records too far ahead of the clock, or for which there was no room to wait.
    public var droppedRecords = 0
    /// Puts sent again.
    public var resentPuts = 0
    /// Queries answered from our graph.
    public var answeredQueries = 0
    /// Records that the rule refused.
    public var refusedRecords = 0
    /// Records given to members who follow them.
    public var pushedRecords = 0
    /// Records given to relays that did not have them.
    public var repairedRecords = 0
    /// Queries of members that asked too often.
    public var limitedQueries = 0
    /// Keys that left memory although their node was wanted.
    public var trimmedKeys = 0
}
