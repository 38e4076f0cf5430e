public import Magnet
public import SwarmBase

/// What a node tells a tracker of the BitTorrent kind (BEP 3, BEP 15): that it takes part, and where.
public struct Announce: Hashable, Sendable {
    /// Why it is sent; the numbers are BEP 15's.
    public enum Event: UInt32, Hashable, Sendable {
        case none = 0
        case completed = 1
        case started = 2
        case stopped = 3
    }

    public var infoHash: InfoHash
    public var peerID: TrackerPeerID
    /// The UDP port at which the node is reached.
    public var port: UInt16
    public var event: Event
    /// Random and the same for all announces of a run: who we are when our address has changed.
    public var key: UInt32
    /// How many peers are wanted.
    public var numberWanted: Int
    /// Bytes that are missing: 0 for a seed.
    public var left: UInt64

    public init(
        infoHash: InfoHash, peerID: TrackerPeerID, port: UInt16, event: Event, key: UInt32, numberWanted: Int = 50,
        left: UInt64 = 1
    ) {
        self.infoHash = infoHash
        self.peerID = peerID
        self.port = port
        self.event = event
        self.key = key
        self.numberWanted = numberWanted
        self.left = left
    }
}

/// What a tracker of the BitTorrent kind answers.
public struct AnnounceReply: Hashable, Sendable {
    /// How many peers are read of one reply.
    public static let mostPeers = 200

    public var interval: Duration
    public var minimumInterval: Duration?
    public var seeders: Int
    public var leechers: Int
    /// Unverified: anybody may have announced any address.
    public var peers: [TransportAddress]
    /// To be sent with the next announce (HTTP only).
    public var trackerID: [UInt8]?
    public var warning: String?

    public init(
        interval: Duration, minimumInterval: Duration? = nil, seeders: Int = 0, leechers: Int = 0,
        peers: [TransportAddress] = [], trackerID: [UInt8]? = nil, warning: String? = nil
    ) {
        self.interval = interval
        self.minimumInterval = minimumInterval
        self.seeders = seeders
        self.leechers = leechers
        self.peers = peers
        self.trackerID = trackerID
        self.warning = warning
    }
}

/// Why a tracker's reply is none.
public enum AnnounceError: Error, Hashable, Sendable {
    /// Not of the protocol.
    case malformed
    /// The tracker refuses, for a reason of at most 200 characters of its own.
    case refused(String)

    /// In words.
    public var reason: String {
        switch self {
        case .malformed: "its reply is not of the protocol"
        case .refused(let reason): reason
        }
    }
}

/// When to announce next: after the tracker's interval, or ever later while it fails, with jitter.
public struct AnnounceSchedule: Sendable {
    /// What a tracker's interval is clamped to.
    static let intervalRange: ClosedRange<Duration> = .seconds(60) ... .seconds(3600)
    /// How soon it is announced again while the tracker knows of nobody else: the other may come a moment later.
    static let whenAlone: Duration = .seconds(30)
    /// The first wait after a failure, doubled each time, at most the longest.
    static let firstWait: Duration = .seconds(5)
    static let longestWait: Duration = .seconds(900)

    /// `nil` while an announce is under way.
    public private(set) var nextAt: Instant?
    public private(set) var failures = 0
    /// Announces in a row that brought nobody.
    private var lonely = 0

    public init(now: Instant) { nextAt = now }

    mutating func began() { nextAt = nil }

    mutating func succeeded(_ reply: AnnounceReply, found: Bool, now: Instant, entropy: inout Entropy) {
        failures = 0
        lonely = found ? 0 : lonely + 1
        var wait = min(max(reply.interval, Self.intervalRange.lowerBound), Self.intervalRange.upperBound)
        // A few early repeats; a tracker that says how often is often enough is obeyed.
        if !found, lonely <= 3 { wait = min(wait, Self.whenAlone) }
        if let minimum = reply.minimumInterval { wait = max(wait, min(minimum, Self.intervalRange.upperBound)) }
        nextAt = now + wait * Double.random(in: 0.9...1.1, using: &entropy)
    }

    mutating func failed(now: Instant, entropy: inout Entropy) {
        let wait = min(Self.firstWait * (1 << min(failures, 10)), Self.longestWait)
        failures += 1
        nextAt = now + wait * Double.random(in: 0.5...1, using: &entropy)
    }

    /// Something changed: no reason to wait.
    mutating func hurry(now: Instant) {
        failures = 0
        lonely = 0
        if nextAt != nil { nextAt = now }
    }
}
