import SwarmBase
import Testing

@testable import ICE

/// Relayed pairs in the agent.
@Suite struct TURNPairTests {
    @Test func aRelayedCandidateIsOfTheLowestKind() throws {
        let address = try #require(TransportAddress("198.51.100.8:50000"))
        let mapped = try #require(TransportAddress("203.0.113.5:4000"))
        let candidate = Candidate.relayed(address, mapped: mapped, server: address.address, rank: 1)
        #expect(candidate.priority == 0x7ffe << 8 | 255)
        #expect(candidate.sdp.hasSuffix("198.51.100.8 50000 typ relay raddr 203.0.113.5 rport 4000"))
        #expect(Candidate(sdp: candidate.sdp) == candidate)
        #expect(candidate.priority < Candidate.serverReflexive(mapped).priority)
        let hidden = Candidate.relayed(address, server: address.address)
        #expect(hidden.sdp.hasSuffix("typ relay raddr 0.0.0.0 rport 9"))
        #expect(hidden.foundation != Candidate.host(address).foundation)
    }

    @Test(arguments: 0..<10 as Range<UInt64>) func theDirectPairWins(seed: UInt64) throws {
        let lab = TURNRelayLab(seed: seed)
        try lab.allocate(lab.a)
        try lab.allocate(lab.b)
        lab.negotiate()
        #expect(lab.run(for: .seconds(5)) { lab.areConnected }, "seed \(seed)")
        lab.run(for: .seconds(5))
        #expect(lab.a.agent.sendPath == ICEPath(remote: lab.b.socket), "seed \(seed)")
        #expect(lab.b.agent.sendPath == ICEPath(remote: lab.a.socket), "seed \(seed)")
        let isRelayed = lab.a.agent.isRelayed
        #expect(!isRelayed)
    }

    /// Who has a relay: the controlling side, the controlled one, or both.
    @Test(arguments: [(true, false), (false, true), (true, true)], 0..<5 as Range<UInt64>)
    func theRelayAloneConnects(who: (a: Bool, b: Bool), seed: UInt64) throws {
        let lab = TURNRelayLab(seed: seed)
        lab.isDirectOpen = false
        if who.a { try lab.allocate(lab.a) }
        if who.b { try lab.allocate(lab.b) }
        let start = lab.now
        lab.negotiate()
        #expect(lab.run(for: .seconds(10)) { lab.areConnected }, "seed \(seed)")
        lab.run(for: .seconds(10))
        for side in [lab.a, lab.b] {
            let isRelayed = side.agent.isRelayed
            #expect(isRelayed, "seed \(seed)")
        }
        let nominated = lab.a.sent.first { at, transmit in
            (try? ReceivedSTUNMessage(parsing: transmit.payload))?.message.hasUseCandidate ?? false
        }
        // 200 ms after the first valid pair, while the direct one is still being tried.
        let connected = try #require(lab.a.time(of: .connected))
        let at = try #require(nominated?.at)
        #expect(at - connected >= .milliseconds(195) && at - connected <= .milliseconds(260), "seed \(seed)")
        #expect(connected - start < .seconds(1), "seed \(seed)")
        for _ in 0..<100 {
            lab.sendData(lab.a)
            lab.sendData(lab.b)
            lab.run(for: .milliseconds(20))
        }
        lab.run(for: .seconds(60))
        #expect(lab.a.data.count == 100 && lab.b.data.count == 100, "seed \(seed)")
        #expect(lab.a.data.allSatisfy { $0 == lab.a.agent.sendPath?.relay }, "seed \(seed)")
        // Consent goes on, also past the lifetimes of permission, channel and allocation.
        lab.run(for: .seconds(1500))
        #expect(lab.areConnected, "seed \(seed)")
    }

