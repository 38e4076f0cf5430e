import JSON
public import Magnet
public import SwarmBase

/// One attempt to open a socket to the tracker, so that news of an old socket is not taken for news of a new one.
public struct TrackerSocket: Hashable, Sendable {
    let number: UInt64
}

/// What a ``TrackerClient`` tells its owner.
public enum TrackerClientEvent: Equatable, Sendable {
    /// Dial the tracker's URL now; `socketOpened` or `socketClosed` must follow.
    case connect(TrackerSocket)
    /// Close this socket (or give up dialling it) once the frames from `pollTransmit` are written.
    case disconnect(TrackerSocket)
    /// Send a WebSocket ping; report the pong by `noteTraffic`.
    case ping(TrackerSocket)
    /// An announce is due: `supply` up to `count` fresh offers, now or within a few seconds.
    case wantOffers(count: Int, InfoHash)
    /// A peer offers a connection; `answer` it within a minute or leave it.
    case offer(TrackerSignal)
    /// The first answer to one of our offers.
    case answer(TrackerSignal)
    /// An offer of ours will not be answered any more: it was too old, not sent, or the socket has gone.
    case offerExpired(InfoHash, TrackerOfferID)
    /// The tracker took our announce. The counts are its own, with peers that have gone.
    case announced(InfoHash, complete: Int, incomplete: Int)
    /// What the tracker complained about (at most 200 characters of its text), or we about it.
    case warning(String)
    /// The tracker closes the socket on whatever we announce; the next try is that far away.
    case incompatible(retryAfter: Duration)
}

/// The client's half of the WebTorrent tracker protocol for one tracker URL and any number of swarms, without IO.
///
/// The socket is dialled when the first swarm is joined and closed when the last one is left. After every call drain
/// ``pollTransmit()`` (text frames for the open socket), then ``pollEvent()``, then re-read ``nextTimeout``.
///
/// The schedule: an announce with offers as soon as the socket is open, so that a joiner reaches everyone present at
/// once; while nothing comes of it a few early repeats; then the tracker's interval, which heals what was lost. A new
/// `peer_id` for every socket: a tracker may still hold the old one for a socket that it has not yet seen die.
public struct TrackerClient: Sendable {
    struct OpenSocket {
        var socket: TrackerSocket
        var openedAt: Instant
        var lastTraffic: Instant
        var isPinged = false
        var lastAnnounce: Instant?
        var hasReply = false
    }

    enum Connection {
        case idle
        case waiting(until: Instant)
        case connecting(TrackerSocket, giveUpAt: Instant)
        case open(OpenSocket)
    }

    /// Counts since the beginning.
    public struct Counters: Equatable, Sendable {
        public var announces = 0
        public var offersSent = 0
        public var offersReceived = 0
        public var answersSent = 0
        public var answersReceived = 0
        /// Messages that were malformed, not for us, too many or too late.
        public var ignored = 0
        /// Sockets that were dialled.
        public var dials = 0
    }

    let configuration: TrackerClientConfiguration
    var entropy: Entropy
    var connection = Connection.idle
    var swarms: [InfoHash: ClientSwarm] = [:]
    private var sockets: UInt64 = 0
    private var failures = 0
    private var rejections = 0
    var receivedOffers: TokenBucket
    var transmits = FIFO<[UInt8]>()
    var events = FIFO<TrackerClientEvent>()
    /// Our id on the present socket.
    public private(set) var peerID: TrackerPeerID
    public internal(set) var counters = Counters()

    public init(configuration: TrackerClientConfiguration = .init(), entropy: Entropy) {
        self.configuration = configuration
        self.entropy = entropy
        receivedOffers = TokenBucket(rate: 1, burst: Double(configuration.receivedOffersBurst))
        peerID = .random(prefix: configuration.peerIDPrefix, using: &self.entropy)
    }

    // MARK: Getters

    /// Whether the socket is open.
    public var isConnected: Bool {
        if case .open = connection { true } else { false }
    }

    /// The swarms that are joined.
    public var infoHashes: [InfoHash] { Array(swarms.keys) }

    /// The next moment at which ``handleTimeout(now:)`` has something to do.
    public var nextTimeout: Instant? {
        var next: Instant?
        switch connection {
        case .idle: break
        case .waiting(let until): next = until
        case .connecting(_, let giveUpAt): next = giveUpAt
        case .open(let open):
            next = open.lastTraffic + (open.isPinged ? configuration.deadAfter : configuration.pingAfter)
        }
        let isConnected = isConnected
        for swarm in swarms.values {
            if isConnected { next = .earlier(next, .earlier(swarm.gatheringUntil, swarm.announceAt)) }
            for sent in swarm.openOffers.values { next = .earlier(next, sent + configuration.offerLifetime) }
        }
        return next
    }

