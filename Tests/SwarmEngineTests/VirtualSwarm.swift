import CVirtualClock
import DHT
import DTLS
import Gun
import JSON
import SEA
import SwarmBase
import Testing
import Tracker

@testable import SwarmEngine

/// Whole engines, a GUN relay and a tracker on a virtual network with virtual time.
///
/// Everything runs on one thread; the same seed gives the same run but for the keys and DTLS, which draw their own
/// randomness.
final class VirtualSwarm {
    enum Payload {
        case datagram([UInt8], from: TransportAddress)
        case toRelay([UInt8], LinkID)
        case toTracker([UInt8], TrackerLinkID)
        case toDHT([UInt8], from: TransportAddress, index: Int)
        case frame([UInt8], SwarmLink, epoch: Int)
        case opened(SwarmLink, epoch: Int)
        case closed(SwarmLink)
    }

    private struct Delivery {
        var at: Instant
        var order: Int
        var node: Int?
        var payload: Payload
    }

    final class Node {
        let index: Int
        let identity: Identity
        let certificate: DTLSCertificate
        var engine: SwarmEngine
        var events: [(at: Instant, event: SwarmEvent)] = []
        /// Grows when a link is dialled or the relay dies, so that late frames of an old socket go nowhere.
        var epochs: [SwarmLink: Int] = [:]
        var isRunning = true
        var store: [String: [UInt8]] = [:]
        /// While so, nothing that the engine wants kept reaches the disk.
        var isDiskStuck = false
        /// Frames that went to the relay.
        var framesToRelay = 0
        /// When it asked a link whether it is alive.
        var probes: [Instant] = []

        init(index: Int, identity: Identity, certificate: DTLSCertificate, engine: consuming SwarmEngine) {
            self.index = index
            self.identity = identity
            self.certificate = certificate
            self.engine = engine
        }

        var id: PeerID { identity.peerID }
        var address: TransportAddress { TransportAddress(.v4(0x0a00_0001 + UInt32(index)), port: 7000) }
    }

    private let wallAtStart: Double
    let topic: Topic
    private(set) var now = Instant.zero + .seconds(1)
    private(set) var nodes: [Node] = []
    private var entropy: Entropy
    private var relay: GunRelay?
    private var tracker: TrackerServer?
    /// Nodes of the DHT on the internet.
    private(set) var dht: [DHTNode] = []
    /// No datagram reaches a node of the DHT, or comes from one.
    var isDHTCut = false
    /// Datagrams of members to members that vanish.
    var vanishes: ([UInt8]) -> Bool = { _ in false }
    private var queue: [Delivery] = []
    private var order = 0
    private let configure: (inout SwarmEngineConfiguration) -> Void
    /// Pairs whose UDP datagrams vanish.
    var cutPairs: Set<Set<Int>> = []
    var loss = 0.0
    var delay: Duration = .milliseconds(10)
    /// What every datagram through the relay looked like, for tests that replay them.
    private(set) var relayFrames: [[UInt8]] = []

    init(
        seed: UInt64, topic: String = "test", wallAtStart: Double = 1_795_000_000_000,
        configure: @escaping (inout SwarmEngineConfiguration) -> Void = { _ in }
    ) {
        entropy = .seed(seed)
        self.wallAtStart = wallAtStart
        self.topic = Topic(name: topic)
        self.configure = configure
        startRelay()
        tracker = TrackerServer(entropy: entropy.fork())
    }

    deinit { swarm_virtual_clock_set(-1) }

    var wall: Double { wallAtStart + (now - .zero).milliseconds }

    // MARK: The cast

    @discardableResult
    func addNode(
        name: String, planes: Set<Plane> = Set(Plane.allCases), paths: Set<PathKind>? = nil
    ) throws -> Node {
        var random = Entropy.system
        let identity = Identity(SEAPair.generate(using: &random))
        let certificate = try DTLSCertificate()
        let index = nodes.count
        let node = Node(
            index: index, identity: identity, certificate: certificate,
            engine: makeEngine(name: name, identity: identity, certificate: certificate, planes: planes, paths: paths))
        nodes.append(node)
        start(node)
        return node
    }

