import CVirtualClock
import DTLS
import ICE
import SCTP
import SwarmBase
import SwarmSimulator
import Testing
import WebRTC

/// A machine with one socket and one connection, and clients of the servers that it was told of.
final class SimulatedPeer {
    let name: String
    let host: VirtualNetwork.HostID
    let port: UInt16
    var connection: PeerConnection
    var stun: STUNBindingClient
    var turn: TURNClient
    var stream: (server: TURNServerID, id: VirtualNetwork.StreamID)?
    var events: [(at: Instant, event: PeerConnectionEvent)] = []
    /// As events are read, so that long runs need no search.
    var messages: [DataChannelHandle: [(at: Instant, payload: [UInt8])]] = [:]
    var opened: [DataChannelHandle: (options: DataChannelOptions, at: Instant)] = [:]
    var closed: Set<DataChannelHandle> = []
    private static let session = TURNUser(1)

    init(
        _ name: String, host: VirtualNetwork.HostID, port: UInt16, certificate: DTLSCertificate, seed: UInt64,
        configuration: PeerConnectionConfiguration = PeerConnectionConfiguration()
    ) {
        self.name = name
        self.host = host
        self.port = port
        connection = PeerConnection(
            configuration: configuration, certificate: certificate, entropy: .seed(seed), now: .zero)
        stun = STUNBindingClient(entropy: .seed(seed &+ 1))
        turn = TURNClient(entropy: .seed(seed &+ 2))
    }

    /// Asks a TURN server for a relayed address.
    func allocate(on server: TransportAddress, over transport: TURNTransport, now: Instant) {
        guard let credentials = TURNCredentials(username: "u", password: "p"),
            let id = turn.addServer(TURNServer(address: server, transport: transport, credentials: credentials))
        else { return }
        turn.retain(id, by: Self.session, now: now)
    }

    var nextTimeout: Instant? {
        .earlier(connection.nextTimeout, .earlier(stun.nextTimeout, turn.nextTimeout))
    }

    func handleTimeout(_ now: Instant) {
        if let due = connection.nextTimeout, due <= now { connection.handleTimeout(now: now) }
        if let due = stun.nextTimeout, due <= now { stun.handleTimeout(now: now) }
        if let due = turn.nextTimeout, due <= now { turn.handleTimeout(now: now) }
    }

    func handle(_ datagram: [UInt8], from source: TransportAddress, _ now: Instant) {
        if turn.handle(datagram: datagram, from: source, now: now) { return }
        if stun.handle(stun: datagram, from: source, now: now) { return }
        connection.handle(datagram: datagram, from: source, now: now)
    }

    /// Lets out everything that the cores have to say.
    func drain(into network: inout VirtualNetwork, serverHost: VirtualNetwork.HostID?, _ now: Instant) {
        var moved = true
        while moved {
            moved = false
            while let transmit = connection.pollTransmit() {
                moved = true
                if transmit.relay == nil {
                    network.send(
                        transmit.payload, from: host, port: port, to: transmit.destination,
                        forbidsFragmentation: transmit.forbidsFragmentation, now: now)
                } else {
                    turn.send(transmit, for: Self.session, now: now)
                }
            }
            while let event = connection.pollEvent() {
                moved = true
                note(event, now)
            }
            while let transmit = stun.pollTransmit() {
                network.send(transmit.payload, from: host, port: port, to: transmit.destination, now: now)
            }
            while let event = stun.pollEvent() {
                if case .reflexive(let address, let server) = event {
                    moved = true
                    connection.addLocalCandidate(.serverReflexive(address, server: server.address))
                }
            }
            while let transmit = turn.pollTransmit() {
                network.send(
                    transmit.payload, from: host, port: port, to: transmit.destination,
                    forbidsFragmentation: transmit.forbidsFragmentation, now: now)
            }
            while let (_, bytes) = turn.pollStream() {
                if let stream { network.send(bytes, on: stream.id, from: host, now: now) }
            }
            while let received = turn.pollReceived() {
                moved = true
                connection.handle(datagram: received.payload, from: received.peer, via: received.relay, now: now)
            }
            while let event = turn.pollEvent() {
                moved = true
                switch event {
                case .allocated(_, let relayed, let mapped):
                    connection.addLocalCandidate(.relayed(relayed, mapped: mapped, server: relayed.address))
                case .connect(let server, _):
                    guard let serverHost else { continue }
                    stream = (server, network.openStream(from: host, to: serverHost, now: now))
                case .lost(_, let relayed):
                    connection.removeLocalCandidate(relayed, now: now)
                case .failed, .disconnect, .peerRefused:
                    break
                }
            }
        }
    }

    private func note(_ event: PeerConnectionEvent, _ now: Instant) {
        switch event {
        case .message(let handle, _, let payload): messages[handle, default: []].append((now, payload))
        case .channelOpened(let handle, let options, _): opened[handle] = (options, now)
        case .channelClosed(let handle): closed.insert(handle)
        default: events.append((now, event))
        }
    }

    var states: [PeerConnectionState] {
        events.compactMap { if case .stateChanged(let state) = $0.event { state } else { nil } }
    }
}

/// Peers, a server and the network between them, on one clock that is OpenSSL's as well.
final class Simulation {
    var network: VirtualNetwork
    private(set) var now = Instant.zero
    private(set) var peers: [SimulatedPeer] = []
    private var server: (host: VirtualNetwork.HostID, relay: TURNRelay)?
    /// Descriptions on their way: signaling loses nothing.
    private var signals = DeadlineQueue<() -> Void>()