    /// The next frame for the open socket.
    public mutating func pollTransmit() -> [UInt8]? { transmits.popFirst() }

    /// The next event.
    public mutating func pollEvent() -> TrackerClientEvent? { events.popFirst() }

    // MARK: Commands

    /// Joins a swarm; dials if there was none.
    ///
    /// - Parameters:
    ///   - left: bytes still missing, 0 for a seed; 1 when unknown or without a torrent.
    ///   - wantedOffers: see ``setWantedOffers(_:for:)``; `nil` for as many as an announce may carry.
    /// - Returns: false when the cap on swarms is reached.
    @discardableResult
    public mutating func join(
        _ infoHash: InfoHash, left: Int = 1, wantedOffers: Int? = nil, now: Instant
    ) -> Bool {
        guard swarms[infoHash] == nil else { return true }
        guard swarms.count < configuration.maximumSwarms else { return false }
        let most = configuration.offersPerAnnounce
        var swarm = ClientSwarm(left: max(0, left), wantedOffers: min(max(0, wantedOffers ?? most), most))
        swarm.announceAt = now
        swarms[infoHash] = swarm
        switch connection {
        case .idle: dial(now: now)
        case .open: runSwarms(now: now)
        case .waiting, .connecting: break
        }
        return true
    }

    /// Leaves a swarm (`stopped`); after the last one the socket is closed.
    public mutating func leave(_ infoHash: InfoHash, now: Instant) {
        guard let swarm = swarms.removeValue(forKey: infoHash) else { return }
        expireOffers(of: swarm, infoHash)
        if case .open(let open) = connection, swarm.isStarted {
            transmits.append(swarm.announce(infoHash, from: peerID, event: "stopped", offers: nil))
            if swarms.isEmpty {
                connection = .idle
                events.append(.disconnect(open.socket))
            }
        } else if swarms.isEmpty {
            hangUp()
        }
    }

    /// Leaves all swarms and closes the socket.
    public mutating func stop(now: Instant) {
        for infoHash in swarms.keys.sorted() { leave(infoHash, now: now) }
    }

    /// How many offers further announces should carry: fewer when well connected, 0 to be found only.
    public mutating func setWantedOffers(_ count: Int, for infoHash: InfoHash) {
        swarms[infoHash]?.wantedOffers = min(max(0, count), configuration.offersPerAnnounce)
    }

    /// Brings the next announce forward, as far as the spacing between two allows: when connections were lost.
    public mutating func announceSoon(_ infoHash: InfoHash, now: Instant) {
        guard var swarm = swarms[infoHash], swarm.gatheringUntil == nil else { return }
        let earliest = swarm.lastAnnounce.map { max(now, $0 + configuration.announceSpacing) } ?? now
        swarm.announceAt = min(swarm.announceAt ?? earliest, earliest)
        swarms[infoHash] = swarm
        if isConnected { runSwarms(now: now) }
    }

    /// Our addresses have changed: open offers are dead, and so, most likely, is the socket. Dials anew at once.
    public mutating func networkChanged(now: Instant) {
        failures = 0
        rejections = 0
        guard !swarms.isEmpty else { return }
        hangUp()
        forgetSession()
        dial(now: now)
    }

    /// Gives the offers that ``TrackerClientEvent/wantOffers(count:_:)`` asked for; fewer or none will do. Each is
    /// answered or expires; what cannot be sent expires at once.
    public mutating func supply(_ offers: [TrackerOffer], for infoHash: InfoHash, now: Instant) {
        guard isConnected, var swarm = swarms[infoHash], swarm.isSupplyOutstanding else {
            for offer in offers { events.append(.offerExpired(infoHash, offer.id)) }
            return
        }
        swarm.isSupplyOutstanding = false
        swarms[infoHash] = swarm
        // Without offers there is nothing more to say when the announce has already gone out.
        if !offers.isEmpty || swarm.gatheringUntil != nil { sendAnnounce(infoHash, offers: offers, now: now) }
    }

