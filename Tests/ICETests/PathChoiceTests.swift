import SwarmBase
import Testing

@testable import ICE

/// Choosing among several paths, and what happens when there are many, or other ones than before.
@Suite struct PathChoiceTests {
    /// Two machines with IPv4 and IPv6, connected over IPv6, the spare pair kept valid.
    private func twoPaths(seed: UInt64) -> (Lab, Node, Node) {
        let (lab, a, b) = Lab.pair(
            seed: seed,
            addresses: (["192.0.2.1:1000", "[2001:db8::1]:1000"], ["192.0.2.2:2000", "[2001:db8::2]:2000"]))
        lab.run(for: .seconds(40))
        #expect(a.agent.sendAddress == b.addresses[1] && b.agent.sendAddress == a.addresses[1])
        return (lab, a, b)
    }

    private func moves(_ node: Node, after: Instant) -> Int {
        node.events.count { event in
            if event.at > after, case .selectedPairChanged = event.event { true } else { false }
        }
    }

    @Test(arguments: 0..<4) func aMuchFasterPairIsTaken(seed: UInt64) {
        let (lab, a, b) = twoPaths(seed: seed)
        let slow = lab.now
        lab.extraLatency = { _, destination in destination.address.isIPv6 ? .milliseconds(100) : .zero }
        for _ in 0..<200 where a.agent.sendAddress != b.addresses[0] || b.agent.sendAddress != a.addresses[0] {
            lab.sendData(a)
            lab.run(for: .milliseconds(50))
        }
        // One consent check, three measurements, and the nomination; the other side follows the data.
        #expect(lab.now - slow < .seconds(9), "seed \(seed): \(lab.now - slow)")
        lab.run(for: .seconds(300))
        for node in [a, b] {
            #expect(moves(node, after: slow) == 1, "seed \(seed): nothing swings")
            #expect(node.states == [.checking, .connected])
        }
        // The first one gets fast again, but not faster: no reason to go back.
        lab.extraLatency = { _, _ in .zero }
        lab.run(for: .seconds(120))
        #expect(moves(a, after: slow) == 1)
    }