    private func makeEngine(
        name: String, identity: Identity, certificate: DTLSCertificate, planes: Set<Plane>, paths: Set<PathKind>? = nil,
        skew: Double = 0
    ) -> SwarmEngine {
        var configuration = SwarmEngineConfiguration()
        configuration.name = name
        if planes.contains(.gun) { configuration.relays = ["ws://relay/gun"] }
        if planes.contains(.tracker) { configuration.trackers = ["ws://tracker/"] }
        configure(&configuration)
        if let paths { configuration.paths = paths }
        return SwarmEngine(
            configuration: configuration, topic: topic, identity: identity, certificate: certificate,
            entropy: entropy.fork(), now: now, wall: wall + skew)
    }

    private func start(_ node: Node) {
        node.engine.setHostAddresses([node.address], now: now)
        node.engine.handleTimeout(now: now)
        drain(node)
    }

    /// Ends a node without a word and starts it anew with what it had stored.
    ///
    /// - Parameter skew: how many milliseconds its clock is ahead now.
    func restart(_ node: Node, planes: Set<Plane> = Set(Plane.allCases), skew: Double = 0) {
        crash(node)
        node.isRunning = true
        node.engine = makeEngine(
            name: "again", identity: node.identity, certificate: node.certificate, planes: planes, skew: skew)
        node.engine.restore(node.store.map { ($0.key, $0.value) }, now: now)
        start(node)
    }

    func crash(_ node: Node) {
        node.isRunning = false
        queue.removeAll { $0.node == node.index }
        for (link, epoch) in node.epochs {
            close(link, of: node)
            node.epochs[link] = epoch + 1
        }
    }

    func killRelay() {
        relay = nil
        for node in nodes where node.isRunning {
            let link = SwarmLink(index: 0)
            guard let epoch = node.epochs[link] else { continue }
            node.epochs[link] = epoch + 1
            enqueue(.closed(link), to: node)
        }
    }

    func startRelay() {
        var configuration = GunRelayConfiguration()
        configuration.hasStorage = false
        relay = GunRelay(configuration: configuration, entropy: entropy.fork())
    }

    /// Nodes of a DHT, each in a network of its own; all begin with the first.
    func startDHT(count: Int) {
        var configuration = DHTConfiguration()
        configuration.isReachable = true
        for index in 0..<count {
            var node = DHTNode(configuration: configuration, entropy: entropy.fork(), now: now)
            if index > 0 { node.addBootstrap(dhtAddress(0), now: now) }
            dht.append(node)
        }
        run(for: .seconds(10))
    }

    func dhtAddress(_ index: Int) -> TransportAddress {
        TransportAddress(.v4(0xc612_0001 + UInt32(index) << 8), port: 7750)
    }

    private func drainDHT(_ index: Int) {
        while let transmit = dht[index].pollTransmit() { send(transmit, from: dhtAddress(index), index: nil) }
        while dht[index].pollEvent() != nil {}
    }

    /// - Parameter index: of the member that sends; `nil` for a node of the DHT.
    private func send(_ transmit: Transmit, from source: TransportAddress, index: Int?) {
        if let number = dht.indices.first(where: { dhtAddress($0) == transmit.destination }) {
            if isDHTCut { return }
            enqueue(.toDHT(transmit.payload, from: source, index: number), to: nil)
            return
        }
        guard let peer = nodes.first(where: { $0.address == transmit.destination && $0.isRunning }) else { return }
        if index == nil, isDHTCut { return }
        if let index, cutPairs.contains([index, peer.index]) || vanishes(transmit.payload) { return }
        guard Double.random(in: 0..<1, using: &entropy) >= loss else { return }
        enqueue(.datagram(transmit.payload, from: source), to: peer)
    }

    // MARK: Commands

    func send(
        _ text: String, from: Node, to: Node, _ options: MessageOptions = MessageOptions()
    ) throws -> UInt64 {
        defer { drain(from) }
        return try from.engine.send(.text(text), to: to.id, options, now: now)
    }

