import SwarmBase
import Testing

@testable import ICE

/// Two agents that find each other.
@Suite struct ConnectivityTests {
    @Test(arguments: 0..<10) func publicPeersConnectAtOnce(seed: UInt64) {
        let (lab, a, b) = Lab.pair(seed: seed)
        #expect(lab.run(for: .seconds(1)) { lab.areConnected(a, b) }, "seed \(seed)")
        #expect(lab.now <= .zero + .milliseconds(5), "seed \(seed): \(lab.now)")
        lab.run(for: .seconds(1))
        #expect(a.agent.sendAddress == b.addresses[0])
        #expect(b.agent.sendAddress == a.addresses[0])
        #expect(a.agent.generations[0].nominated?.remote == b.addresses[0])
        #expect(b.agent.generations[0].followed?.remote == a.addresses[0])
        #expect(a.states == [.checking, .connected])
        #expect(b.states == [.checking, .connected])
        #expect(a.events.contains { $0.event == .validatedRemote(b.addresses[0]) })
        #expect(b.events.contains { $0.event == .validatedRemote(a.addresses[0]) })
        let roundTrip = a.agent.roundTripTime
        #expect(roundTrip == .milliseconds(2))
    }

    @Test func loopback() {
        let (lab, a, b) = Lab.pair(seed: 1, addresses: (["127.0.0.1:21000"], ["127.0.0.1:22000"]))
        #expect(lab.run(for: .seconds(1)) { lab.areConnected(a, b) })
    }

    @Test func bothFamiliesPreferIPv6() {
        let (lab, a, b) = Lab.pair(
            seed: 2,
            addresses: (["192.0.2.1:1000", "[2001:db8::1]:1000"], ["192.0.2.2:2000", "[2001:db8::2]:2000"]))
        lab.run(for: .seconds(2))
        #expect(a.agent.sendAddress == b.addresses[1])
        #expect(b.agent.sendAddress == a.addresses[1])
        // One of them without IPv6 altogether.
        let (other, c, d) = Lab.pair(
            seed: 3, addresses: (["192.0.2.1:1000"], ["192.0.2.2:2000", "[2001:db8::2]:2000"]))
        #expect(other.run(for: .seconds(2)) { other.areConnected(c, d) })
        #expect(c.agent.sendAddress == d.addresses[0])
    }

    static let reachable: [(NATKind, NATKind, Bool)] = NATKind.allCases.flatMap { x in
        NATKind.allCases.map { y in
            let pair = Set([x, y])
            let fails = pair == [.symmetric] || pair == [.symmetric, .portRestricted]
            return (x, y, !fails)
        }
    }

    /// The well-known table of which NATs can be passed without a relay.
    @Test(arguments: reachable) func natMatrix(_ x: NATKind, _ y: NATKind, _ expected: Bool) {
        for seed in UInt64(0)..<2 {
            let lab = Lab(seed: seed)
            lab.latency = .milliseconds(20)
            lab.jitter = .milliseconds(10)
            let a = lab.add("a", [x == .none ? "192.0.2.1:1000" : "10.0.0.1:1000"], role: .controlling, nat: x)
            let b = lab.add("b", [y == .none ? "192.0.2.2:2000" : "10.0.1.1:2000"], role: .controlled, nat: y)
            lab.gather(a)
            lab.gather(b)
            lab.describe(a, to: b)
            lab.run(for: .milliseconds(60))
            lab.describe(b, to: a)
            let connected = lab.run(for: .seconds(20)) { lab.areConnected(a, b) }
            #expect(connected == expected, "\(x) \(y) seed \(seed)")
            guard expected else { continue }
            // From the answer: a few round trips, and what the first lost checks cost.
            #expect(lab.now < .zero + .milliseconds(1200), "\(x) \(y) seed \(seed): \(lab.now)")
            lab.run(for: .seconds(60))
            #expect(lab.areConnected(a, b), "\(x) \(y) seed \(seed)")
            #expect(a.states == [.checking, .connected] && b.states == [.checking, .connected])
        }
    }

    @Test(arguments: 0..<12) func heavyLoss(seed: UInt64) {
        let (lab, a, b) = Lab.pair(seed: seed)
        lab.loss = 0.4
        lab.latency = .milliseconds(50)
        #expect(lab.run(for: .seconds(30)) { lab.areConnected(a, b) }, "seed \(seed)")
        // Idle for a while: no loss of consent, and silences short of an outage pass.
        lab.loss = 0.2
        lab.run(for: .seconds(120))
        let (first, second) = (a.agent.state, b.agent.state)
        #expect(first != .failed && second != .failed, "seed \(seed)")
        #expect(a.agent.sendAddress != nil && b.agent.sendAddress != nil, "seed \(seed)")
    }

