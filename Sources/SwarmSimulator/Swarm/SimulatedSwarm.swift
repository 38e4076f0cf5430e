import DTLS
public import SwarmBase
public import SwarmEngine
import Gun
import ICE
import SEA
import Tracker

/// A whole swarm on a virtual network and on virtual time: engines, relays, trackers, and what befalls them.
///
/// One thread drives everything. The same seed gives the same behaviour, in each process; bytes differ, as keys come from the
/// system (``BehaviourTrace``). So nothing may depend on the order of a dictionary, or on how long it is what was sealed.
public final class SimulatedSwarm {
    enum Event {
        case opened(link: Int, atServer: Bool)
        case frame(link: Int, [UInt8], toServer: Bool)
        case closed(link: Int, atServer: Bool)
        case stallCheck(link: Int, since: Instant)
        case written(member: Int, run: Int)
        case action(() -> Void)
    }

    public internal(set) var network: VirtualNetwork
    public private(set) var now = Instant.zero + .seconds(1)
    public internal(set) var members: [SimulatedMember] = []
    public internal(set) var servers: [SimulatedServer] = []
    public internal(set) var trace: BehaviourTrace
    public internal(set) var ledger = DeliveryLedger()
    var exchanges = ExchangeLedger()
    /// The byte streams that members read, by what the ledger calls them.
    var reading: [ReadStream: Int] = [:]
    /// What passed servers, and what was on the wire, and should not have been readable.
    var secrecy = Secrecy()
    /// Is told of each message that an application is handed: which of its pair's it is, and the path.
    public var onMessage: ((DeliveryLedger.Pair, Int, PathKind) -> Void)?
    /// How often anything was called: what a run costs.
    public private(set) var steps = 0
    var random: SeededGenerator
    var entropy: Entropy
    var events = DeadlineQueue<Event>()
    var links: [SimulatedLink] = []
    var topic = Topic(name: "simulated")
    /// Hosts that cannot reach each other are on different islands; 0 is the mainland.
    var islands: [VirtualNetwork.HostID: Int] = [:]
    /// Ways that datagrams do not pass, although both ends are on one island.
    var oneWayCuts: Set<[Int]> = []
    /// The server for STUN and TURN.
    let iceServer: VirtualNetwork.HostID
    private var turn: TURNRelay
    private var memberAt: [VirtualNetwork.HostID: Int] = [:]
    var memberOf: [PeerID: Int] = [:]
    /// The same by the texts of their ids.
    var memberNamed: [Substring: Int] = [:]
    /// When each member wants to be called.
    var timeouts = Timeouts()
    /// How often a path was said to be another one.
    var pathChanges = 0
    private let wallAtZero: Double
    private let setClock: (Int64) -> Void

    static let iceServerPort: UInt16 = 3478

    /// - Parameters:
    ///   - setClock: is told what the wall clock reads, in microseconds since 1970, whenever it moves: where OpenSSL's clock is in the
    ///     owner's hands, DTLS repeats its handshake on virtual time too.
    public init(
        seed: UInt64, wallAtZero: Double = 1_795_000_000_000, trace: BehaviourTrace = BehaviourTrace(),
        setClock: @escaping (Int64) -> Void
    ) {
        random = SeededGenerator(seed: seed)
        entropy = .seed(random.next())
        network = VirtualNetwork(seed: random.next())
        self.wallAtZero = wallAtZero
        self.trace = trace
        self.setClock = setClock
        iceServer = network.addHost(link: .delay(.milliseconds(5)))
        turn = TURNRelay(address: network.addresses(of: iceServer)[0])
        setClock(Int64(wallAtZero * 1000))
    }

    /// What a clock that is right reads, in milliseconds since 1970.
    public var wall: Double { wallAtZero + (now - .zero).milliseconds }

    // MARK: The cast

    /// Adds a relay or a tracker, and starts it.
    public func addServer(_ kind: SimulatedServer.Kind, link: LinkConditions = .delay(.milliseconds(5)))
        -> SimulatedServer
    {
        let host = network.addHost(link: link)
        let server = SimulatedServer(kind: kind, url: "ws://\(kind)\(servers.count)/", host: host)
        servers.append(server)
        start(server)
        return server
    }

    /// Adds a member, and starts it.
    ///
    /// - Parameters:
    ///   - kind: what it is behind.
    ///   - hasTURN: whether it may use the TURN server.
    ///   - configure: may change what the engine is made with.
    @discardableResult
    public func addMember(
        behind kind: NATKind, link: LinkConditions, hasTURN: Bool = false,
        configure: (inout SwarmEngineConfiguration) -> Void = { _ in }
    ) throws -> SimulatedMember {
        var configuration = SwarmEngineConfiguration()
        configuration.name = "m\(members.count)"
        configuration.relays = servers.filter { $0.kind == .relay }.map(\.url)
        configuration.trackers = servers.filter { $0.kind == .tracker }.map(\.url)
        configuration.stunServers = [iceServerAddress]
        configuration.isDurable = true
        configure(&configuration)
        let nat = kind == .none ? nil : network.addNAT(kind)
        let host = network.addHost(behind: nat, link: link)
        let member = SimulatedMember(
            index: members.count, identity: Identity(SEAPair.generate(using: &entropy)), host: host, nat: nat,
            natKind: kind, configuration: configuration, certificate: try DTLSCertificate(), hasTURN: hasTURN)
        timeouts.set(nil, of: member.index)
        memberAt[host] = member.index
        memberOf[member.identity.peerID] = member.index
        memberNamed[Substring(member.identity.peerID.description)] = member.index
        members.append(member)
        start(member)
        return member
    }

