import DHT
public import DTLS
import Gun
import ICE
public import Magnet
public import SwarmBase
import WebRTC

/// One member of one swarm: discovers the others, signals, connects, relays, heals.
///
/// Sans-IO. The owner feeds it datagrams of the node's one UDP socket, frames of the WebSockets it asked for, and time;
/// after every call, or after all that came at once, it drains `pollTransmit`, `pollLink`, `pollStorage` and `pollEvent`, and
/// calls `handleTimeout` no later than `nextTimeout`. What it hands in before it polls shares packets.
public struct SwarmEngine: ~Copyable {
    let configuration: SwarmEngineConfiguration
    let topic: Topic
    let identity: Identity
    let sessionKey = SessionKeyPair()
    let certificate: DTLSCertificate
    var entropy: Entropy
    /// The wall clock's reading, in milliseconds since 1970, at `Instant.zero`.
    var wallAtZero: Double

    // Members and their connections.
    var members: [PeerID: Member] = [:]
    var sessionKeys: [UInt64: PeerID] = [:]
    var connections: [ConnectionID: Connection] = [:]
    let memberAgenda = Agenda<Member>()
    let connectionAgenda = Agenda<Connection>()
    /// Some path to somebody was blocked.
    var hasBlocked = false
    /// How many members have become known.
    var memberCount = 0
    /// By the numbers of connections' ids.
    var router = DatagramRouter<UInt64>()
    var hostAddresses: [TransportAddress] = []
    var localCandidates: [Candidate] = []
    /// Where each STUN server sees the socket.
    var reflexive: [TransportAddress: TransportAddress] = [:]
    var stun: STUNBindingClient
    var stunHealth: [TransportAddress: PlaneHealth] = [:]
    var turn: TURNClient
    var turnServerNames: [TURNServerID: String] = [:]
    var turnHealth: [TURNServerID: PlaneHealth] = [:]
    var turnAddresses: [TURNServerID: TransportAddress] = [:]
    var streamActions = FIFO<TURNStreamAction>()

    // Planes.
    var gun: GunPlane
    var trackers: TrackerPlane
    var dht: DHTPlane?
    var keepTableAt: Instant
    var dhtHealth: [AddressFamily: PlaneHealth] = [:]
    /// What was last read where our presence record belongs, by day.
    var ownSlots: [Int: OwnSlot] = [:]
    /// Our record in the DHT says that we leave.
    var isWithdrawn = false
    /// A tracker said something lately: offers through it need no mailbox.
    var trackersSpokeAt: Instant?
    var trackersSpeak = false
    var announces: AnnouncePlane
    var datagrams: DatagramPlane
    var lan: LANPlane
    var knownPeers: [PeerID: KnownPeer] = [:]
    var keptPort: UInt16?
    var seenSignals: SeenSignals
    var seenPresence = SeenPresence()
    /// Our own record, as it was written last.
    var ownPresence: (record: PresenceRecord, sealed: [UInt8])?
    /// What our keys in the souls of the swarm begin with, but for ``tagNumber``.
    let ownTag: String
    /// Questions to links whether they are alive, and when they were put last.
    var linkProbes = FIFO<LinkAction>()
    var linksProbedAt: Instant?
    /// When they are asked that could not be at once.
    var probeLinksAt: Instant?
    var presenceAt: Instant
    var lastPresenceTimestamp: UInt64 = 0
    var presenceClock = StateClock()
    /// The souls whose changes are told as `SwarmEvent.state`.
    var watched: Set<Soul> = []
    var graphChanges = FIFO<(soul: Soul, key: Key)>()
    /// The connections whose members share the graph.
    var graphLinks: [LinkID: ConnectionID] = [:]
    /// What tells our keys from those that were written before the clock was set back, or by a run of which nothing is known; `nil` for those that
    /// a former run may have written.
    var tagNumber: UInt64?
    /// When neighbours are told of each other, if something is new.
    var tellNeighboursAt: Instant?
    /// How often records of former runs of ours that are ahead are answered at once.
    var ownRecords = TokenBucket(rate: 1 / ownRecordPause.milliseconds * 1000, burst: 5)
    /// The days whose souls of presence and of our inbox are followed.
    var followedDays: Set<Int> = []
    /// What is in which of them, and in those of mail.
    var soulKinds: [Soul: SoulKind] = [:]
    let startedAt: Instant

    // Mail.
    /// Whether mail is left and taken. It goes where messages may go beside direct connections.
    let usesMail: Bool
    var prekeys: OwnPrekeys
    /// Our own souls, by week.
    var mailSouls: [Int: Soul] = [:]
    var mailInbox = MailInbox()
    var mailAcknowledgements = FIFO<MailInbox.Source>()
    var mailClock = StateClock()
    /// The souls of others that we keep.
    var keptMail: Set<Soul> = []
    /// The week in which older souls were forgotten.
    var mailForgottenIn: Int?

