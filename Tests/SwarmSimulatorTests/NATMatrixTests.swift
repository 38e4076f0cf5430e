import ICE
import SCTP
import SwarmBase
import SwarmSimulator
import Testing
import WebRTC

/// Two connections behind every pair of NATs.
@Suite struct NATMatrixTests {
    static let pairs: [(NATKind, NATKind)] = NATKind.six.flatMap { a in NATKind.six.map { (a, $0) } }

    /// Two peers behind NATs, and what they need to know of themselves.
    private func meet(
        _ a: NATKind, _ b: NATKind, seed: UInt64, relay: Bool, answerDelay: Duration = .milliseconds(150)
    ) throws -> (Simulation, SimulatedPeer, SimulatedPeer, Bool) {
        let simulation = Simulation(seed: seed)
        let server = simulation.addServer()
        var peers: [SimulatedPeer] = []
        for (number, kind) in [a, b].enumerated() {
            let nat = kind == .none ? nil : simulation.network.addNAT(kind)
            let host = simulation.network.addHost(behind: nat, link: .delay(.milliseconds(15)))
            let peer = try simulation.addPeer("\(number)", host: host, seed: seed &* 10 &+ UInt64(number))
            peer.stun.addServer(server, now: simulation.now)
            if relay {
                // Who may not send datagrams uses TCP.
                peer.allocate(on: server, over: kind == .udpBlocked ? .stream : .udp, now: simulation.now)
            }
            peers.append(peer)
        }
        let (first, second) = (peers[0], peers[1])
        simulation.run(for: .milliseconds(300))
        let channel = try first.connection.openChannel(DataChannelOptions(label: "x"), now: simulation.now)
        try first.connection.send([1, 2, 3], kind: .binary, on: channel, now: simulation.now)
        try simulation.negotiate(from: first, to: second, delay: answerDelay)
        let isOpen = simulation.run(for: .seconds(20)) { second.messages.values.contains { $0.count == 1 } }
        return (simulation, first, second, isOpen)
    }

    @Test(arguments: pairs) func withSTUNOnly(_ a: NATKind, _ b: NATKind) throws {
        for seed in UInt64(1)...2 {
            let (_, _, _, isOpen) = try meet(a, b, seed: seed, relay: false)
            #expect(isOpen == NATKind.canMeet(a, b), "\(a.rawValue) \(b.rawValue) seed \(seed)")
        }
    }

    @Test func theTableHasTwentyTwoPairs() {
        #expect(Self.pairs.count == 36)
        #expect(Self.pairs.count { NATKind.canMeet($0.0, $0.1) } == 22)
    }

    @Test(arguments: pairs) func withARelay(_ a: NATKind, _ b: NATKind) throws {
        let (simulation, first, second, isOpen) = try meet(a, b, seed: 3, relay: true)
        #expect(isOpen, "\(a.rawValue) \(b.rawValue)")
        simulation.run(for: .seconds(10))
        for peer in [first, second] {
            let (path, state) = (peer.connection.selectedPath, peer.connection.state)
            // Where theory allows a direct path it is taken, with or without a relay at hand.
            #expect(path?.isRelayed == !NATKind.canMeet(a, b), "\(a.rawValue) \(b.rawValue): \(path as Any)")
            #expect(state == .connected)
        }
    }