    var iceServerAddress: TransportAddress {
        TransportAddress(network.addresses(of: iceServer)[0], port: Self.iceServerPort)
    }

    /// What a running member holds beyond its bounds, in words; nothing waits any more.
    func overload(of member: SimulatedMember) -> [String] {
        guard let load = member.engine?.value.load else { return [] }
        let most = members.count - 1
        let bounds = [
            ("members", load.members, most),
            ("connections", load.connections, most + member.configuration.mostOpenOffers),
            ("keys", load.keys, most * 8), ("bytes to be acknowledged", load.unacknowledgedBytes, 0),
            ("things unpolled", load.unpolled, 0), ("presence records", load.presenceRecords, 512),
        ]
        return bounds.filter { $0.1 > $0.2 }.map { "\(member.index) holds \($0.1) \($0.0), which is more than \($0.2)" }
    }

    // MARK: Time

    /// Has something done at a moment.
    public func at(_ instant: Instant, _ action: @escaping () -> Void) { events.add(.action(action), at: instant) }

    public func run(for duration: Duration) { run(until: now + duration) { false } }

    /// Runs until something is so.
    ///
    /// - Returns: how long it took; `nil` when it did not come within `limit`.
    public func run(within limit: Duration, until condition: () -> Bool) -> Duration? {
        let start = now
        run(until: now + limit, or: condition)
        return condition() ? now - start : nil
    }

    private func run(until end: Instant, or condition: () -> Bool) {
        var idleTurns = 0
        while !condition() {
            var next: Instant? = .earlier(events.nextDeadline, network.nextArrival)
            next = .earlier(next, timeouts.earliest)
            for server in servers { next = .earlier(next, server.nextTimeout) }
            guard let next, next <= end else { break }
            idleTurns = next > now ? 0 : idleTurns + 1
            guard idleTurns < 50_000 else {
                ledger.note("time stands still: somebody's nextTimeout stays in the past", at: now)
                break
            }
            if next > now {
                now = next
                setClock(Int64(wall * 1000))
            }
            steps += 1
            step()
        }
        if !condition() { now = max(now, end) }
    }

    private func step() {
        if let event = events.popDue(now: now) { return carryOut(event) }
        if let due = network.nextArrival, due <= now {
            if let arrival = network.receive(now: now) { deliver(arrival) }
            return
        }
        for index in members.indices where timeouts.of(index) <= now {
            act(members[index]) { $0.handleTimeout(now: self.now) }
        }
        for server in servers {
            guard let due = server.nextTimeout, due <= now else { continue }
            server.relay?.handleTimeout(now: now, wall: wall)
            server.tracker?.handleTimeout(now: now)
            drain(server)
        }
    }

    private func carryOut(_ event: Event) {
        switch event {
        case .action(let action): action()
        case .written(let member, let run): written(members[member], run: run)
        case .opened(let link, let atServer): opened(link, atServer: atServer)
        case .frame(let link, let frame, let toServer): receive(frame, on: link, toServer: toServer)
        case .closed(let link, let atServer): closed(link, atServer: atServer)
        case .stallCheck(let link, let since): checkStall(of: link, since: since)
        }
    }

    // MARK: Datagrams

    private func deliver(_ arrival: VirtualNetwork.Arrival) {
        guard case .datagram(let payload, let source, let destination, let host) = arrival else { return }
        if host == iceServer { return serve(payload, from: source, at: destination) }
        guard let index = memberAt[host], destination.port == SimulatedMember.port else { return }
        act(members[index]) { $0.handle(datagram: payload, from: source, now: self.now) }
    }

    private func serve(_ payload: [UInt8], from source: TransportAddress, at destination: TransportAddress) {
        let outputs =
            destination.port == Self.iceServerPort
            ? turn.handle(payload, from: .datagrams(source))
            : turn.handle(payload, from: source, toPort: destination.port)
        for output in outputs {
            switch output {
            case .client(.datagrams(let address), let bytes):
                network.send(bytes, from: iceServer, port: Self.iceServerPort, to: address, now: now)
            case .client(.stream, _): break
            case .peer(let bytes, let port, let address):
                network.send(bytes, from: iceServer, port: port, to: address, now: now)
            }
        }
    }

    /// A datagram that no core made, as anybody on the internet can send one.
    public func inject(_ payload: [UInt8], to member: SimulatedMember, from source: TransportAddress) {
        act(member) { $0.handle(datagram: payload, from: source, now: self.now) }
    }
}
