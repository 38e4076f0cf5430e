public import DTLS
public import ICE
internal import SCTP
public import SwarmBase

/// A WebRTC connection for data channels: ICE, DTLS and SCTP put together (RFC 8831), with offer and answer (RFC 9429).
///
/// Sans-IO: after every command, `handle…` and `handleTimeout` the owner drains ``pollTransmit()``, then
/// ``pollEvent()``, and then ``pollTransmit()`` once more if an event came (reading a message may open the receive
/// window), then reads ``nextTimeout`` again. The owner also carries descriptions and candidates between the
/// peers, and when both offer at once it decides whose offer counts: `accept(offer:)` gives up an offer of our own.
public struct PeerConnection: ~Copyable {
    enum Signaling {
        case stable
        case haveLocalOffer
    }

    let configuration: PeerConnectionConfiguration
    let certificate: DTLSCertificate
    var entropy: Entropy
    var ice: ICEAgent
    /// Exists from the moment that it can do something: as server with the peer's description, as client with a path.
    var dtls: DTLSTransport?
    /// Exists from the peer's description on, so that channels get their identifiers.
    var sctp: DataChannelTransport?
    var sctpIsStarted = false
    /// Set by the first exchange; kept over restarts.
    var dtlsRole: DTLSTransport.Role?
    var signaling = Signaling.stable
    let sessionID: UInt64
    var descriptionVersion: UInt64 = 1
    var localCandidatesAreComplete = false

    var channels: [DataChannelHandle: Channel] = [:]
    var handles: [DataChannelID: DataChannelHandle] = [:]
    /// Channels that wait for their identifier, in the order in which they were opened.
    var unassigned: [DataChannelHandle] = []
    var nextHandle: UInt64 = 0
    var earlyBytes = 0

    /// DTLS that came before the peer's description (the peer's client does not wait for its answer to arrive).
    var earlyDatagrams: [[UInt8]] = []
    /// What is left to send after the end: ABORT and close_notify.
    var parting = FIFO<Transmit>()
    var events = FIFO<PeerConnectionEvent>()
    /// The `now` of the last input; packets are sealed when they are polled, which is right after it.
    var now: Instant
    /// When a connection without a path is given up.
    var graceDeadline: Instant?
    /// When a lingering close ends.
    var lingerDeadline: Instant?
    var lastPath: ICEPath?
    var lastICEState = ICEState.new

    /// Whether messages, and what came behind them, are left in SCTP: the peer's window closes while nobody reads. Other
    /// events come all the same.
    public var isReadingPaused = false

    /// How far the connection is.
    public internal(set) var state = PeerConnectionState.new
    /// Why it is closed; `nil` before.
    public internal(set) var closeReason: PeerConnectionCloseReason?
    /// What this side said last.
    public internal(set) var localDescription: SessionDescription?
    /// What the peer said last, candidates that came later not included.
    public internal(set) var remoteDescription: SessionDescription?

    /// A connection that waits for `createOffer` or `accept(offer:)`.
    ///
    /// - Parameter certificate: the node's; shared by all its connections.
    public init(
        configuration: PeerConnectionConfiguration = PeerConnectionConfiguration(), certificate: DTLSCertificate,
        entropy: Entropy, now: Instant
    ) {
        self.configuration = configuration
        self.certificate = certificate
        self.now = now
        var entropy = entropy
        sessionID = entropy.next() >> 1
        ice = ICEAgent(configuration: configuration.ice, role: .controlling, entropy: entropy.fork(), now: now)
        self.entropy = entropy
    }

    // MARK: What the owner may ask

    /// Our ufrags that are answered to, the newest first: for `DatagramRouter.setUfrags`.
    public var localUfrags: [String] { ice.localUfrags }

    /// Whether a STUN request that names this ufrag is for this connection.
    public func accepts(ufrag: String) -> Bool { state != .closed && ice.accepts(ufrag: ufrag) }

    /// Whether a STUN answer of this transaction is for this connection.
    public func owns(transaction: STUNTransactionID) -> Bool { ice.owns(transaction: transaction) }

    /// Where data goes now; `nil` while there is no path.
    public var remoteAddress: TransportAddress? { ice.sendAddress }

