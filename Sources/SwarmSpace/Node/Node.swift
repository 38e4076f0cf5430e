import DTLS
import ICE
import Magnet
import NIOCore
import NIOPosix
import SEA
import SwarmBase
import SwarmEngine
import SwarmTransport

/// One member at work: the engine, and the socket, links, timer and store that it is given.
///
/// Confined to its event loop: nothing here hops, and nothing but the event loop calls.
final class Node: GraphBackend {
    let eventLoop: any EventLoop
    let configuration: SwarmConfiguration
    let mailbox: EventMailbox
    var engine: SwarmEngine
    /// Members that some plane has told of, or that a session is up with, and that have not left.
    private(set) var present: Set<PeerID> = []

    private let udpTrackers: [String]
    private var port: UDPPort
    private var portNumber: UInt16
    private var links: Links?
    private var turnStreams: TURNStreams?
    private var timer: LoopTimer?
    private var writer: ConversationWriter?
    private let store: SQLiteStore?
    private var addressWatcher: LocalAddressWatcher?
    private var multicast: LocalMulticast?
    private var wallClock: RepeatedTask?
    private var isDraining = false
    private var willDrain = false
    private var mustDrainAgain = false
    private var isPaused = false
    /// Who waits to know what becomes of a message.
    var receipts = Receipts()
    /// Who waits for requests and byte streams.
    private(set) lazy var exchanges = Exchanges(node: self)
    /// The end has begun.
    private var leaving: EventLoopPromise<Void>?
    private var hasSaidGoodBye = false
    private var isOver = false
    /// Whether the end has begun.
    var isLeaving: Bool { leaving != nil }