    static let certificates = [try? DTLSCertificate(), try? DTLSCertificate()]
    static let serverPort: UInt16 = 3478

    init(seed: UInt64) {
        network = VirtualNetwork(seed: seed)
        swarm_virtual_clock_set(1_000_000_000_000)
    }

    deinit { swarm_virtual_clock_set(-1) }

    func addPeer(
        _ name: String, host: VirtualNetwork.HostID, seed: UInt64,
        configuration: PeerConnectionConfiguration = PeerConnectionConfiguration()
    ) throws -> SimulatedPeer {
        let certificate = try #require(Self.certificates[peers.count % 2])
        let peer = SimulatedPeer(
            name, host: host, port: 4000, certificate: certificate, seed: seed, configuration: configuration)
        for (rank, address) in network.addresses(of: host).enumerated() {
            peer.connection.addLocalCandidate(
                .host(TransportAddress(address, port: peer.port), rank: UInt16(rank)))
        }
        peers.append(peer)
        return peer
    }

    /// A public STUN and TURN server.
    func addServer() -> TransportAddress {
        let host = network.addHost(link: .delay(.milliseconds(5)))
        let address = network.addresses(of: host)[0]
        server = (host, TURNRelay(address: address))
        return TransportAddress(address, port: Self.serverPort)
    }

    // MARK: Signaling

    func later(_ delay: Duration, _ action: @escaping () -> Void) { signals.add(action, at: now + delay) }

    /// Offer, answer, each `delay` on its way; with all candidates that are known by then.
    func negotiate(
        from offerer: SimulatedPeer, to answerer: SimulatedPeer, restart: Bool = false, delay: Duration,
        done: @escaping () -> Void = {}
    ) throws {
        let offer = try offerer.connection.createOffer(restart: restart, now: now).sdp
        drain()
        later(delay) { [self] in
            guard let description = try? SessionDescription(kind: .offer, parsing: offer),
                let answer = try? answerer.connection.accept(offer: description, now: now).sdp
            else { return done() }
            later(delay) { [self] in
                if let description = try? SessionDescription(kind: .answer, parsing: answer) {
                    try? offerer.connection.accept(answer: description, now: now)
                }
                done()
            }
        }
    }

    // MARK: Time

    func drain() {
        for peer in peers { peer.drain(into: &network, serverHost: server?.host, now) }
    }

    /// Runs until the time is over or the condition holds.
    ///
    /// - Returns: whether it holds.
    @discardableResult
    func run(for limit: Duration, until isDone: () -> Bool = { false }) -> Bool {
        let end = now + limit
        var stalled = 0
        drain()
        while !isDone() {
            var next = Instant?.earlier(network.nextArrival, signals.nextDeadline)
            for peer in peers { next = .earlier(next, peer.nextTimeout) }
            guard let next, next <= end else {
                move(to: end)
                return isDone()
            }
            stalled = next <= now ? stalled + 1 : 0
            if stalled > 100_000 {
                Issue.record("time stands still at \(now)")
                return false
            }
            move(to: max(now, next))
            while let arrival = network.receive(now: now) {
                take(arrival)
                drain()
            }
            while let signal = signals.popDue(now: now) {
                signal()
                drain()
            }
            for peer in peers { if let due = peer.nextTimeout, due <= now { peer.handleTimeout(now) } }
            drain()
        }
        return true
    }

    private func move(to instant: Instant) {
        now = instant
        swarm_virtual_clock_set(1_000_000_000_000 + now.nanoseconds / 1000)
    }

    private func take(_ arrival: VirtualNetwork.Arrival) {
        switch arrival {
        case .datagram(let bytes, let source, let destination, let host):
            if let peer = peers.first(where: { $0.host == host }) {
                guard destination.port == peer.port else { return }
                peer.handle(bytes, from: source, now)
            } else if let relay = server?.relay, host == server?.host {
                if relay.owns(port: destination.port) {
                    emit(relay.handle(bytes, from: source, toPort: destination.port))
                } else if destination.port == Self.serverPort {
                    emit(server?.relay.handle(bytes, from: .datagrams(source)) ?? [])
                }
            }
        case .streamOpened(let stream, let host):
            guard let peer = peers.first(where: { $0.host == host }), let id = peer.stream, id.id == stream else {
                return
            }
            peer.turn.streamOpened(id.server, now: now)
        case .stream(let stream, let bytes, let host):
            if let peer = peers.first(where: { $0.host == host }), let id = peer.stream {
                peer.turn.handle(stream: bytes, from: id.server, now: now)
            } else {
                emit(server?.relay.handle(bytes, from: .stream(stream)) ?? [])
            }
        }
    }

    private func emit(_ outputs: [TURNRelay.Output]) {
        guard let host = server?.host else { return }
        for output in outputs {
            switch output {
            case .client(.datagrams(let address), let bytes):
                network.send(bytes, from: host, port: Self.serverPort, to: address, now: now)
            case .client(.stream(let stream), let bytes):
                network.send(bytes, on: stream, from: host, now: now)
            case .peer(let bytes, let port, let peer):
                network.send(bytes, from: host, port: port, to: peer, now: now)
            }
        }
    }
}