    func act(_ node: Node, _ body: (inout SwarmEngine) -> Void) {
        body(&node.engine)
        drain(node)
    }

    /// Puts a frame before a node as if the relay had sent it.
    func inject(frame: [UInt8], to node: Node) {
        node.engine.receive(frame: frame, on: SwarmLink(index: 0), now: now)
        drain(node)
    }

    // MARK: Time

    func run(for duration: Duration) { run(until: now + duration) { false } }

    /// Runs until something is so.
    ///
    /// - Returns: how long it took; `nil` when it did not come within `limit`.
    func run(within limit: Duration, until condition: () -> Bool) -> Duration? {
        let start = now
        run(until: now + limit, or: condition)
        return condition() ? now - start : nil
    }

    private func run(until end: Instant, or condition: () -> Bool) {
        var turns = 0
        while !condition() {
            var next = queue.map(\.at).min()
            for node in nodes where node.isRunning { next = .earlier(next, node.engine.nextTimeout) }
            next = .earlier(next, .earlier(relay?.nextTimeout, tracker?.nextTimeout))
            for node in dht { next = .earlier(next, node.nextTimeout) }
            guard let next, next <= end else { break }
            turns = next > now ? 0 : turns + 1
            guard turns < 20_000 else {
                Issue.record("time stands still at \(now): somebody's nextTimeout stays in the past")
                break
            }
            now = max(now, next)
            swarm_virtual_clock_set(Int64(wall * 1000))
            if let index = queue.indices.min(by: { (queue[$0].at, queue[$0].order) < (queue[$1].at, queue[$1].order) }),
                queue[index].at <= now
            {
                deliver(queue.remove(at: index))
            }
            for node in nodes where node.isRunning {
                guard let at = node.engine.nextTimeout, at <= now else { continue }
                node.engine.handleTimeout(now: now)
                drain(node)
            }
            for index in dht.indices {
                guard let at = dht[index].nextTimeout, at <= now else { continue }
                dht[index].handleTimeout(now: now)
                drainDHT(index)
            }
            relay?.handleTimeout(now: now, wall: wall)
            tracker?.handleTimeout(now: now)
            drainServers()
        }
        if !condition() { now = max(now, end) }
    }

    // MARK: The network

    private func linkNumber(_ link: SwarmLink, of node: Node) -> UInt64 {
        UInt64(node.index) << 32 | UInt64(link.index) << 24 | UInt64(node.epochs[link] ?? 0)
    }

    private func enqueue(_ payload: Payload, to node: Node?) {
        order += 1
        queue.append(Delivery(at: now + delay, order: order, node: node?.index, payload: payload))
    }

    private func isRelay(_ link: SwarmLink, of node: Node) -> Bool { node.engine.gun.owns(link) }

    private func close(_ link: SwarmLink, of node: Node) {
        let number = linkNumber(link, of: node)
        if isRelay(link, of: node) {
            relay?.linkClosed(LinkID(number), now: now)
        } else {
            tracker?.linkClosed(TrackerLinkID(number), now: now)
        }
    }

    private func drain(_ node: Node) {
        while !node.isDiskStuck, let batch = node.engine.pollStorage() {
            for write in batch.writes { node.store[write.key] = write.value }
            node.engine.stored(through: batch.id, now: now)
        }
        while let action = node.engine.pollLink() {
            switch action {
            case .dial(let link, _):
                node.epochs[link, default: 0] += 1
                let number = linkNumber(link, of: node)
                if isRelay(link, of: node) {
                    if relay == nil {
                        enqueue(.closed(link), to: node)
                        continue
                    }
                    relay?.linkOpened(LinkID(number), now: now)
                } else {
                    _ = tracker?.linkOpened(TrackerLinkID(number), from: node.address.address, now: now)
                }
                enqueue(.opened(link, epoch: node.epochs[link] ?? 0), to: node)
            case .send(let link, let frame):
                if isRelay(link, of: node) { node.framesToRelay += 1 }
                let number = linkNumber(link, of: node)
                enqueue(
                    isRelay(link, of: node)
                        ? .toRelay(frame, LinkID(number)) : .toTracker(frame, TrackerLinkID(number)), to: nil)
            case .probe:
                // What is open here answers.
                node.probes.append(now)
            case .close(let link):
                close(link, of: node)
            }
        }
        while let transmit = node.engine.pollTransmit() { send(transmit, from: node.address, index: node.index) }
        while let event = node.engine.pollEvent() { node.events.append((now, event)) }
        drainServers()
    }