    @Test(arguments: [ICEAgent.Role.controlling, .controlled], 0..<5) func roleConflict(
        _ role: ICEAgent.Role, seed: UInt64
    ) {
        let lab = Lab(seed: seed)
        let a = lab.add("a", ["192.0.2.1:1000"], role: role)
        let b = lab.add("b", ["192.0.2.2:2000"], role: role)
        lab.gather(a)
        lab.gather(b)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        #expect(lab.run(for: .seconds(2)) { lab.areConnected(a, b) }, "seed \(seed)")
        lab.run(for: .seconds(1))
        let (first, second) = (a.agent.role, b.agent.role)
        #expect(first != second, "seed \(seed)")
        let controlling = first == .controlling ? a : b
        let nominated = controlling.agent.generations[0].nominated?.remote
        #expect(nominated != nil, "seed \(seed)")
        #expect(lab.areConnected(a, b))
    }

    @Test func earlyChecksWaitForTheDescription() throws {
        let lab = Lab(seed: 5)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        lab.gather(a)
        lab.gather(b)
        lab.describe(a, to: b)  // b has the offer; its answer is on the way
        lab.run(for: .milliseconds(500))
        let (early, addressBefore) = (a.agent.state, a.agent.sendAddress)
        #expect(early == .new && addressBefore == nil)
        // b's check was answered, so b can send already, and a knows whose that is.
        let other = b.agent.state
        #expect(other == .connected)
        #expect(a.events.contains { $0.event == .validatedRemote(b.addresses[0]) })
        // The answer names no candidate at all: the remembered check is enough.
        lab.describe(b, to: a, candidates: false)
        let sent = try #require(a.checks.first)
        #expect(sent.at == lab.now && sent.to == b.addresses[0])
        #expect(lab.run(for: .milliseconds(10)) { lab.areConnected(a, b) })
    }

    @Test func triggeredCheckLeavesAtOnce() throws {
        // a does not know b's address (mDNS): b's check makes it known.
        let lab = Lab(seed: 6)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        lab.gather(a)
        lab.describe(b, to: a, candidates: false)
        lab.run(for: .milliseconds(100))
        #expect(a.checks.isEmpty)
        lab.describe(a, to: b)
        #expect(lab.run(for: .milliseconds(10)) { lab.areConnected(a, b) })
        let first = try #require(a.checks.first)
        #expect(first.at == .zero + .milliseconds(101))
        #expect(a.agent.generations[0].pairs.map(\.remoteKind) == [.peerReflexive])
        // The candidate is named after all: the pair is the same.
        a.agent.addRemoteCandidate(.host(b.addresses[0]), now: lab.now)
        #expect(a.agent.generations[0].pairs.map(\.remoteKind) == [.host])
        let state = a.agent.state
        #expect(state == .connected)
    }

    @Test func checksArePaced() {
        let lab = Lab(seed: 7)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        lab.gather(a)
        for port in UInt16(1)...20 {
            b.agent.addLocalCandidate(.host(TransportAddress(.v4(0xc000_02ff), port: port), rank: port))
        }
        lab.describe(b, to: a)
        lab.run(for: .seconds(2))
        var first: [STUNTransactionID: Instant] = [:]
        for check in a.checks where first[check.message.transactionID] == nil {
            first[check.message.transactionID] = check.at
        }
        let times = first.values.sorted()
        #expect(times.count == 20)
        #expect(times.first == .zero)
        for (earlier, later) in zip(times, times.dropFirst()) { #expect(later - earlier == .milliseconds(20)) }
        // By priority: ranks in order.
        let ports = a.checks.filter { first[$0.message.transactionID] == $0.at }.map(\.to.port)
        #expect(ports == Array(1...20))
    }

    @Test func retransmissionsDoubleAndEnd() {
        let lab = Lab(seed: 8)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        lab.gather(b)
        lab.isCut = { _, _ in true }
        lab.describe(b, to: a)
        lab.run(for: .seconds(12))
        #expect(a.checks.map { ($0.at - .zero).milliseconds } == [0, 250, 750, 1750, 3750, 5750, 7750])
        #expect(Set(a.checks.map(\.message.transactionID)).count == 1)
        #expect(a.agent.generations[0].pairs[0].state == .failed)
        // Another round, because there is still time.
        lab.run(for: .seconds(6))
        #expect(Set(a.checks.map(\.message.transactionID)).count == 2)
    }

    @Test func lateAnswerCounts() {
        var configuration = ICEConfiguration()
        configuration.maximumSends = 2
        configuration.finalWait = .seconds(1)
        let lab = Lab(seed: 9)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling, configuration: configuration)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        lab.gather(b)
        lab.latency = .seconds(1)
        lab.describe(b, to: a)
        lab.run(for: .milliseconds(1900))
        #expect(a.agent.generations[0].pairs[0].state == .failed)
        #expect(lab.run(for: .milliseconds(200)) { a.agent.sendAddress != nil })
    }

    @Test func pathThatHealsDuringSetupIsFoundWithinSeconds() {
        let (lab, a, b) = Lab.pair(seed: 10)
        let healsAt = Instant.zero + .seconds(9)
        lab.isCut = { [unowned lab] _, _ in lab.now < healsAt }
        #expect(lab.run(for: .seconds(39)) { lab.areConnected(a, b) })
        #expect(lab.now - healsAt < .seconds(8), "\(lab.now)")
    }
}