    /// Which way data goes now; `nil` while there is no path.
    public var selectedPath: PeerConnectionPath? {
        guard let path = ice.sendPath else { return nil }
        return ice.isRelayed ? .relayed(by: path.relay) : .direct
    }

    public var iceState: ICEState { ice.state }

    /// How it stands with the candidate pairs: for statistics.
    public var candidatePairs: [ICEPairStatus] { ice.pairStatus }

    /// Which side decides on the pair.
    public var iceRole: ICEAgent.Role { ice.role }

    /// Which side this is in DTLS; `nil` before the first exchange.
    public var isDTLSClient: Bool? { dtlsRole.map { $0 == .client } }

    /// Whether records may pass, and messages as soon as SCTP is up.
    public var isDTLSConnected: Bool {
        switch dtls {
        case .some(let transport): transport.isConnected
        case .none: false
        }
    }

    /// The smoothed round-trip time of the path in use, as ICE measures it.
    public var roundTripTime: Duration? { ice.roundTripTime }

    /// When the peer was heard last: a check or an answer with the right password, or a record that DTLS could open.
    public var lastReceived: Instant? { ice.lastReceived }

    /// The longest message that `send` takes, in bytes: what the peer's description allows.
    public var maximumMessageSize: Int {
        min(
            remoteDescription?.maxMessageSize ?? SessionDescription.defaultMaxMessageSize,
            configuration.sctp.maxMessageSize)
    }

    /// The candidates that descriptions of ours carry.
    public var localCandidates: [Candidate] { ice.localCandidates.filter { $0.kind != .peerReflexive } }

    // MARK: Candidates

    /// Adds a candidate of ours: it is in all descriptions made after it, and the owner may trickle it to the peer.
    public mutating func addLocalCandidate(_ candidate: Candidate) { ice.addLocalCandidate(candidate) }

    /// Takes back a candidate of ours: the address is ours no longer (`TURNEvent.lost`, or an interface that is gone).
    public mutating func removeLocalCandidate(_ address: TransportAddress, now: Instant) {
        guard state != .closed else { return }
        self.now = now
        ice.removeLocalCandidate(address, now: now)
        settle()
    }

    /// Says that the machine's interfaces or routes have changed: every pair is checked again at once, while data goes on.
    /// New addresses are told by ``addLocalCandidate(_:)``, and trickled or offered anew by the owner.
    public mutating func networkChanged(now: Instant) {
        guard state != .closed else { return }
        self.now = now
        ice.networkChanged(now: now)
        settle()
    }

    /// Says that there will be no more: descriptions made after it say so (RFC 8838 §13).
    public mutating func endOfLocalCandidates(now: Instant) {
        self.now = now
        localCandidatesAreComplete = true
        ice.endOfLocalCandidates(now: now)
        settle()
    }

    /// Takes a trickled candidate of the peer: `candidate:…`; the empty line means that no more will come.
    ///
    /// What cannot be used (TCP, names, another component) is ignored.
    ///
    /// - Parameter ufrag: the generation it belongs to, when the signaling says so.
    public mutating func addRemoteCandidate(_ line: String, ufrag: String?, now: Instant) {
        guard state != .closed else { return }
        if line.isEmpty || line.hasPrefix("end-of-candidates") || line.hasPrefix("a=end-of-candidates") {
            endOfRemoteCandidates(now: now)
            return
        }
        guard var candidate = Candidate(sdp: line) else { return }
        if let ufrag, !ufrag.isEmpty { candidate.usernameFragment = ufrag }
        self.now = now
        ice.addRemoteCandidate(candidate, now: now)
        settle()
    }

    /// Says that the peer has no more candidates.
    public mutating func endOfRemoteCandidates(now: Instant) {
        guard state != .closed else { return }
        self.now = now
        ice.endOfRemoteCandidates(now: now)
        settle()
    }

    /// Sends again at once what waits for the peer's acknowledgement: for an owner that probes a path that fell silent and
    /// does not want to wait for SCTP's timeout, which doubles with each loss (RFC 9260 §6.3.3).
    public mutating func sendAgain(now: Instant) {
        guard state != .closed else { return }
        self.now = now
        sctp?.pathChanged(now: now)
        settle()
    }
}