    private func drainServers() {
        while let event = relay?.pollEvent() {
            if case .load(let id, _) = event { relay?.loaded(id, .nothing, now: now, wall: wall) }
            if case .store(let id, _) = event { relay?.stored(id, now: now) }
        }
        while let (link, frame) = relay?.pollTransmit() {
            let node = nodes[Int(link.number >> 32)]
            let target = SwarmLink(index: Int(link.number >> 24 & 0xff))
            relayFrames.append(frame)
            enqueue(.frame(frame, target, epoch: Int(link.number & 0xffffff)), to: node)
        }
        while let (link, frame) = tracker?.pollTransmit() {
            let node = nodes[Int(link.rawValue >> 32)]
            let target = SwarmLink(index: Int(link.rawValue >> 24 & 0xff))
            enqueue(.frame(frame, target, epoch: Int(link.rawValue & 0xffffff)), to: node)
        }
        while tracker?.pollEvent() != nil {}
    }

    private func deliver(_ delivery: Delivery) {
        switch delivery.payload {
        case .toRelay(let frame, let link): relay?.receive(frame: frame, on: link, now: now, wall: wall)
        case .toTracker(let frame, let link): tracker?.receive(frame, on: link, now: now)
        case .toDHT(let bytes, let source, let index):
            dht[index].handle(datagram: bytes, from: source, now: now)
            drainDHT(index)
        case .datagram(let bytes, let source):
            guard let node = delivery.node.map({ nodes[$0] }), node.isRunning else { return }
            node.engine.handle(datagram: bytes, from: source, now: now)
            drain(node)
        case .frame(let frame, let link, let epoch):
            guard let node = delivery.node.map({ nodes[$0] }), node.isRunning, node.epochs[link] == epoch else {
                return
            }
            node.engine.receive(frame: frame, on: link, now: now)
            drain(node)
        case .opened(let link, let epoch):
            guard let node = delivery.node.map({ nodes[$0] }), node.isRunning, node.epochs[link] == epoch else {
                return
            }
            node.engine.linkOpened(link, now: now)
            drain(node)
        case .closed(let link):
            guard let node = delivery.node.map({ nodes[$0] }), node.isRunning else { return }
            node.engine.linkClosed(link, now: now)
            drain(node)
        }
        drainServers()
    }
}

extension VirtualSwarm.Node {
    /// The texts that came from a member, in order of arrival.
    func texts(from peer: VirtualSwarm.Node) -> [String] {
        events.compactMap {
            if case .message(let from, .text(let text), _, _) = $0.event, from == peer.id { text } else { nil }
        }
    }

    /// The path to a member, as the application was told last.
    func path(to peer: VirtualSwarm.Node) -> PathKind? {
        var path: PathKind?
        for (_, event) in events {
            switch event {
            case .peer(peer.id, _, let now): path = now
            case .path(peer.id, let now, _): path = now
            case .away(peer.id), .left(peer.id): path = nil
            default: break
            }
        }
        return path
    }

    func stored(for peer: VirtualSwarm.Node) -> [UInt64] {
        events.compactMap { if case .stored(peer.id, let number) = $0.event { number } else { nil } }
    }

    func delivered(to peer: VirtualSwarm.Node) -> [UInt64] {
        events.compactMap { if case .delivered(peer.id, let number) = $0.event { number } else { nil } }
    }

    func expired(to peer: VirtualSwarm.Node) -> [UInt64] {
        events.compactMap { if case .expired(peer.id, let number) = $0.event { number } else { nil } }
    }
}