    /// Answers an offer.
    ///
    /// - Returns: false when that offer is not, or no longer, waiting for an answer on this socket.
    @discardableResult
    public mutating func answer(
        _ sdp: String, to peerID: TrackerPeerID, offerID: TrackerOfferID, in infoHash: InfoHash, now: Instant
    ) -> Bool {
        guard isConnected, sdp.utf8.count <= configuration.maximumSDPByteCount,
            swarms[infoHash]?.unanswered.removeValue(forKey: ClientSwarm.Unanswered(peerID: peerID, offerID: offerID))
                != nil
        else { return false }
        let message: JSONValue = [
            "action": "announce", "info_hash": .bytes(infoHash.bytes), "peer_id": .bytes(self.peerID.bytes),
            "to_peer_id": .bytes(peerID.bytes), "offer_id": .text(offerID.text),
            "answer": ["type": "answer", "sdp": .string(sdp)],
        ]
        transmits.append(message.serialized())
        counters.answersSent += 1
        return true
    }

    // MARK: Input

    /// The socket is open.
    public mutating func socketOpened(_ socket: TrackerSocket, now: Instant) {
        guard case .connecting(socket, _) = connection else { return }
        connection = .open(OpenSocket(socket: socket, openedAt: now, lastTraffic: now))
        for infoHash in swarms.keys { swarms[infoHash]?.announceAt = now }
        runSwarms(now: now)
    }

    /// The socket was closed, or could not be opened.
    public mutating func socketClosed(_ socket: TrackerSocket, now: Instant) {
        switch connection {
        case .connecting(socket, _): lost(nil, now: now)
        case .open(let open) where open.socket == socket: lost(open, now: now)
        default: break
        }
    }

    /// A pong, or a ping of the tracker, came in.
    public mutating func noteTraffic(on socket: TrackerSocket, now: Instant) {
        guard case .open(var open) = connection, open.socket == socket else { return }
        open.lastTraffic = now
        open.isPinged = false
        connection = .open(open)
    }

    /// A text or binary message came in.
    public mutating func receive(_ frame: [UInt8], on socket: TrackerSocket, now: Instant) {
        guard case .open(let open) = connection, open.socket == socket else { return }
        noteTraffic(on: socket, now: now)
        switch ServerMessage(parsing: frame, maximumByteCount: configuration.maximumMessageByteCount) {
        case .reply(let reply): receive(reply, now: now)
        case .offer(let infoHash, let peer, let offer, let sdp): receiveOffer(infoHash, peer, offer, sdp, now: now)
        case .answer(let infoHash, let peer, let offer, let sdp): receiveAnswer(infoHash, peer, offer, sdp, now: now)
        case .failure(let reason): events.append(.warning(reason))
        case nil: counters.ignored += 1
        }
    }

    /// Does what is due.
    public mutating func handleTimeout(now: Instant) {
        switch connection {
        case .idle: break
        case .waiting(let until):
            if now >= until { dial(now: now) }
        case .connecting(let socket, let giveUpAt):
            if now >= giveUpAt {
                events.append(.disconnect(socket))
                lost(nil, now: now)
            }
        case .open(var open):
            if now >= open.lastTraffic + configuration.deadAfter {
                events.append(.disconnect(open.socket))
                lost(open, now: now)
            } else if !open.isPinged, now >= open.lastTraffic + configuration.pingAfter {
                open.isPinged = true
                connection = .open(open)
                events.append(.ping(open.socket))
            }
        }
        expireOldOffers(now: now)
        runSwarms(now: now)
    }

    // MARK: Socket

    private mutating func dial(now: Instant) {
        sockets += 1
        counters.dials += 1
        let socket = TrackerSocket(number: sockets)
        peerID = .random(prefix: configuration.peerIDPrefix, using: &entropy)
        connection = .connecting(socket, giveUpAt: now + configuration.connectTimeout)
        events.append(.connect(socket))
    }

    private mutating func hangUp() {
        switch connection {
        case .idle, .waiting: break
        case .connecting(let socket, _): events.append(.disconnect(socket))
        case .open(let open): events.append(.disconnect(open.socket))
        }
        connection = .idle
    }

