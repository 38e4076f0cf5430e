import DTLS
public import JSON
public import Magnet
import NIOCore
import NIOPosix
public import SwarmBase
public import SwarmEngine
import SwarmTransport

/// One member of a swarm: finds the others, and talks with them by whatever path there is.
///
/// ```swift
/// let swarm = try await Swarm.join(Invite("magnet:?xt=urn:btih:…"))
/// for await event in swarm.events {
///     if case .message(let peer, .text(let text), let path, _) = event { print(peer.short, path, text) }
/// }
/// ```
///
/// A message that `send` took arrives once, in order, whatever happens to the paths; `SwarmEvent.delivered` says when.
/// With a data directory that holds across restarts of either side too.
public actor Swarm {
    /// This member: the public half of its identity.
    public nonisolated let peerID: PeerID
    /// What trackers know the swarm by.
    public nonisolated let infoHash: InfoHash
    /// What happens; to be read in one place.
    public nonisolated let events: SwarmEvents
    /// The trackers in use: those of the invite and of the configuration.
    public nonisolated let trackers: [String]
    /// The GUN relays in use: those of the invite and of the configuration.
    public nonisolated let relays: [String]

    /// The graph that the members share.
    public nonisolated let graph: Graph

    private let eventLoop: any EventLoop
    private let reading: ReadingNode
    private var node: Node?

    /// The actor runs on its node's event loop, so that a call costs no change of threads within it.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        // The loop outlives the actor, which holds it.
        unsafe eventLoop.executor.asUnownedSerialExecutor()
    }

    /// Joins a swarm. It does not wait until somebody is found: that is told by ``events``.
    ///
    /// - Throws: when the configuration cannot be used, the data directory not be opened, or the UDP port not be bound.
    public static func join(
        _ invite: Invite, configuration: SwarmConfiguration = SwarmConfiguration()
    ) async throws(SwarmError) -> Swarm {
        try configuration.validate()
        let topic = invite.topic
        let certificate: DTLSCertificate
        do { certificate = try DTLSCertificate() } catch {
            throw SwarmError(.network, "no DTLS certificate can be made: \(error)")
        }
        var kept = KeptState.volatile()
        if let path = configuration.dataDirectory { kept = try await KeptState.open(path, swarm: topic) }
        let swarm = Swarm(
            eventLoop: MultiThreadedEventLoopGroup.singleton.next(), invite: invite, configuration: configuration,
            topic: topic, identity: kept.identity)
        try await swarm.start(configuration, topic: topic, kept: kept, certificate: certificate)
        return swarm
    }

    private init(
        eventLoop: any EventLoop, invite: Invite, configuration: SwarmConfiguration, topic: Topic, identity: Identity
    ) {
        self.eventLoop = eventLoop
        graph = Graph(host: GraphHost(eventLoop: eventLoop))
        peerID = identity.peerID
        infoHash = topic.infoHash
        trackers = Self.sites(invite.trackers, configuration.trackers)
        relays = Self.sites(invite.relays, configuration.relays)
        let reading = ReadingNode()
        events = SwarmEvents(
            mailbox: EventMailbox(high: configuration.mostUnreadEvents) { reading.keepsUp() })
        self.reading = reading
    }

    /// Those that are configured come first, each once.
    static func sites(_ invited: [String], _ configured: [String]) -> [String] {
        var sites: [String] = []
        for url in configured + invited where !sites.contains(url) { sites.append(url) }
        return Array(sites.prefix(SwarmConfiguration.mostSites))
    }

    private func start(
        _ configuration: SwarmConfiguration, topic: Topic, kept: KeptState, certificate: DTLSCertificate
    ) async throws(SwarmError) {
        let node = Node(
            eventLoop: eventLoop, configuration: configuration, trackers: trackers, relays: relays, topic: topic,
            kept: kept, certificate: certificate, mailbox: events.mailbox)
        self.node = node
        graph.host.attach(BackendReference(weak: node))
        reading.set(node, on: eventLoop)
        do { try await node.start().get() } catch {
            try? await node.leave().get()
            self.node = nil
            throw SwarmError(.network, "\(error): choose another port, or 0 for any")
        }
    }

    isolated deinit {
        // Whoever lets go of a swarm has left it.
        _ = node?.leave()
    }

    // MARK: Messages

    /// Sends a message to a member, which may be away: it goes out as soon as there is a path.
    ///
    /// - Parameters:
    ///   - priority: what is more urgent overtakes what waits; messages of one priority stay in order.
    ///   - ordered: whether it is handed on after those sent before it with the same priority, or as soon as it is there.
    ///   - deadline: when it is of no use any more. It is `expired` then, unless it was handed on.
    /// - Returns: names the message, and tells what becomes of it; so do `SwarmEvent.delivered`, `expired` and `rejected`.
    /// - Throws: when it is larger than 16 MiB, or 64 MiB wait for this member already, or it is blocked.
    @discardableResult
    public func send(
        _ content: MessageContent, to peer: PeerID, priority: MessagePriority = .normal, ordered: Bool = true,
        deadline: ContinuousClock.Instant? = nil
    ) throws(SwarmError) -> Receipt {
        let node = try running()
        defer { node.drainSoon() }
        let now = node.now
        let options = MessageOptions(
            priority: priority, isOrdered: ordered, deadline: deadline.map { now + ($0 - ContinuousClock.now) })
        let number: UInt64
        do { number = try node.engine.send(content, to: peer, options, now: now) } catch {
            throw SwarmError(error, to: peer)
        }
        let receipt = Receipt(peer: peer, number: number)
        node.receipts.add(receipt)
        return receipt
    }

    /// Sends a text to a member: see ``send(_:to:priority:ordered:deadline:)-(MessageContent,_,_,_,_)``.
    @discardableResult
    public func send(
        _ text: String, to peer: PeerID, priority: MessagePriority = .normal, ordered: Bool = true,
        deadline: ContinuousClock.Instant? = nil
    ) throws(SwarmError) -> Receipt {
        try send(.text(text), to: peer, priority: priority, ordered: ordered, deadline: deadline)
    }

    /// Sends bytes to a member.
    @discardableResult
    public func send(
        _ bytes: [UInt8], to peer: PeerID, priority: MessagePriority = .normal, ordered: Bool = true,
        deadline: ContinuousClock.Instant? = nil
    ) throws(SwarmError) -> Receipt {
        try send(.binary(bytes), to: peer, priority: priority, ordered: ordered, deadline: deadline)
    }

    /// Sends a message to every member that is here: a session is up, or some plane has told of it.
    ///
    /// - Returns: the message's number for each member. Members for whom too much waits already are left out.
    @discardableResult
    public func broadcast(_ content: MessageContent, priority: MessagePriority = .normal) throws(SwarmError) -> [PeerID:
        UInt64]
    {
        let node = try running()
        defer { node.drainSoon() }
        var numbers: [PeerID: UInt64] = [:]
        let options = MessageOptions(priority: priority)
        for peer in node.present {
            do { numbers[peer] = try node.engine.send(content, to: peer, options, now: node.now) } catch {
                if case .tooLarge = error { throw SwarmError(error, to: peer) }
            }
        }
        return numbers
    }

    /// Sends a text to every member that is here.
    @discardableResult
    public func broadcast(_ text: String) throws(SwarmError) -> [PeerID: UInt64] { try broadcast(.text(text)) }

    /// Sends bytes to every member that is here.
    @discardableResult
    public func broadcast(_ bytes: [UInt8]) throws(SwarmError) -> [PeerID: UInt64] { try broadcast(.binary(bytes)) }

    /// How much of a message the other has.
    public struct MessageProgress: Equatable, Sendable {
        /// Bytes that have arrived.
        public var received: Int
        /// Bytes of the whole.
        public var size: Int
    }

    /// How much of a message the other has; `nil` when it does not wait any more.
    public func progress(of receipt: Receipt) throws(SwarmError) -> MessageProgress? {
        try running().engine.progress(of: receipt.number, to: receipt.peer).map {
            MessageProgress(received: $0.received, size: $0.size)
        }
    }

    /// Bytes that wait for a member's acknowledgement.
    public func backlog(of peer: PeerID) throws(SwarmError) -> Int { try running().engine.backlog(of: peer) }

    // MARK: Shared state

    /// Writes one key of a node of the GUN graph; it reaches every member that watches the soul. It waits until that is on disk, where
    /// the member keeps its state: then it goes out by itself, though the process be killed.
    ///
    /// - Parameter value: `null`, a boolean, a finite number, a text, or a link `{"#": soul}`.
    public func put(soul: String, key: String, value: JSONValue) async throws(SwarmError) {
        let node = try running()
        let batch = node.nextBatch
        guard node.engine.put(soul: soul, key: key, value: value, now: node.now) else {
            throw SwarmError(
                .invalidValue,
                "a soul and a key are not empty, and a value is null, true, false, a number, a text or a link")
        }
        node.drain()
        await node.watchers.untilStored(batch)
    }

    /// Reports every change of a node of the GUN graph from now on, and what is known of it already.
    public func watch(soul: String) throws(SwarmError) {
        let node = try running()
        guard !soul.isEmpty else { throw SwarmError(.invalidValue, "a soul is not empty") }
        node.engine.watch(soul: soul, now: node.now)
        node.drain()
    }

    // MARK: Members and paths

    /// One member a session is up with.
    public struct Peer: Equatable, Sendable {
        public var id: PeerID
        /// What it calls itself; anything.
        public var name: String
        public var path: PathKind
    }

    /// The members that a session is up with, in the order of their ids.
    public var peers: [Peer] {
        node?.engine.peers.map { Peer(id: $0.peer, name: $0.name, path: $0.path) } ?? []
    }

    /// Who is here or away, in the order of their ids, with every path that leads to them as it was measured.
    public var roster: [RosterEntry] { node?.engine.roster ?? [] }

    /// Fault injection for tests and demonstrations: what would take a path is dropped, both ways, until `unblock`.
    ///
    /// - Parameter peer: `nil` for every member known now.
    public func block(_ path: PathKind, _ peer: PeerID? = nil) throws(SwarmError) {
        let node = try running()
        node.engine.block(path, peer)
        node.drain()
    }

    /// Ends what `block` began.
    public func unblock(_ path: PathKind, _ peer: PeerID? = nil) throws(SwarmError) {
        let node = try running()
        node.engine.unblock(path, peer)
        node.drain()
    }

    // MARK: Admission

    /// Ends the conversation with a member: what waits for it is rejected. It may come again after a minute, or when it runs anew.
    public func kick(_ member: PeerID) throws(SwarmError) {
        let node = try running()
        node.engine.kick(member, now: node.now)
        node.drain()
    }

    /// Refuses a member, with a data directory in later runs too: it gets nothing of us and we nothing of it. It is told so.
    public func block(_ member: PeerID) throws(SwarmError) {
        let node = try running()
        node.engine.block(member: member, now: node.now)
        node.drain()
    }

    /// Ends what ``block(_:)`` or ``kick(_:)`` began.
    public func unblock(_ member: PeerID) throws(SwarmError) {
        let node = try running()
        node.engine.unblock(member: member, now: node.now)
        node.drain()
    }

    /// The members that are blocked.
    public var blocked: [PeerID] { node?.engine.blocked ?? [] }

    // MARK: How it goes

    /// What an operator may want to know.
    public struct Status: Sendable {
        /// The UDP port.
        public var port: UInt16
        /// Relays and trackers that have been dialled.
        public var links: [LinkStatus]
        /// What was refused since the start, by kind.
        public var refusals: [Refusal: Int]
        public var datagramsSent: Int
        public var datagramsReceived: Int
        /// How it stands with each way of finding members and of being reached.
        public var planes: [PlaneStatus]
        /// The addresses of this machine at which the socket is reached.
        public var hostAddresses: [TransportAddress]
    }

    /// How it stands now; `nil` after `leave`.
    public var status: Status? {
        node.map {
            Status(
                port: $0.boundPort, links: $0.linkStatus, refusals: $0.engine.refusals,
                datagramsSent: $0.counters.datagramsSent, datagramsReceived: $0.counters.datagramsReceived,
                planes: $0.planes, hostAddresses: $0.hostAddresses)
        }
    }

    /// Says good-bye to the others, keeps what is to be kept, and closes everything, within two seconds.
    ///
    /// What came before is still to be read from ``events``, which ends then. May be called twice.
    public func leave() async {
        guard let node else { return }
        try? await node.leave().get()
        self.node = nil
    }

    func running() throws(SwarmError) -> Node {
        guard let node, !node.isLeaving else { throw .hasLeft }
        return node
    }
}

extension SwarmError {
    init(_ error: SendError, to peer: PeerID) {
        let text =
            switch error {
            case .tooLarge(let limit): "a message has \(limit) bytes at most: send it in parts"
            case .backlogFull: "too much waits for \(peer.short) already: send more when that has been delivered"
            case .ownID: "a member does not send to itself: choose another"
            case .blocked: "\(peer.short) is blocked, or has refused this member: unblock it, or try again in a minute"
            case .unsupported: "\(peer.short) takes messages only: neither requests nor byte streams"
            case .tooManyMembers: "too many members are known: no room for one more"
            }
        self.init(.notSent, text)
    }
}