    /// - Parameters:
    ///   - relays: the GUN relays of invite and configuration together; `trackers` likewise.
    init(
        eventLoop: any EventLoop, configuration: SwarmConfiguration, trackers: [String], relays: [String],
        topic: Topic, kept: KeptState, certificate: DTLSCertificate, mailbox: EventMailbox
    ) {
        self.eventLoop = eventLoop
        self.configuration = configuration
        self.mailbox = mailbox
        store = kept.store
        var settings = SwarmEngineConfiguration()
        settings.name = configuration.name
        for url in trackers {
            switch TrackerLocation(url) {
            case .webSocket: settings.trackers.append(url)
            case .http: settings.httpTrackers.append(url)
            case .udp, nil: break
            }
        }
        udpTrackers = trackers.filter { if case .udp = TrackerLocation($0) { true } else { false } }
        settings.relays = relays
        settings.paths = configuration.paths
        settings.isDurable = kept.store != nil
        settings.mesh.forwards = configuration.forwards
        settings.usesLocalNetwork = configuration.usesLocalNetwork
        settings.usesDHT = configuration.usesDHT
        settings.mail.isUsed = configuration.usesMail
        settings.admits = configuration.admits
        settings.accepts = configuration.accepts
        settings.session.rateLimit = configuration.rateLimit
        let now = Instant(eventLoop.now)
        engine = SwarmEngine(
            configuration: settings, topic: topic, identity: kept.identity, certificate: certificate, entropy: .system,
            now: now, wall: MonotonicClock.wallMilliseconds)
        engine.restore(kept.records.map { (String(decoding: $0.key, as: UTF8.self), $0.value) }, now: now)
        // The port of the last run, if it is free: others may know us by it.
        portNumber =
            configuration.port == 0
            ? SwarmEngine.keptPort(in: kept.records.map { ($0.key, $0.value) }) : configuration.port
        port = UDPPort(eventLoop: eventLoop, configuration: UDPPortConfiguration(port: portNumber))
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.timeout() }
        links = Links(eventLoop: eventLoop, logger: configuration.logger) { [weak self] in self?.take($0) }
        turnStreams = TURNStreams(eventLoop: eventLoop) { [weak self] in self?.take($0) }
        if let store = kept.store {
            writer = ConversationWriter(
                eventLoop: eventLoop, store: store, namespace: KeptState.namespace(of: topic)
            ) { [weak self] batch in
                self?.stored(through: batch)
            } onFailure: { [weak self] error in
                self?.publish(.warning("conversations cannot be kept at present: \(error)"))
            }
        }
    }

    var now: Instant { Instant(eventLoop.now) }

    // MARK: The beginning

    /// Binds the socket, and begins to look for others.
    ///
    /// - Returns: fails with `UDPPortError`.
    func start() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        return openPort().assumeIsolated().flatMapError { error in
            guard self.configuration.port == 0, self.portNumber != 0 else {
                return self.eventLoop.makeFailedFuture(error)
            }
            self.portNumber = 0
            self.port = UDPPort(eventLoop: self.eventLoop)
            return self.openPort()
        }.map { _ in self.begin() }.nonisolated()
    }

    private func begin() {
        guard leaving == nil else { return }
        addressWatcher = LocalAddressWatcher(
            eventLoop: eventLoop, onRouteChange: { [weak self] in self?.routesChanged() },
            onChange: { [weak self] _ in self?.networkChanged() })
        if configuration.usesLocalNetwork {
            multicast = LocalMulticast(eventLoop: eventLoop) { [weak self] in self?.take($0) }
        }
        tellAddresses()
        let bound = NIOLoopBound(Weak(self), eventLoop: eventLoop)
        wallClock = eventLoop.scheduleRepeatedTask(initialDelay: .seconds(10), delay: .seconds(10)) { task in
            guard let node = bound.value.node else { return task.cancel() }
            node.engine.setWallClock(MonotonicClock.wallMilliseconds, now: node.now)
        }
        for tracker in udpTrackers { findTracker(tracker) }
        for server in configuration.stunServers.compactMap({ MagnetLink.Endpoint($0) }) { findSTUNServer(server) }
        for server in configuration.turnServers { findTURNServer(server) }
        findDHT()
        timeout()
    }

    private func openPort() -> EventLoopFuture<TransportAddress> {
        port.onDatagram = { [weak self] datagram, source in self?.received(datagram, from: source) }
        port.onReadComplete = { [weak self] in self?.drain() }
        return port.bind().assumeIsolated().map { address in
            self.portNumber = address.port
            self.port.onClose = { [weak self] in self?.portClosed() }
            return address
        }.nonisolated()
    }

    /// The socket went away under us: the same port is opened anew, each second until it works.
    private func portClosed() {
        guard leaving == nil else { return }
        publish(.warning("the UDP port was closed by the system: opening it anew"))
        eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] () -> Void in self?.reopenPort() }
    }

    private func reopenPort() {
        guard leaving == nil else { return }
        port = UDPPort(eventLoop: eventLoop, configuration: UDPPortConfiguration(port: portNumber))
        openPort().assumeIsolated().whenComplete { result in
            if case .failure = result {
                self.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] () -> Void in
                    self?.reopenPort()
                }
            } else {
                self.networkChanged()
            }
        }
    }

    private func findSTUNServer(_ server: MagnetLink.Endpoint) {
        find("STUN server", host: server.host, port: server.port) { $0.engine.addSTUNServer($1, now: $0.now) }
    }

    private func findTracker(_ url: String) {
        guard case .udp(let host, let port) = TrackerLocation(url) else { return }
        find("tracker", host: host, port: port) { $0.engine.addUDPTracker($1, name: url, now: $0.now) }
    }

    private func findTURNServer(_ server: TURNServerConfiguration) {
        guard let location = server.location else { return }
        find("TURN server", host: location.host, port: location.port) { $0.addTURNServer(server, at: $1) }
    }

    private func findDHT() {
        guard configuration.usesDHT else { return }
        let nodes = configuration.dhtBootstrap.isEmpty ? SwarmConfiguration.publicDHTNodes : configuration.dhtBootstrap
        for node in nodes.compactMap({ MagnetLink.Endpoint($0) }) {
            find("DHT node", host: node.host, port: node.port) { $0.engine.addDHTBootstrap($1, now: $0.now) }
        }
    }

    private func addTURNServer(_ server: TURNServerConfiguration, at address: TransportAddress) {
        guard let location = server.location, let settings = server.settings(at: address),
            let id = engine.addTURNServer(settings, name: location.description, now: now)
        else { return }
        turnStreams?.locations[id] = location
    }

    /// Asks for the address of a server, again every half minute while nobody knows it.
    private func find(
        _ kind: String, host: String, port: UInt16, found: @escaping (Node, TransportAddress) -> Void
    ) {
        guard leaving == nil else { return }
        NameResolution.address(of: host, port: port, on: eventLoop).assumeIsolated().whenSuccess { address in
            guard self.leaving == nil else { return }
            if let address {
                found(self, address)
                self.drain()
            } else {
                self.publish(.warning("the address of the \(kind) \(host) cannot be found"))
                self.eventLoop.assumeIsolated().scheduleTask(in: .seconds(30)) { [weak self] () -> Void in
                    self?.find(kind, host: host, port: port, found: found)
                }
            }
        }
    }

    // MARK: What happens

    private func received(_ datagram: [UInt8], from source: TransportAddress) {
        guard !hasSaidGoodBye else { return }
        engine.handle(datagram: datagram, from: source, now: now)
    }

    private func take(_ report: Links.Report) {
        // What comes once we have said good-bye would be noted as read and yet be read by nobody.
        guard !hasSaidGoodBye else { return }
        switch report {
        case .opened(let link): engine.linkOpened(link, now: now)
        case .closed(let link): engine.linkClosed(link, now: now)
        case .frame(let link, let frame): engine.receive(frame: frame, on: link, now: now)
        case .endOfBatch: drain()
        }
    }

    private func take(_ report: TURNStreams.Report) {
        guard !hasSaidGoodBye else { return }
        switch report {
        case .opened(let id): engine.turnStreamOpened(id, now: now)
        case .closed(let id): engine.turnStreamClosed(id, now: now)
        case .bytes(let id, let bytes): engine.receive(turnStream: bytes, from: id, now: now)
        case .endOfBatch: drain()
        }
    }

    private func take(_ report: LocalMulticast.Report) {
        guard !hasSaidGoodBye else { return }
        switch report {
        case .announcement(let bytes, let source): engine.handle(announcement: bytes, from: source, now: now)
        case .endOfBatch: drain()
        }
    }

    private func timeout() {
        guard !isOver else { return }
        engine.handleTimeout(now: now)
        drain()
    }

    private func stored(through batch: UInt64) {
        engine.stored(through: batch, now: now)
        watchers.stored(through: batch)
        drain()
    }

    private func networkChanged() {
        guard leaving == nil else { return }
        checkLinks()
        tellAddresses()
        drain()
    }

    /// Another way leads out of this machine, or it has slept: its addresses may be the same all the same.
    private func routesChanged() {
        guard leaving == nil else { return }
        checkLinks()
        engine.routesChanged(now: now)
        drain()
    }

    private func checkLinks() {
        links?.networkChanged(addresses: Set(LocalAddresses.interfaceAddresses().map(\.address)))
    }

    private func tellAddresses() {
        var addresses = addressWatcher?.addresses ?? []
        let loopback = IPAddress.v4(0x7f00_0001)
        if configuration.includesLoopback, !addresses.contains(loopback) { addresses.append(loopback) }
        multicast?.setInterfaces(addresses)
        hostAddresses = addresses.map { TransportAddress($0, port: portNumber) }
        engine.setHostAddresses(hostAddresses, now: now)
        engine.keepPort(portNumber)
    }

    /// The application has read enough that members may send again.
    func keepsUp() {
        eventLoop.assertInEventLoop()
        guard isPaused else { return }
        isPaused = false
        engine.setPaused(false, now: now)
        drain()
    }

    // MARK: What is to be done about it

    /// Carries out what the application asked for, once it has asked for all that it does in this turn of the loop: messages that are
    /// sent one after the other share packets.
    func drainSoon() {
        eventLoop.assertInEventLoop()
        guard !willDrain else { return }
        willDrain = true
        eventLoop.assumeIsolated().execute {
            self.willDrain = false
            self.drain()
        }
    }

    /// Carries out everything that the last input caused.
    func drain() {
        eventLoop.assertInEventLoop()
        // A link that is closed for being slow reports so while its frame is handed over.
        mustDrainAgain = true
        guard !isDraining, !isOver else { return }
        isDraining = true
        defer { isDraining = false }
        while mustDrainAgain {
            mustDrainAgain = false
            while let transmit = engine.pollTransmit() { port.send(transmit) }
            while let action = engine.pollLink() { links?.perform(action) }
            while let action = engine.pollTURNStream() { turnStreams?.perform(action) }
            while let fetch = engine.pollFetch() { perform(fetch) }
            while let (group, payload) = engine.pollAnnouncement() { multicast?.send(payload, to: group) }
            if let writer, !writer.isBusy, let batch = engine.pollStorage() { writer.write(batch) }
            while let event = engine.pollEvent() { publish(event) }
            while let exchange = engine.pollExchange() {
                exchanges.take(exchange)
                mustDrainAgain = true
            }
            while let change = engine.pollGraphChange() { watchers.changed(change.soul, change.key) }
        }
        port.flush()
        timer?.schedule(at: engine.nextTimeout)
        watchers.progressed()
    }

    private func perform(_ fetch: TrackerFetch) {
        HTTPFetch.askTracker(fetch.url, within: .seconds(15), on: eventLoop) { body, reason in
            guard !self.isOver else { return }
            self.engine.fetched(fetch.id, body: body, reason: reason, now: self.now)
            self.drain()
        }
    }

    private func publish(_ event: SwarmEvent) {
        switch event {
        case .discovered(let peer, _), .peer(let peer, _, _): present.insert(peer)
        case .left(let peer): present.remove(peer)
        case .delivered(let peer, let number): receipts.settle(peer, number, .delivered)
        case .expired(let peer, let number): receipts.settle(peer, number, .expired)
        case .rejected(let peer, let number, let reason): receipts.settle(peer, number, .rejected(reason))
        default: break
        }
        guard mailbox.append(event), !isPaused else { return }
        isPaused = true
        engine.setPaused(true, now: now)
        mustDrainAgain = true
    }

    /// How it stands with the relays and trackers that have been dialled.
    var linkStatus: [LinkStatus] { links?.status ?? [] }

    /// How it stands with each plane; why a connection failed is known to who made it.
    var planes: [PlaneStatus] {
        let links = linkStatus
        return engine.planes.map { plane in
            var plane = plane
            if plane.state == .failing, plane.reason == nil {
                plane.reason = links.first { $0.url == plane.name }?.lastFailure
            }
            return plane
        }
    }

    /// The addresses of this machine.
    private(set) var hostAddresses: [TransportAddress] = []

    /// The number of the UDP port.
    var boundPort: UInt16 { portNumber }

    // MARK: The graph

    let watchers = GraphWatchers()
    var isClosed: Bool { isLeaving }
    var ownPair: SEAPair? { engine.ownPair }
    var nextBatch: UInt64? { store == nil ? nil : engine.nextStorageBatch }

    func withGraph<Result>(_ body: (inout GunPlane, Double) -> Result) -> Result {
        let result = engine.withGraph(now: now, body)
        drain()
        return result
    }

    func readGraph<Result>(_ body: (GunPlane) -> Result) -> Result { engine.readGraph(body) }

    /// The graph of a swarm ends with the swarm.
    func shutDown() -> EventLoopFuture<Void> { eventLoop.makeSucceededVoidFuture() }

    /// What passed through the socket so far.
    var counters: UDPPortCounters { port.counters }

    // MARK: The end

    /// Says good-bye, lets it leave, and closes everything; the same again when called again.
    func leave() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        if let leaving { return leaving.futureResult }
        let promise = eventLoop.makePromise(of: Void.self)
        leaving = promise
        addressWatcher?.stop()
        wallClock?.cancel()
        engine.withdraw(now: now)
        drain()
        waitForAcknowledgements(since: now)
        return promise.futureResult
    }

    /// What was sent just before gets 800 ms at most to arrive at those who are here, and what says in the DHT that we leave, there.
    private func waitForAcknowledgements(since start: Instant) {
        guard engine.isOwed || engine.isWithdrawing, now - start < .milliseconds(800) else {
            hasSaidGoodBye = true
            engine.leave(now: now)
            engine.handleTimeout(now: now)
            drain()
            return waitForGoodByes(since: now)
        }
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(10)) { () -> Void in
            self.waitForAcknowledgements(since: start)
        }
    }

    /// Sockets get 300 ms at most to take what is to be sent, disks 400: with what comes before and after, less than 2 s.
    private func waitForGoodByes(since start: Instant) {
        let elapsed = now - start
        let mustWait =
            elapsed < .milliseconds(300) && (links?.bufferedBytes ?? 0) > 0
            || elapsed < .milliseconds(400) && writer?.isBusy == true
        guard mustWait else {
            links?.closeAll()
            return waitForClosing(since: now)
        }
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(10)) { () -> Void in
            self.waitForGoodByes(since: start)
        }
    }

    /// A connection that is closed by both sides loses nothing that was sent on it.
    private func waitForClosing(since start: Instant) {
        guard links?.isIdle == false, now - start < .milliseconds(200) else { return finish() }
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(10)) { () -> Void in
            self.waitForClosing(since: start)
        }
    }

    private func finish() {
        isOver = true
        watchers.close()
        receipts.close()
        exchanges.close()
        timer?.cancel()
        turnStreams?.closeAll()
        multicast?.close()
        port.close()
        mailbox.finish()
        guard let store else { return leaving?.succeed() ?? () }
        // A disk that hangs must not keep the program from ending.
        let limit = eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(500)) { () -> Void in
            self.leaving?.succeed()
        }
        NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { store.close() }.assumeIsolated().whenComplete { _ in
            limit.cancel()
            self.leaving?.succeed()
        }
    }
}

/// For tasks that must not keep a node alive.
struct Weak {
    weak var node: Node?
    init(_ node: Node) { self.node = node }
}