    /// The connection has gone, by whatever cause: everything that hung on it goes too.
    private mutating func lost(_ open: OpenSocket?, now: Instant) {
        forgetSession()
        if let open, now - open.openedAt >= configuration.stableAfter { failures = 0 }
        let wasRejected =
            open.map { open in
                !open.hasReply && open.lastAnnounce.map { now - $0 <= configuration.rejectionWindow } ?? false
            } ?? false
        if open != nil { rejections = wasRejected ? rejections + 1 : 0 }
        var delay = backoff()
        failures += 1
        if rejections >= configuration.rejectionsUntilIncompatible {
            rejections = 0
            delay = configuration.incompatibleFor
            events.append(.incompatible(retryAfter: delay))
        }
        connection = swarms.isEmpty ? .idle : .waiting(until: now + delay)
    }

    /// A random time below base × 2ⁿ, at most the maximum.
    private mutating func backoff() -> Duration {
        let base = configuration.backoffBase.nanosecondsClamped
        let limit = configuration.backoffMaximum.nanosecondsClamped
        let ceiling = failures >= 16 ? limit : min(limit, base * (1 << Int64(failures)))
        return .nanoseconds(ceiling > 0 ? Int64.random(in: 0..<ceiling, using: &entropy) : 0)
    }

    /// What a tracker knew of us through the last socket it knows no more.
    private mutating func forgetSession() {
        transmits.removeAll()
        for infoHash in swarms.keys.sorted() {
            guard var swarm = swarms[infoHash] else { continue }
            expireOffers(of: swarm, infoHash)
            swarm.forgetSession()
            swarms[infoHash] = swarm
        }
    }

    // MARK: Announcing

    private mutating func runSwarms(now: Instant) {
        guard isConnected else { return }
        for infoHash in swarms.keys.sorted() {
            guard var swarm = swarms[infoHash] else { continue }
            if let until = swarm.gatheringUntil {
                if now >= until { sendAnnounce(infoHash, offers: [], now: now) }
            } else if let due = swarm.announceAt, now >= due {
                swarm.announceAt = nil
                let count = swarm.offersToAsk(configuration)
                if count > 0 {
                    swarm.gatheringUntil = now + configuration.offerPatience
                    swarm.isSupplyOutstanding = true
                    swarms[infoHash] = swarm
                    events.append(.wantOffers(count: count, infoHash))
                } else {
                    swarms[infoHash] = swarm
                    sendAnnounce(infoHash, offers: [], now: now)
                }
            }
        }
    }

    private mutating func sendAnnounce(_ infoHash: InfoHash, offers: [TrackerOffer], now: Instant) {
        guard case .open(var open) = connection, var swarm = swarms[infoHash] else { return }
        var sent: [TrackerOffer] = []
        // Room for the other members, which are bounded.
        var room = configuration.maximumMessageByteCount - 2048
        for offer in offers {
            let size = JSONValue.string(offer.sdp).serialized().count + TrackerOfferID.maximumByteCount * 3
            if offer.sdp.utf8.count <= configuration.maximumSDPByteCount, size <= room,
                swarm.openOffers.count < configuration.openOffersPerSwarm, swarm.openOffers[offer.id] == nil
            {
                room -= size
                swarm.openOffers[offer.id] = now
                sent.append(offer)
            } else {
                events.append(.offerExpired(infoHash, offer.id))
            }
        }
        let event = swarm.isStarted ? nil : "started"
        transmits.append(swarm.announce(infoHash, from: peerID, event: event, offers: sent))
        counters.announces += 1
        counters.offersSent += sent.count
        open.lastAnnounce = now
        connection = .open(open)

        if swarm.isStarted { swarm.repeatsDone += 1 }
        swarm.isStarted = true
        swarm.gatheringUntil = nil
        swarm.lastAnnounce = now
        swarm.jitter = Double.random(in: 0.9...1, using: &entropy)
        swarm.scheduleNext(configuration)
        swarms[infoHash] = swarm
    }

    private mutating func receive(_ reply: ServerMessage.Reply, now: Instant) {
        guard var swarm = swarms[reply.infoHash], case .open(var open) = connection else {
            counters.ignored += 1
            return
        }
        open.hasReply = true
        connection = .open(open)
        rejections = 0
        swarm.interval = reply.interval ?? swarm.interval
        swarm.minimumInterval = min(reply.minimumInterval ?? .zero, configuration.intervalRange.upperBound)
        swarm.population = reply.complete + reply.incomplete
        swarm.trackerID = reply.trackerID ?? swarm.trackerID
        swarm.scheduleNext(configuration)
        swarms[reply.infoHash] = swarm
        events.append(.announced(reply.infoHash, complete: reply.complete, incomplete: reply.incomplete))
        if let warning = reply.warning { events.append(.warning(warning)) }
    }
}
