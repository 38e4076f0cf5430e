import SwarmBase
import Testing

@testable import ICE

/// What a NAT lets through and how it maps (RFC 3489's old names, which say it shortest).
enum NATKind: String, CaseIterable, Sendable {
    case none, fullCone, addressRestricted, portRestricted, symmetric
}

/// A NAT with one outside address and one inside host.
final class NAT {
    let kind: NATKind
    let outside: IPAddress
    private var nextPort: UInt16
    private var mappings: [TransportAddress?: UInt16] = [:]
    private var permitted: [UInt16: Set<TransportAddress>] = [:]

    init(_ kind: NATKind, outside: IPAddress, firstPort: UInt16) {
        self.kind = kind
        self.outside = outside
        nextPort = firstPort
    }

    /// Forgets all mappings, as after a reboot; new ones get new ports.
    func reboot() {
        mappings = [:]
        permitted = [:]
    }

    func send(to destination: TransportAddress) -> TransportAddress {
        let key = kind == .symmetric ? destination : nil
        let port = mappings[key] ?? nextPort
        if mappings[key] == nil {
            mappings[key] = port
            nextPort += 1
        }
        permitted[port, default: []].insert(destination)
        return TransportAddress(outside, port: port)
    }

    func admits(_ source: TransportAddress, at port: UInt16) -> Bool {
        guard let peers = permitted[port] else { return false }
        switch kind {
        case .none, .fullCone: return true
        case .addressRestricted: return peers.contains { $0.address == source.address }
        case .portRestricted, .symmetric: return peers.contains(source)
        }
    }
}

/// A machine in the lab with one agent.
final class Node {
    let name: String
    /// Its own addresses; the first of a family is what it sends from.
    var addresses: [TransportAddress]
    let nat: NAT?
    var agent: ICEAgent
    var events: [(at: Instant, event: ICEEvent)] = []
    var sent: [(at: Instant, Transmit)] = []
    /// Handles datagrams instead of the agent, for scripted peers.
    var script: ((_ datagram: [UInt8], _ source: TransportAddress, _ own: TransportAddress) -> [Transmit])?

    init(_ name: String, _ addresses: [String], nat: NAT? = nil, agent: consuming ICEAgent) {
        self.name = name
        self.addresses = addresses.compactMap { TransportAddress($0) }
        self.nat = nat
        self.agent = agent
    }

    var states: [ICEState] { events.compactMap { if case .stateChanged(let state) = $0.event { state } else { nil } } }

    func time(of state: ICEState, after: Instant = .zero) -> Instant? {
        events.first { $0.at >= after && $0.event == .stateChanged(state) }?.at
    }

    /// The checks that it sent: no answers, each retransmission once more.
    var checks: [(at: Instant, to: TransportAddress, message: STUNMessage)] {
        sent.compactMap { at, transmit in
            guard let message = try? ReceivedSTUNMessage(parsing: transmit.payload).message,
                message.messageClass == .request
            else { return nil }
            return (at, transmit.destination, message)
        }
    }
}

/// A network with a clock of its own: delays, losses, NATs, cuts; the same seed gives the same run.
final class Lab {
    private struct Packet {
        let at: Instant
        let order: Int
        let source: TransportAddress
        let destination: TransportAddress
        let from: ObjectIdentifier
        let payload: [UInt8]
    }

    static let stunServer = TransportAddress(.v4(0xc633_6401), port: 3478)  // 198.51.100.1

    let seed: UInt64
    private(set) var now = Instant.zero
    var random: SeededGenerator
    var latency = Duration.milliseconds(1)
    var jitter = Duration.zero
    /// More of it on some ways: by sender and destination.
    var extraLatency: (Node, TransportAddress) -> Duration = { _, _ in .zero }
    var loss = 0.0
    /// Packets for which this says true vanish: (sender's name, destination as the receiver's side sees it).
    var isCut: (Node, TransportAddress) -> Bool = { _, _ in false }
    private(set) var nodes: [Node] = []
    private var packets: [Packet] = []
    private var order = 0
    private(set) var delivered = 0

    init(seed: UInt64) {
        self.seed = seed
        random = SeededGenerator(seed: seed)
    }

    func add(
        _ name: String, _ addresses: [String], role: ICEAgent.Role, nat: NATKind? = nil,
        configuration: ICEConfiguration = .init()
    ) -> Node {
        let outside = IPAddress.v4(0xcb00_7100 + UInt32(nodes.count) + 1)  // 203.0.113.n
        let agent = ICEAgent(configuration: configuration, role: role, entropy: .seed(random.next()), now: now)
        let box = nat.flatMap { $0 == .none ? nil : NAT($0, outside: outside, firstPort: 40_000) }
        let node = Node(name, addresses, nat: box, agent: agent)
        nodes.append(node)
        return node
    }

