public import SwarmBase

/// Where a candidate pair begins and ends: a local base and a remote address.
public struct ICEPath: Hashable, Sendable {
    /// The peer's side.
    public var remote: TransportAddress
    /// The relayed address of ours that it begins at; `nil` for the shared socket.
    public var relay: TransportAddress?

    public init(remote: TransportAddress, relay: TransportAddress? = nil) {
        self.remote = remote
        self.relay = relay
    }
}

/// A way to the peer (RFC 8445 §6.1.2). The node has one socket, bound to the wildcard address, and may have relayed
/// addresses: a pair is one of those bases and a remote address. What candidates there are of the socket shows in the
/// priority only.
struct CandidatePair {
    /// RFC 8445 §6.1.2.6, without `frozen`: there is one stream with one component.
    enum State {
        /// To be checked when its turn comes.
        case waiting
        /// A check is on its way and the pair is not valid.
        case inProgress
        /// Valid: a check was answered and consent has not expired.
        case succeeded
        /// Its check was given up, or consent has expired.
        case failed
    }

    /// A check that is sent again until its answer comes.
    struct Retransmission {
        let id: STUNTransactionID
        let datagram: [UInt8]
        let nominates: Bool
        var sends: Int
        var timeout: Duration
        var next: Instant
    }

    let path: ICEPath
    var remoteKind: CandidateKind
    var remotePriority: UInt32
    /// Where the peer sees us on this pair.
    var reflexiveAddress: TransportAddress?
    var priority: UInt64 = 0
    var state = State.waiting
    /// Whether a check of it was answered or given up.
    var wasTried = false
    var isTriggered = false
    /// A triggered check is to be sent although the pair has answered lately: the network has changed.
    var mustAnswer = false
    var retransmission: Retransmission?
    var roundTrip: Duration?
    /// The latest round trips, oldest first: see ``roundTrip(since:)``.
    private var samples: [(at: Instant, roundTrip: Duration)] = []
    var counters = ICEPairCounters()
    var firstCheck: Instant?
    var lastCheck: Instant?
    var lastReceived: Instant?
    var lastAnswer: Instant?
    var lastData: Instant?
    /// The first check after the last answer.
    var unansweredSince: Instant?
    var failedAt: Instant?
    /// The latest USE-CANDIDATE from the peer.
    var useCandidateAt: Instant?
    /// When the next consent or spare check is due; `nil` when it is not kept valid.
    var nextRefresh: Instant?

    init(_ path: ICEPath, kind: CandidateKind, priority: UInt32) {
        self.path = path
        remoteKind = kind
        remotePriority = priority
    }

    @inline(__always)
    var isValid: Bool { state == .succeeded }
    /// 0…3: see ``ICEGeneration/nextWaiting()``.
    var checkClass: Int { (path.remote.address.isIPv6 ? 1 : 0) + (remoteKind == .host ? 0 : 2) }
    /// Whether a TURN server of either side is on the way.
    var isRelayed: Bool { path.relay != nil || remoteKind == .relayed }

    /// Whether nothing came, or checks were left without an answer, for `timeout`.
    @inline(__always)
    func isSilent(_ now: Instant, timeout: Duration) -> Bool {
        if let lastReceived, now - lastReceived >= timeout { return true }
        if let unansweredSince, now - unansweredSince >= timeout { return true }
        return false
    }

    /// When ``isSilent(_:timeout:)`` becomes true if nothing happens.
    func silentAt(timeout: Duration) -> Instant? {
        .earlier(lastReceived.map { $0 + timeout }, unansweredSince.map { $0 + timeout })
    }

    /// Whether this is a better kind of way than `other`, whatever data does to the queues there: not relayed, or a better
    /// kind of candidate at no worse a round trip. Never true both ways round, so nominations do not swing.
    func isBetterKind(than other: CandidatePair) -> Bool {
        if isRelayed != other.isRelayed { return other.isRelayed }
        guard let mine = roundTrip, let theirs = other.roundTrip else { return false }
        return remoteKind.typePreference > other.remoteKind.typePreference && priority > other.priority
            && mine <= theirs * 2 + Self.margin
    }

    private static let margin = Duration.milliseconds(10)

    /// Whether a round trip is clearly shorter than another one: less than half.
    static func isClearlyShorter(_ mine: Duration?, than theirs: Duration?) -> Bool {
        guard let mine, let theirs else { return false }
        return mine * 2 + margin < theirs
    }

    /// The shortest of the latest round trips, when as many as count were measured after `start`.
    func roundTrip(since start: Instant) -> Duration? {
        guard samples.count == Self.sampleCount, let oldest = samples.first, oldest.at - oldest.roundTrip >= start
        else {
            return nil
        }
        return samples.lazy.map(\.roundTrip).min()
    }

    private static let sampleCount = 3

    /// RFC 8445 §6.1.2.3: `controlling` is the controlling side's candidate's priority. Candidates' priorities are below
    /// 2³¹; what a peer states beyond that counts as the highest.
    static func priority(controlling: UInt32, controlled: UInt32) -> UInt64 {
        let (g, d) = (UInt64(min(controlling, 0x7fff_ffff)), UInt64(min(controlled, 0x7fff_ffff)))
        return min(g, d) << 32 &+ 2 &* max(g, d) &+ (g > d ? 1 : 0)
    }

    mutating func noteRoundTrip(_ sample: Duration, _ now: Instant) {
        guard sample >= .zero else { return }
        counters.totalRoundTripTime += sample
        if samples.count == Self.sampleCount { samples.removeFirst() }
        samples.append((now, sample))
        roundTrip = roundTrip.map { ($0 * 7 + sample) / 8 } ?? sample
    }
}