    @Test(arguments: 0..<4) func aQueueThatBothPairsShareIsNoReason(seed: UInt64) {
        let (lab, a, b) = twoPaths(seed: seed)
        // Data fills a queue that is the same for both: the spare pair was measured before.
        let loaded = lab.now
        lab.extraLatency = { _, _ in .milliseconds(100) }
        lab.run(for: .seconds(120))
        lab.extraLatency = { _, _ in .zero }
        lab.run(for: .seconds(120))
        for node in [a, b] { #expect(moves(node, after: loaded) == 0, "seed \(seed)") }
        // Measured side by side at most once in the time between two checks of a spare pair.
        let spare = a.checks.count { $0.at > loaded && !$0.to.address.isIPv6 }
        #expect(spare <= 240 / 20 + 240 / 25 * 11, "seed \(seed): \(spare)")
    }

    @Test(arguments: [0, 7, 15]) func sixteenAddressesOnEachSide(working: Int) {
        let lab = Lab(seed: 1)
        lab.latency = .milliseconds(5)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        for (node, net) in [(a, UInt32(0x0a01_0000)), (b, 0x0a02_0000)] {
            for rank in 0..<16 {
                let dead = TransportAddress(.v4(net + UInt32(rank)), port: 1)
                let address = rank == working ? node.addresses[0] : dead
                node.agent.addLocalCandidate(.host(address, rank: UInt16(rank)))
            }
        }
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        #expect(lab.run(for: .seconds(5)) { lab.areConnected(a, b) })
        let limit = Duration.milliseconds(20 * Int64(working) + 40)
        #expect(lab.now - .zero <= limit, "\(working): \(lab.now)")
        lab.run(for: .milliseconds(400))
        for node in [a, b] {
            #expect(node.agent.generations[0].pairs.count == 16)
            #expect(Set(node.checks.map(\.message.transactionID)).count <= 20)
        }
        #expect(a.agent.generations[0].nominated?.remote == b.addresses[0])
    }

    @Test func theOutsideAddressDoesNotWaitForAllInsideOnes() {
        let lab = Lab(seed: 2)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        for rank in UInt16(0)..<8 {
            b.agent.addLocalCandidate(.host(TransportAddress(.v4(0x0a02_0000 + UInt32(rank)), port: 1), rank: rank))
            b.agent.addLocalCandidate(.host(TransportAddress(.v6(0xfd00 << 48, UInt64(rank)), port: 1), rank: rank))
        }
        b.agent.addLocalCandidate(.serverReflexive(b.addresses[0]))
        lab.describe(b, to: a)
        lab.run(for: .milliseconds(65))
        let first = a.checks.map(\.to)
        #expect(first.count == 4)
        #expect(first.contains(b.addresses[0]) && first.contains { $0.address.isIPv6 })
    }

    @Test func theBestOfVeryManyCandidatesCount() {
        // 150 useless candidates of falling and rising priority come before the one that works.
        for rising in [false, true] {
            let lab = Lab(seed: 3)
            let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
            let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
            lab.gather(a)
            a.agent.setRemote(credentials: b.agent.localCredentials, isLite: false, now: lab.now)
            for number in UInt32(1)...150 {
                let rank = UInt16(rising ? 1000 - number : 1000 + number)
                let address = TransportAddress(.v4(0x0b00_0000 + number), port: 1)
                a.agent.addRemoteCandidate(.host(address, rank: rank), now: lab.now)
            }
            let known = a.agent.generations[0].pairs.map { $0.path.remote.address }
            #expect(known.count == 100)
            #expect(known.contains(.v4(0x0b00_0000 + 150)) == rising)
            a.agent.addRemoteCandidate(.host(b.addresses[0]), now: lab.now)
            b.agent.setRemote(credentials: a.agent.localCredentials, isLite: false, now: lab.now)
            #expect(lab.run(for: .milliseconds(50)) { lab.areConnected(a, b) })
            #expect(a.agent.generations[0].pairs.count == 100)
        }
    }

    @Test func duplicateAndLateCandidates() {
        let lab = Lab(seed: 4)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
        lab.gather(a)
        a.agent.setRemote(credentials: b.agent.localCredentials, isLite: false, now: lab.now)
        let dead = Candidate.host(TransportAddress(.v4(0x0b00_0000), port: 1))
        for _ in 0..<100 { a.agent.addRemoteCandidate(dead, now: lab.now) }
        // The same address once more as another kind: still one pair.
        a.agent.addRemoteCandidate(.serverReflexive(dead.address), now: lab.now)
        #expect(a.agent.generations[0].pairs.count == 1)
        a.agent.endOfRemoteCandidates(now: lab.now)
        lab.run(for: .seconds(8))
        // One that comes after the end counts, and connects at once.
        b.agent.setRemote(credentials: a.agent.localCredentials, isLite: false, now: lab.now)
        a.agent.addRemoteCandidate(.host(b.addresses[0]), now: lab.now)
        let late = lab.now
        #expect(lab.run(for: .seconds(1)) { lab.areConnected(a, b) })
        #expect(lab.now - late < .milliseconds(10))
    }

    static let punching: [(NATKind, NATKind)] = [
        (.portRestricted, .portRestricted), (.addressRestricted, .symmetric), (.symmetric, .addressRestricted),
        (.symmetric, .fullCone),
    ]

    /// However long the answer takes, both sides send at the same time soon after it.
    @Test(arguments: punching, [0.05, 3, 9, 14, 25, 33])
    func holesArePunchedWhenTheAnswerIsLate(_ kinds: (NATKind, NATKind), seconds: Double) {
        let lab = Lab(seed: 5)
        lab.latency = .milliseconds(30)
        let a = lab.add("a", ["10.0.0.1:1000"], role: .controlling, nat: kinds.0)
        let b = lab.add("b", ["10.0.1.1:2000"], role: .controlled, nat: kinds.1)
        lab.gather(a)
        lab.gather(b)
        lab.describe(a, to: b)
        lab.run(for: .milliseconds(Int64(seconds * 1000)))
        lab.describe(b, to: a)
        let answered = lab.now
        #expect(lab.run(for: .seconds(20)) { lab.areConnected(a, b) }, "\(kinds) \(seconds)")
        #expect(lab.now - answered < .milliseconds(6300), "\(kinds) \(seconds): \(lab.now - answered)")
    }

    @Test(arguments: [ICEAgent.Role.controlling, .controlled], 0..<3)
    func anInterfaceThatChangesIsNoticedAtOnce(_ role: ICEAgent.Role, seed: UInt64) throws {
        let lab = Lab(seed: seed)
        let a = lab.add("a", ["192.0.2.1:1000"], role: role)
        let b = lab.add("b", ["192.0.2.2:2000"], role: role == .controlling ? .controlled : .controlling)
        lab.gather(a)
        lab.gather(b)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        lab.run(for: .seconds(10))
        let old = a.addresses[0]
        let new = try #require(TransportAddress("198.51.100.7:1000"))
        a.addresses = [new]
        a.agent.addLocalCandidate(.host(new))
        let changed = lab.now
        a.agent.removeLocalCandidate(old, now: lab.now)
        lab.drain()
        #expect(a.checks.contains { $0.at == changed }, "seed \(seed): asks whether the way still works")
        #expect(lab.run(for: .seconds(3)) { b.agent.sendAddress == new }, "seed \(seed)")
        #expect(lab.now - changed < .milliseconds(2100), "seed \(seed): \(lab.now - changed)")
        lab.run(for: .seconds(60))
        #expect(lab.areConnected(a, b))
        #expect(a.states == [.checking, .connected] && b.states == [.checking, .connected], "seed \(seed)")
        let candidates = a.agent.localCandidates.map(\.address)
        #expect(!candidates.contains(old))
    }

    @Test func anInterfaceThatAppearsOpensPairsThatHadFailed() {
        // b is known over both families, but a has no IPv6 at first.
        let lab = Lab(seed: 6)
        let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
        let b = lab.add("b", ["192.0.2.2:2000", "[2001:db8::2]:2000"], role: .controlled)
        lab.gather(a)
        lab.gather(b)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        lab.run(for: .seconds(20))
        #expect(a.agent.generations[0].pair(ICEPath(remote: b.addresses[1]))?.state == .failed)
        a.addresses.append(TransportAddress(.v6(0x2001_0db8 << 32, 1), port: 1000))
        a.agent.addLocalCandidate(.host(a.addresses[1]))
        a.agent.networkChanged(now: lab.now)
        lab.run(for: .milliseconds(50))
        #expect(a.agent.generations[0].pair(ICEPath(remote: b.addresses[1]))?.isValid == true)
        // The new pair takes over when the old one dies.
        lab.isCut = { _, destination in !destination.address.isIPv6 }
        #expect(lab.run(for: .seconds(8)) { a.agent.sendAddress == b.addresses[1] })
        lab.run(for: .seconds(60))
        #expect(lab.areConnected(a, b))
    }

    @Test func manyNetworkChangesCostLittle() {
        let (lab, a, b) = Lab.pair(seed: 7)
        lab.run(for: .seconds(10))
        let before = a.checks.count
        for _ in 0..<100 {
            a.agent.networkChanged(now: lab.now)
            lab.run(for: .milliseconds(1))
        }
        lab.run(for: .seconds(1))
        // Paced like all others: one in 20 ms.
        #expect(a.checks.count - before <= 7)
        #expect(lab.areConnected(a, b))
    }

    /// An address stays validated while it is in use, however many others come.
    @Test func validatedAddressesAreTheLatestOnes() {
        let (lab, a, b) = Lab.pair(seed: 8)
        lab.run(for: .seconds(1))
        for number in UInt32(0)..<500 {
            let check = STUNMessage(
                .request, transactionID: .random(using: &lab.random),
                attributes: [
                    .username(Array("\(a.agent.localCredentials.ufrag):\(b.agent.localCredentials.ufrag)".utf8)),
                    .priority(1), .iceControlled(1),
                ])
            a.agent.handle(
                stun: check.encoded(key: a.agent.localCredentials.key),
                from: TransportAddress(.v4(0x0c00_0000 + number), port: 1), now: lab.now)
        }
        lab.drain()
        let known = [
            b.addresses[0], TransportAddress(.v4(0x0c00_0000 + 499), port: 1),
            TransportAddress(.v4(0x0c00_0000), port: 1),
        ].map { a.agent.isValidated($0) }
        #expect(known == [true, true, false])
        let count = a.agent.validated.count
        #expect(count == 100)
    }
}
