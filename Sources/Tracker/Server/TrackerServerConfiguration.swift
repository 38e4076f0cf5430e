import SwarmBase

/// Bounds and times of a ``TrackerServer``.
public struct TrackerServerConfiguration: Sendable {
    /// What clients are told to wait between announces.
    public var interval: Duration = .seconds(120)
    /// A peer that has not announced for so many intervals has gone.
    public var expiryIntervals = 2.5
    /// How long an answer to a delivered offer is forwarded.
    public var answerWindow: Duration = .seconds(120)
    /// The largest message, reassembled; a larger one closes the socket.
    public var maximumMessageByteCount = 1 << 16
    /// How many offers of one announce are forwarded. (libtorrent sends 10.)
    public var offersPerAnnounce = 20
    /// How many sockets are served.
    public var maximumLinks = 40_000
    /// How many sockets one address (IPv4) or /64 (IPv6) may have.
    public var linksPerAddress = 100
    /// How many swarms one socket may be in.
    public var swarmsPerLink = 200
    /// How many peers one swarm may have.
    public var peersPerSwarm = 10_000
    /// How many peers there may be in all swarms.
    public var maximumPeers = 200_000
    /// How many delivered offers a peer may leave unanswered before it gets no more until they are too old.
    public var undeliveredAnswersPerPeer = 50
    /// A socket may send so many messages at once …
    public var messageBurst = 250
    /// … and then so many a second. More are dropped.
    public var messagesPerSecond = 5
    /// When so many more messages were dropped than taken since, the socket is closed.
    public var droppedMessages = 500
    /// So many messages that are not of the protocol close the socket.
    public var malformedMessages = 50
    /// A socket with more bytes than this waiting to be written gets no more offers.
    public var busyBacklog = 1 << 16
    /// A socket with more bytes than this waiting to be written is closed.
    public var maximumBacklog = 1 << 18
    /// How many info-hashes one scrape may name.
    public var scrapeHashes = 64

    public init() {}

    var expiry: Duration { .nanoseconds(Int64(Double(interval.nanosecondsClamped) * expiryIntervals)) }
}