    /// Host candidates of all addresses, and a server-reflexive one behind a NAT that maps all alike.
    func gather(_ node: Node) {
        for (rank, address) in node.addresses.enumerated() {
            node.agent.addLocalCandidate(.host(address, rank: UInt16(rank)))
        }
        if let nat = node.nat {
            let mapped = nat.send(to: Self.stunServer)
            node.agent.addLocalCandidate(.serverReflexive(mapped, base: node.addresses[0]))
        }
    }

    /// Gives `to` what `from`'s description would hold.
    func describe(_ from: Node, to: Node, isLite: Bool = false, candidates: Bool = true) {
        to.agent.setRemote(credentials: from.agent.localCredentials, isLite: isLite, now: now)
        if candidates { trickle(from, to: to) }
        drain()
    }

    func trickle(_ from: Node, to: Node) {
        for candidate in from.agent.localCandidates where candidate.kind != .peerReflexive {
            guard let read = Candidate(sdp: candidate.sdp) else { continue }
            to.agent.addRemoteCandidate(read, now: now)
        }
        drain()
    }

    /// - Parameter address: the node's own address to send from; else the first of the family.
    func send(_ transmit: Transmit, from node: Node, at address: TransportAddress? = nil) {
        node.sent.append((now, transmit))
        let destination = transmit.destination
        guard !isCut(node, destination), Double.random(in: 0..<1, using: &random) >= loss else { return }
        let first = node.addresses.first { $0.address.isIPv6 == destination.address.isIPv6 }
        guard let own = address ?? first else { return }
        let source = node.nat?.send(to: destination) ?? own
        let spread = Duration.nanoseconds(Int64.random(in: 0...max(0, jitter.nanosecondsClamped), using: &random))
        order += 1
        packets.append(
            Packet(
                at: now + latency + spread + extraLatency(node, destination), order: order, source: source,
                destination: destination,
                from: ObjectIdentifier(node), payload: transmit.payload))
    }

    /// Takes out what the agents have to say; afterwards none may want to be woken in the past.
    func drain() {
        for node in nodes {
            while let transmit = node.agent.pollTransmit() { send(transmit, from: node) }
            while let event = node.agent.pollEvent() { node.events.append((now, event)) }
        }
    }

    /// Runs until `end` or until `condition` holds.
    ///
    /// - Returns: whether the condition held.
    @discardableResult
    func run(for duration: Duration, until condition: () -> Bool = { false }) -> Bool {
        let end = now + duration
        var steps = 0
        drain()
        while true {
            if condition() { return true }
            let packet = packets.indices.min {
                (packets[$0].at, packets[$0].order) < (packets[$1].at, packets[$1].order)
            }
            let timeout = nodes.compactMap { $0.agent.nextTimeout }.min()
            guard let next = Instant?.earlier(packet.map { packets[$0].at }, timeout), next <= end else { break }
            steps = next > now ? 0 : steps + 1
            if steps > 2000 {
                Issue.record("seed \(seed): time stands still at \(now)")
                return false
            }
            now = max(now, next)
            if let packet, packets[packet].at <= now {
                deliver(packets.remove(at: packet))
            } else {
                for node in nodes {
                    guard let due = node.agent.nextTimeout, due <= now else { continue }
                    node.agent.handleTimeout(now: now)
                }
            }
            drain()
        }
        now = end
        return condition()
    }

    private func deliver(_ packet: Packet) {
        for node in nodes {
            let isInside = node.addresses.contains(packet.destination)
            if let nat = node.nat {
                // Private addresses are reached from the same machine only.
                guard packet.destination.address == nat.outside, nat.admits(packet.source, at: packet.destination.port)
                else { continue }
            } else if !isInside {
                continue
            }
            delivered += 1
            if let script = node.script {
                for transmit in script(packet.payload, packet.source, packet.destination) {
                    send(transmit, from: node, at: packet.destination)
                }
            } else if STUNMessage.isSTUN(packet.payload) {
                node.agent.handle(stun: packet.payload, from: packet.source, now: now)
            } else {
                node.agent.noteReceived(from: packet.source, now: now)
            }
            return
        }
    }

    /// One datagram of application data on the pair in use.
    func sendData(_ node: Node) {
        guard let address = node.agent.sendAddress else { return }
        send(Transmit(to: address, payload: [23, 1, 2, 3]), from: node)
    }

    func areConnected(_ a: Node, _ b: Node) -> Bool {
        let (first, second) = (a.agent.state, b.agent.state)
        return first == .connected && second == .connected
    }

    /// Two public machines, described to each other.
    static func pair(
        seed: UInt64, configuration: ICEConfiguration = .init(),
        addresses: ([String], [String]) = (["192.0.2.1:1000"], ["192.0.2.2:2000"])
    ) -> (Lab, Node, Node) {
        let lab = Lab(seed: seed)
        let a = lab.add("a", addresses.0, role: .controlling, configuration: configuration)
        let b = lab.add("b", addresses.1, role: .controlled, configuration: configuration)
        lab.gather(a)
        lab.gather(b)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        return (lab, a, b)
    }
}