    var isLeaving = false
    var isPaused = false

    // Outputs.
    /// Whose packets are due at the end of the turn, and when that is.
    var unflushed = FIFO<Member>()
    var unflushedConnections = FIFO<Connection>()
    var flushTime = Instant.zero
    var transmits = FIFO<Transmit>()
    var events = FIFO<SwarmEvent>()
    var exchanges = FIFO<(peer: PeerID, exchange: Session.Exchange)>()
    /// Members that are refused from run to run.
    var blockedMembers: Set<PeerID> = []
    var pendingWrites: [StorageWrite] = []
    /// What waits for the writes that are not in a batch yet, and for the batches that are not on disk yet.
    var pendingConsequences: [StorageConsequence] = []
    var consequences = FIFO<(batch: UInt64, consequence: StorageConsequence)>()
    var nextBatch: UInt64 = 1
    /// Up to which batch all is on disk.
    var storedThrough: UInt64 = 0

    /// What was refused since the start, by kind.
    public internal(set) var refusals: [Refusal: Int] = [:]

    /// Makes a member; nothing leaves before the first `handleTimeout`.
    ///
    /// - Parameters:
    ///   - wall: the wall clock, in milliseconds since 1970, at `now`.
    public init(
        configuration: SwarmEngineConfiguration, topic: Topic, identity: Identity, certificate: DTLSCertificate,
        entropy: Entropy, now: Instant, wall: Double
    ) {
        self.configuration = configuration
        self.topic = topic
        self.identity = identity
        self.certificate = certificate
        self.entropy = entropy
        wallAtZero = wall - (now - .zero).milliseconds
        stun = STUNBindingClient(entropy: self.entropy.fork())
        turn = TURNClient(entropy: self.entropy.fork())
        gun = GunPlane(
            relays: configuration.relays, isKept: configuration.isDurable, entropy: self.entropy.fork(), now: now)
        trackers = TrackerPlane(
            trackers: configuration.trackers, firstLink: configuration.relays.count, infoHash: topic.infoHash,
            mostOpenOffers: configuration.mostOpenOffers, entropy: self.entropy.fork(), now: now)
        announces = AnnouncePlane(infoHash: topic.infoHash, entropy: self.entropy.fork())
        dht =
            configuration.usesDHT && configuration.usesConnections
            ? DHTPlane(entropy: self.entropy.fork(), now: now) : nil
        keepTableAt = now + .seconds(60)
        datagrams = DatagramPlane(entropy: self.entropy.fork())
        lan = LANPlane(
            isUsed: configuration.usesLocalNetwork && configuration.usesConnections, entropy: self.entropy.fork())
        seenSignals = SeenSignals()
        usesMail = configuration.mail.isUsed && !configuration.paths.isDisjoint(with: [.relay, .mesh])
        prekeys = OwnPrekeys(configuration: configuration.mail)
        ownTag = topic.tag(of: identity.peerID)
        tagNumber = UInt64(max(0, wall))
        presenceAt = now
        startedAt = now
        followDays(now: now)
        for server in configuration.stunServers { addSTUNServer(server, now: now) }
        if configuration.usesConnections {
            for url in configuration.httpTrackers { announces.addHTTP(url, now: now) }
        }
    }

    /// Who this member is.
    public var peerID: PeerID { identity.peerID }

    /// The swarm's infohash.
    public var infoHash: InfoHash { topic.infoHash }

    /// The wall clock in milliseconds since 1970.
    func wall(_ now: Instant) -> Double { wallAtZero + (now - .zero).milliseconds }

    /// Tells what the wall clock reads: it may be set while the node runs.
    public mutating func setWallClock(_ wall: Double, now: Instant) {
        let step = wall - self.wall(now)
        wallAtZero += step
        guard abs(step) > 10_000 else { return }
        ownPresence = nil
        presenceAt = now
        guard step < 0 else { return }
        // Records go on above the former ones, or another run of ours could not be told from a replay; unless the clock was so
        // wrong that nobody took them.
        if !isFresh(lastPresenceTimestamp, now: now) { lastPresenceTimestamp = 0 }
        clockWasSetBack(now: now)
    }

    // MARK: The network

    /// A datagram came on the node's socket.
    public mutating func handle(datagram: [UInt8], from source: TransportAddress, now: Instant) {
        if turn.handle(datagram: datagram, from: source, now: now) { return drainTURN(now: now) }
        if announces.handle(datagram, from: source, now: now) { return drainAnnounces(now: now) }
        route(datagram, from: source, via: nil, now: now)
    }

