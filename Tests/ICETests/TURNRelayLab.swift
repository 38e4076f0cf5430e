import SwarmBase
import Testing

@testable import ICE

/// Two agents, each with a socket and perhaps a TURN client, one TURN server, and a network that may forbid the direct way.
final class TURNRelayLab {
    final class Side {
        let socket: TransportAddress
        var agent: ICEAgent
        var turn: TURNClient
        var relayed: TransportAddress?
        var events: [(at: Instant, event: ICEEvent)] = []
        /// Datagrams of data that came, and the relay that they came by.
        var data: [TransportAddress?] = []
        /// What was sent, before any TURN header.
        var sent: [(at: Instant, Transmit)] = []

        init(_ socket: TransportAddress, role: ICEAgent.Role, seed: UInt64) {
            self.socket = socket
            agent = ICEAgent(role: role, entropy: .seed(seed), now: .zero)
            turn = TURNClient(entropy: .seed(seed &+ 99))
            agent.addLocalCandidate(.host(socket))
        }

        func time(of state: ICEState) -> Instant? { events.first { $0.event == .stateChanged(state) }?.at }
    }

    let a: Side
    let b: Side
    var server = TURNServerModel()
    var now = Instant.zero
    /// Whether datagrams between the two sockets pass.
    var isDirectOpen = true
    /// Whether a socket reaches the other side's relayed address.
    var isCrossOpen = true
    private var packets: [(at: Instant, from: TransportAddress, to: TransportAddress, bytes: [UInt8])] = []

    init(seed: UInt64) {
        a = Side(TransportAddress(.v4(0xc000_0201), port: 1000), role: .controlling, seed: seed)
        b = Side(TransportAddress(.v4(0xc000_0202), port: 2000), role: .controlled, seed: seed &+ 1)
    }

    /// Gets a relayed address for a side.
    func allocate(_ side: Side) throws {
        let id = try #require(side.turn.addServer(try TURNBench.configuration()))
        side.turn.retain(id, by: TURNBench.session, now: now)
        run(for: .milliseconds(200))
        let relayed = try #require(side.relayed)
        side.agent.addLocalCandidate(.relayed(relayed, mapped: side.socket, server: relayed.address))
        drain()
    }

    func describe(_ from: Side, to: Side) {
        to.agent.setRemote(credentials: from.agent.localCredentials, isLite: false, now: now)
        for candidate in from.agent.localCandidates where candidate.kind != .peerReflexive {
            guard let read = Candidate(sdp: candidate.sdp) else { continue }
            to.agent.addRemoteCandidate(read, now: now)
        }
        drain()
    }

    func negotiate() {
        describe(a, to: b)
        describe(b, to: a)
    }

    func sendData(_ side: Side) {
        guard let path = side.agent.sendPath else { return }
        send(Transmit(to: path.remote, payload: [23, 1, 2], via: path.relay), from: side)
        drain()
    }

    private func send(_ transmit: Transmit, from side: Side) {
        side.sent.append((now, transmit))
        if transmit.relay == nil {
            put(transmit, from: side.socket)
        } else {
            side.turn.send(transmit, for: TURNBench.session, now: now)
        }
    }

    private func put(_ transmit: Transmit, from source: TransportAddress) {
        packets.append((now + .milliseconds(5), source, transmit.destination, transmit.payload))
    }

    func drain() {
        for side in [a, b] {
            while let transmit = side.agent.pollTransmit() { send(transmit, from: side) }
            while let event = side.agent.pollEvent() { side.events.append((now, event)) }
            while let transmit = side.turn.pollTransmit() { put(transmit, from: side.socket) }
            while let event = side.turn.pollEvent() {
                switch event {
                case .allocated(_, let relayed, _): side.relayed = relayed
                case .lost(_, let relayed): side.agent.removeLocalCandidate(relayed, now: now)
                case .failed, .connect, .disconnect, .peerRefused: break
                }
            }
        }
    }

    private func take(_ bytes: [UInt8], from source: TransportAddress, via relay: TransportAddress?, at side: Side) {
        if STUNMessage.isSTUN(bytes) {
            side.agent.handle(stun: bytes, from: source, via: relay, now: now)
        } else {
            side.data.append(relay)
            side.agent.noteReceived(from: source, via: relay, now: now)
        }
    }

    private func deliver(_ packet: (at: Instant, from: TransportAddress, to: TransportAddress, bytes: [UInt8])) {
        if packet.to == TURNServerModel.address {
            return put(server.handle(packet.bytes, from: packet.from, now: now))
        }
        if packet.to.address == TURNServerModel.relayIPv4 {
            let isCross = [a.socket, b.socket].contains(packet.from)
            guard isCrossOpen || !isCross else { return }
            return put(server.handlePeer(packet.bytes, from: packet.from, to: packet.to, now: now))
        }
        guard let side = [a, b].first(where: { $0.socket == packet.to }) else { return }
        if side.turn.handle(datagram: packet.bytes, from: packet.from, now: now) {
            while let received = side.turn.pollReceived() {
                take(received.payload, from: received.peer, via: received.relay, at: side)
            }
            return
        }
        let isFromRelay = packet.from.address == TURNServerModel.relayIPv4
        guard isFromRelay ? isCrossOpen : isDirectOpen else { return }
        take(packet.bytes, from: packet.from, via: nil, at: side)
    }

    private func put(_ outputs: [TURNServerModel.Output]) {
        for output in outputs {
            switch output {
            case .client(let client, let bytes):
                packets.append((now + .milliseconds(5), TURNServerModel.address, client, bytes))
            case .peer(let from, let to, let payload):
                packets.append((now + .milliseconds(5), from, to, payload))
            }
        }
    }

    @discardableResult
    func run(for duration: Duration, until condition: () -> Bool = { false }) -> Bool {
        let end = now + duration
        drain()
        var steps = 0
        while !condition() {
            var next = packets.map(\.at).min()
            for side in [a, b] { next = .earlier(.earlier(next, side.agent.nextTimeout), side.turn.nextTimeout) }
            guard let next, next <= end else {
                now = end
                return condition()
            }
            steps = next > now ? 0 : steps + 1
            guard steps < 2000 else {
                Issue.record("time stands still at \(now)")
                return false
            }
            now = max(now, next)
            if let index = packets.firstIndex(where: { $0.at <= now }) {
                deliver(packets.remove(at: index))
            } else {
                for side in [a, b] {
                    if let due = side.agent.nextTimeout, due <= now { side.agent.handleTimeout(now: now) }
                    if let due = side.turn.nextTimeout, due <= now { side.turn.handleTimeout(now: now) }
                }
            }
            drain()
        }
        return true
    }

    var areConnected: Bool {
        let (first, second) = (a.agent.state, b.agent.state)
        return first == .connected && second == .connected
    }
}