    @Test func carrierGradeNATs() throws {
        // Port-restricted at home behind a port-restricted carrier, on both sides; and both at the same carrier.
        for isSameCarrier in [false, true] {
            let simulation = Simulation(seed: 9)
            let server = simulation.addServer()
            var peers: [SimulatedPeer] = []
            let shared = simulation.network.addNAT(.portRestricted, isHairpinning: true)
            for number in 0..<2 {
                let carrier = isSameCarrier ? shared : simulation.network.addNAT(.portRestricted)
                let home = simulation.network.addNAT(.portRestricted, behind: carrier)
                let host = simulation.network.addHost(behind: home, link: .delay(.milliseconds(10)))
                let peer = try simulation.addPeer("\(number)", host: host, seed: UInt64(number))
                peer.stun.addServer(server, now: simulation.now)
                peers.append(peer)
            }
            simulation.run(for: .milliseconds(200))
            _ = try peers[0].connection.openChannel(DataChannelOptions(label: "x"), now: simulation.now)
            try simulation.negotiate(from: peers[0], to: peers[1], delay: .milliseconds(100))
            #expect(simulation.run(for: .seconds(10)) { peers.allSatisfy { $0.connection.state == .connected } })
        }
    }

    @Test(arguments: [NATKind.fullCone, .portRestricted, .symmetric]) func aRebootedNATCostsSecondsOnly(
        _ kind: NATKind
    ) throws {
        let simulation = Simulation(seed: 4)
        let server = simulation.addServer()
        let nat = simulation.network.addNAT(kind)
        let inside = simulation.network.addHost(behind: nat, link: .delay(.milliseconds(10)))
        let outside = simulation.network.addHost(link: .delay(.milliseconds(10)))
        let a = try simulation.addPeer("a", host: inside, seed: 1)
        let b = try simulation.addPeer("b", host: outside, seed: 2)
        a.stun.addServer(server, now: simulation.now)
        simulation.run(for: .milliseconds(200))
        let channel = try a.connection.openChannel(DataChannelOptions(label: "x"), now: simulation.now)
        try simulation.negotiate(from: a, to: b, delay: .milliseconds(50))
        #expect(simulation.run(for: .seconds(5)) { a.opened[channel] != nil })
        var sent: [[UInt8]] = []
        for number in UInt8(0)..<200 {
            if number == 50 { simulation.network.reboot(nat, keepsAddress: false) }
            sent.append([number])
            try a.connection.send([number], kind: .binary, on: channel, now: simulation.now)
            simulation.run(for: .milliseconds(50))
        }
        #expect(simulation.run(for: .seconds(8)) { b.messages.values.first?.count == 200 })
        #expect(b.messages.values.first?.map(\.payload) == sent)
        #expect(!a.states.contains(.failed) && !b.states.contains(.failed))
    }

    @Test func aHostThatRoamsTakesItsConnectionAlong() throws {
        let simulation = Simulation(seed: 5)
        let home = simulation.network.addNAT(.portRestricted)
        let mobile = simulation.network.addNAT(.symmetric)
        let phone = simulation.network.addHost(behind: home, link: .delay(.milliseconds(10)))
        let desk = simulation.network.addHost(link: .delay(.milliseconds(10)))
        let a = try simulation.addPeer("a", host: phone, seed: 1)
        let b = try simulation.addPeer("b", host: desk, seed: 2)
        let channel = try a.connection.openChannel(DataChannelOptions(label: "x"), now: simulation.now)
        try simulation.negotiate(from: a, to: b, delay: .milliseconds(50))
        #expect(simulation.run(for: .seconds(5)) { a.opened[channel] != nil })
        simulation.run(for: .seconds(5))
        let old = TransportAddress(simulation.network.addresses(of: phone)[0], port: a.port)
        simulation.network.move(phone, behind: mobile)
        let moved = simulation.now
        let new = TransportAddress(simulation.network.addresses(of: phone)[0], port: a.port)
        a.connection.addLocalCandidate(.host(new))
        a.connection.removeLocalCandidate(old, now: simulation.now)
        try b.connection.send([9], kind: .binary, on: try #require(b.opened.keys.first), now: simulation.now)
        #expect(simulation.run(for: .seconds(10)) { a.messages[channel]?.count == 1 })
        #expect(simulation.now - moved < .milliseconds(2500), "\(simulation.now - moved)")
        let state = a.connection.state
        #expect(state == .connected && !a.states.contains(.disconnected))
    }
}