    /// - Parameter relay: the address on a TURN server of ours that the datagram came to.
    mutating func route(
        _ datagram: [UInt8], from source: TransportAddress, via relay: TransportAddress?, now: Instant
    ) {
        switch router.route(datagram, from: source) {
        case .connection(let id):
            guard let connection = connections[ConnectionID(value: id)] else { return }
            receive(datagram, from: source, via: relay, on: connection, now: now)
        case .stunAnswer:
            stun.handle(stun: datagram, from: source, now: now)
            drainSTUN(now: now)
        case .signaling:
            if relay == nil { receive(signaling: datagram, from: source, now: now) }
        case .dht:
            guard relay == nil else { return }
            dht?.handle(datagram: datagram, from: source, now: now)
            drainDHT(now: now)
        case .bindingRequest, .channelData, .dropped:
            break
        }
    }

    private mutating func receive(
        _ datagram: [UInt8], from source: TransportAddress, via relay: TransportAddress?, on connection: Connection,
        now: Instant
    ) {
        if isBlocked(connection, remote: source, relay: relay) { return }
        connection.peerConnection.handle(datagram: datagram, from: source, via: relay, now: now)
        drain(connection, now: now)
    }

    /// A link that was dialled is open.
    public mutating func linkOpened(_ link: SwarmLink, now: Instant) {
        if gun.owns(link) {
            gun.opened(link, now: now)
            relayOpened(now: now)
            drainGun(now: now)
        } else {
            trackers.opened(link, now: now)
            drainTrackers(now: now)
        }
    }

    /// A link is closed, or could not be opened.
    public mutating func linkClosed(_ link: SwarmLink, now: Instant) {
        if gun.owns(link) {
            gun.closed(link, now: now)
            if !gun.isConnected { relayClosed(now: now) }
            drainGun(now: now)
        } else {
            trackers.closed(link, now: now)
            drainTrackers(now: now)
        }
    }

    /// A text frame came on a link.
    public mutating func receive(frame: [UInt8], on link: SwarmLink, now: Instant) {
        if gun.owns(link) {
            gun.receive(frame, on: link, now: now, wall: wall(now))
            drainGun(now: now)
        } else {
            trackers.receive(frame, on: link, now: now)
            drainTrackers(now: now)
        }
    }

    // MARK: Time

    /// Does what is due.
    public mutating func handleTimeout(now: Instant) {
        stun.handleTimeout(now: now)
        drainSTUN(now: now)
        turn.handleTimeout(now: now)
        drainTURN(now: now)
        gun.handleTimeout(now: now, wall: wall(now))
        drainGun(now: now)
        trackers.handleTimeout(now: now)
        drainTrackers(now: now)
        runDHT(now: now)
        announces.handleTimeout(now: now)
        drainAnnounces(now: now)
        sayHellos(now: now)
        announceOnLAN(now: now)
        if now >= presenceAt, !isLeaving { announcePresence(now: now) }
        tellNeighbours(now: now)
        if let at = probeLinksAt, now >= at { probeLinks(now: now) }
        runAgenda(now: now)
        drainGun(now: now)
    }

    /// When `handleTimeout` is due.
    public var nextTimeout: Instant? {
        mutating get {
            settle()
            var next: Instant? = .earlier(gun.nextTimeout, .earlier(trackers.nextTimeout, stun.nextTimeout))
            next = .earlier(next, .earlier(turn.nextTimeout, announces.nextTimeout))
            if !isLeaving { next = .earlier(next, .earlier(tellNeighboursAt, probeLinksAt)) }
            if !isLeaving {
                next = .earlier(next, .earlier(presenceAt, .earlier(datagrams.nextTimeout, lan.nextTimeout)))
            }
            if dht != nil, !isLeaving { next = .earlier(next, .earlier(dht?.nextTimeout, keepTableAt)) }
            return .earlier(next, nextOnAgenda)
        }
    }

    // MARK: Outputs

    /// The next datagram for the node's socket.
    public mutating func pollTransmit() -> Transmit? {
        settle()
        return transmits.popFirst()
    }

    /// The next thing to do with a WebSocket.
    public mutating func pollLink() -> LinkAction? {
        settle()
        return linkProbes.popFirst() ?? gun.pollLink() ?? trackers.pollLink()
    }

    /// The next thing the application should know.
    public mutating func pollEvent() -> SwarmEvent? {
        settle()
        return events.popFirst()
    }

    mutating func refuse(_ refusal: Refusal) { refusals[refusal, default: 0] += 1 }
}