    @Test func onlyRelayToRelay() throws {
        let lab = TURNRelayLab(seed: 3)
        lab.isDirectOpen = false
        lab.isCrossOpen = false
        try lab.allocate(lab.a)
        try lab.allocate(lab.b)
        lab.negotiate()
        #expect(lab.run(for: .seconds(10)) { lab.areConnected })
        let relays = (try #require(lab.a.relayed), try #require(lab.b.relayed))
        #expect(lab.a.agent.sendPath == ICEPath(remote: relays.1, relay: relays.0))
        #expect(lab.b.agent.sendPath == ICEPath(remote: relays.0, relay: relays.1))
    }

    @Test(arguments: 0..<5 as Range<UInt64>) func theRelayTakesOverAndGivesBack(seed: UInt64) throws {
        let lab = TURNRelayLab(seed: seed)
        try lab.allocate(lab.a)
        lab.negotiate()
        lab.run(for: .seconds(10))
        #expect(lab.a.agent.sendPath?.relay == nil, "seed \(seed)")
        lab.isDirectOpen = false
        func bothRelayed() -> Bool {
            let (first, second) = (lab.a.agent.isRelayed, lab.b.agent.isRelayed)
            return first && second && lab.areConnected
        }
        #expect(lab.run(for: .seconds(15), until: bothRelayed), "seed \(seed)")
        lab.isDirectOpen = true
        lab.run(for: .seconds(120))
        #expect(lab.areConnected, "seed \(seed)")
    }

    @Test func aRelayMayComeLate() throws {
        let lab = TURNRelayLab(seed: 5)
        lab.isDirectOpen = false
        lab.negotiate()
        lab.run(for: .seconds(2))
        #expect(!lab.areConnected)
        try lab.allocate(lab.a)
        // The peer is not told: it learns the address from the checks.
        #expect(lab.run(for: .seconds(5)) { lab.areConnected })
        #expect(lab.b.agent.sendPath?.remote == lab.a.relayed)
    }

    @Test func aRelayThatIsLostTakesItsPairsAlong() throws {
        let lab = TURNRelayLab(seed: 6)
        lab.isDirectOpen = false
        try lab.allocate(lab.a)
        try lab.allocate(lab.b)
        lab.negotiate()
        #expect(lab.run(for: .seconds(5)) { lab.areConnected })
        lab.run(for: .seconds(2))
        let relay = try #require(lab.a.relayed)
        lab.a.agent.removeLocalCandidate(relay, now: lab.now)
        lab.drain()
        #expect(lab.a.agent.sendPath?.relay == nil)
        #expect(!lab.a.agent.localCandidates.contains { $0.address == relay })
        let others = lab.a.agent.generations[0].pairs
        #expect(!others.isEmpty && others.allSatisfy { $0.path.relay == nil })
        #expect(lab.run(for: .seconds(10)) { lab.areConnected }, "by the other side's relay")
        lab.run(for: .seconds(40))
        #expect(lab.areConnected)
    }

    @Test func relayedPairsAreFewAndOfOneFamily() throws {
        var agent = ICEAgent(role: .controlling, entropy: .seed(1), now: .zero)
        let relay = try #require(TransportAddress("198.51.100.8:50000"))
        agent.addLocalCandidate(.relayed(relay, server: relay.address))
        let credentials = ICECredentials.random(using: &agent.entropy)
        agent.setRemote(credentials: credentials, isLite: false, now: .zero)
        agent.addRemoteCandidate(.host(try #require(TransportAddress("[2001:db8::1]:1"))), now: .zero)
        agent.addRemoteCandidate(.host(try #require(TransportAddress("192.0.2.1:1"))), now: .zero)
        #expect(agent.generations[0].pairs.count == 3)
        let best = agent.generations[0].pairs.filter { $0.path.relay == nil }.map(\.priority).min() ?? 0
        #expect(agent.generations[0].pairs.allSatisfy { $0.path.relay == nil || $0.priority < best })
        for port in 2..<200 as Range<UInt16> {
            agent.addRemoteCandidate(.host(TransportAddress(.v4(0xc000_0201), port: port)), now: .zero)
        }
        #expect(agent.generations[0].pairs.count == 100)
        #expect(agent.generations[0].pairs.allSatisfy { $0.path.remote.port != 0 })
    }
}
