import SwarmBase
import Testing

@testable import ICE

/// What happens after two agents have found each other.
@Suite struct LivenessTests {
    private func connected(seed: UInt64 = 1, configuration: ICEConfiguration = .init()) -> (Lab, Node, Node) {
        let (lab, a, b) = Lab.pair(seed: seed, configuration: configuration)
        #expect(lab.run(for: .seconds(1)) { lab.areConnected(a, b) })
        lab.run(for: .seconds(10))
        return (lab, a, b)
    }

    @Test(arguments: 0..<3) func idleSessionsCostFewChecks(seed: UInt64) {
        let (lab, a, b) = connected(seed: seed)
        let before = (a.checks.count, b.checks.count)
        lab.run(for: .seconds(600))
        #expect(lab.areConnected(a, b))
        #expect(a.states == [.checking, .connected])
        for count in [a.checks.count - before.0, b.checks.count - before.1] {
            #expect((100...160).contains(count), "seed \(seed): \(count) checks in 10 minutes")
        }
        // The controlling agent goes on nominating, the other one never does.
        #expect(a.checks.suffix(20).allSatisfy { $0.message.hasUseCandidate })
        #expect(b.checks.allSatisfy { !$0.message.hasUseCandidate })
    }

    @Test(arguments: 0..<5) func deadPath(seed: UInt64) throws {
        let (lab, a, b) = connected(seed: seed)
        let cut = lab.now
        lab.isCut = { _, _ in true }
        lab.run(for: .seconds(60))
        for node in [a, b] {
            #expect(node.states == [.checking, .connected, .disconnected, .failed], "seed \(seed)")
            let disconnected = try #require(node.time(of: .disconnected)) - cut
            #expect(disconnected > .zero && disconnected <= .milliseconds(6010), "seed \(seed): \(disconnected)")
            let failed = try #require(node.time(of: .failed)) - cut
            // 30 s after the last answer, which came up to one interval before the cut.
            #expect(failed > .seconds(23) && failed <= .seconds(30), "seed \(seed): \(failed)")
            let after = node.sent.filter { $0.at > cut + failed }
            #expect(after.isEmpty, "seed \(seed)")
            let address = node.agent.sendAddress
            #expect(address == nil)
            // Checked twice a second in between.
            let checks = node.checks.filter { $0.at > cut + disconnected }.count
            #expect((30...60).contains(checks), "seed \(seed): \(checks)")
        }
        // Consent is not given back by the path alone, only by a restart.
        lab.isCut = { _, _ in false }
        lab.run(for: .seconds(10))
        let state = a.agent.state
        #expect(state == .failed)
        a.agent.restart(now: lab.now)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        #expect(lab.run(for: .seconds(1)) { lab.areConnected(a, b) })
    }

    @Test(arguments: [1.0, 3, 5.5, 7, 12, 20, 22], 0..<4) func healedPath(_ seconds: Double, seed: UInt64) {
        let (lab, a, b) = connected(seed: seed)
        lab.isCut = { _, _ in true }
        lab.run(for: .milliseconds(Int(seconds * 1000)))
        let addresses = (a.agent.sendAddress, b.agent.sendAddress)
        #expect(addresses.0 != nil && addresses.1 != nil, "consent holds, so data may be tried")
        lab.isCut = { _, _ in false }
        let healed = lab.now
        #expect(
            lab.run(for: .seconds(5)) {
                lab.areConnected(a, b) && a.agent.generations[0].pairs[0].lastAnswer ?? .zero > healed
            })
        #expect(
            lab.now - healed <= (seconds < 4 ? .seconds(5) : .milliseconds(600)), "seed \(seed): \(lab.now - healed)")
        lab.run(for: .seconds(60))
        #expect(lab.areConnected(a, b))
        if seconds > 6 {
            for node in [a, b] { #expect(node.states == [.checking, .connected, .disconnected, .connected]) }
        } else if seconds < 2 {
            for node in [a, b] { #expect(node.states == [.checking, .connected]) }
        }
    }

    @Test func oneWayPathIsNoticed() throws {
        let (lab, a, b) = connected()
        let cut = lab.now
        lab.isCut = { node, _ in node.name == "a" }
        // b's data keeps coming to a; a's checks are never answered.
        for _ in 0..<200 {
            lab.run(for: .milliseconds(100))
            lab.sendData(b)
        }
        let noticed = try #require(a.time(of: .disconnected)) - cut
        #expect(noticed < .seconds(13), "\(noticed)")
        lab.isCut = { _, _ in false }
        #expect(lab.run(for: .milliseconds(600)) { lab.areConnected(a, b) })
    }

    @Test func dataKeepsThePathAliveButNotConsent() throws {
        let (lab, a, b) = connected()
        let start = lab.now
        // Only data passes: both see traffic, neither gets an answer.
        var passing = false
        lab.isCut = { _, _ in !passing }
        for _ in 0..<400 {
            passing = true
            lab.sendData(a)
            lab.sendData(b)
            passing = false
            lab.run(for: .milliseconds(100))
        }
        let failed = try #require(a.time(of: .failed)) - start
        #expect(failed <= .seconds(30))
    }

    @Test(arguments: 0..<6) func spareTakesOver(seed: UInt64) throws {
        // b has two addresses; the better one dies.
        let (lab, a, b) = Lab.pair(
            seed: seed,
            addresses: (["192.0.2.1:1000", "[2001:db8::1]:1000"], ["192.0.2.2:2000", "[2001:db8::2]:2000"]))
        lab.run(for: .seconds(40))
        #expect(a.agent.sendAddress == b.addresses[1])
        #expect(a.agent.generations[0].pairs.filter(\.isValid).count == 2)
        let cut = lab.now
        lab.isCut = { _, destination in destination.address.isIPv6 }
        #expect(
            lab.run(for: .seconds(10)) {
                a.agent.sendAddress == b.addresses[0] && b.agent.sendAddress == a.addresses[0]
            }, "seed \(seed)")
        #expect(lab.now - cut < .milliseconds(5700), "seed \(seed): \(lab.now - cut)")
        lab.run(for: .seconds(90))
        #expect(lab.areConnected(a, b))
        let nominated = a.agent.generations[0].nominated?.remote
        #expect(nominated == b.addresses[0], "seed \(seed)")
        #expect(a.states == [.checking, .connected] && b.states == [.checking, .connected], "seed \(seed)")
    }

    @Test(arguments: [NATKind.fullCone, .portRestricted, .symmetric], 0..<3)
    func natThatReboots(_ kind: NATKind, seed: UInt64) {
        for role in [ICEAgent.Role.controlling, .controlled] {
            let lab = Lab(seed: seed)
            lab.latency = .milliseconds(15)
            let a = lab.add("a", ["10.0.0.1:1000"], role: role, nat: kind)
            let b = lab.add("b", ["192.0.2.2:2000"], role: role == .controlling ? .controlled : .controlling)
            lab.gather(a)
            lab.gather(b)
            lab.describe(a, to: b)
            lab.describe(b, to: a)
            #expect(lab.run(for: .seconds(5)) { lab.areConnected(a, b) })
            lab.run(for: .seconds(10))
            let before = b.agent.sendAddress
            a.nat?.reboot()
            let rebooted = lab.now
            var elapsed = Duration.zero
            while b.agent.sendAddress == before, elapsed < .seconds(20) {
                lab.sendData(a)
                lab.sendData(b)
                lab.run(for: .milliseconds(50))
                elapsed = lab.now - rebooted
            }
            #expect(elapsed < .seconds(8), "seed \(seed) \(role): \(elapsed)")
            lab.run(for: .seconds(30))
            #expect(lab.areConnected(a, b), "seed \(seed) \(role)")
        }
    }

    @Test(arguments: [true, false], 0..<4) func restartKeepsDataFlowing(byControlling: Bool, seed: UInt64) throws {
        let (lab, a, b) = connected(seed: seed)
        lab.latency = .milliseconds(10)
        let (first, second) = byControlling ? (a, b) : (b, a)
        let old = (first.agent.localCredentials, second.agent.localCredentials)
        first.agent.restart(now: lab.now)
        #expect(first.agent.localCredentials != old.0)
        lab.run(for: .seconds(20))  // the offer is slow
        #expect(lab.areConnected(a, b), "the old pair goes on")
        lab.describe(first, to: second)
        #expect(second.agent.localCredentials != old.1, "a restart by the peer makes new credentials")
        let answered = lab.now
        lab.run(for: .milliseconds(200))
        lab.describe(second, to: first)
        lab.run(for: .seconds(1))
        #expect(lab.areConnected(a, b))
        for node in [a, b] {
            #expect(node.states == [.checking, .connected], "nobody noticed")
            #expect(node.agent.generations.count == 1)
            #expect(node.agent.localUfrags.count == 2)
        }
        // Both old ufrags are known for another 30 s.
        for (node, ufrag) in [(first, old.0.ufrag), (second, old.1.ufrag)] {
            #expect(node.agent.accepts(ufrag: ufrag) == true)
        }
        lab.run(for: .seconds(28) - (lab.now - answered))
        for (node, ufrag) in [(first, old.0.ufrag), (second, old.1.ufrag)] {
            #expect(node.agent.accepts(ufrag: ufrag) == true)
        }
        lab.run(for: .seconds(5))
        for (node, ufrag) in [(first, old.0.ufrag), (second, old.1.ufrag)] {
            #expect(node.agent.accepts(ufrag: ufrag) == false)
        }
        lab.run(for: .seconds(60))
        #expect(lab.areConnected(a, b))
    }

    @Test func bothRestartAtOnce() {
        let (lab, a, b) = connected()
        a.agent.restart(now: lab.now)
        b.agent.restart(now: lab.now)
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        lab.run(for: .seconds(2))
        #expect(lab.areConnected(a, b))
        #expect(a.agent.generations.count == 1 && b.agent.generations.count == 1)
        let (local, remote) = (a.agent.localCredentials, b.agent.remoteCredentials)
        #expect(local == remote)
    }

    @Test func manyRestartsStayBounded() {
        let (lab, a, b) = connected()
        for _ in 0..<50 {
            a.agent.restart(now: lab.now)
            lab.run(for: .milliseconds(10))
            #expect(a.agent.generations.count <= 2)
            #expect(a.agent.localUfrags.count <= 6)
        }
        #expect(lab.areConnected(a, b))
        lab.describe(a, to: b)
        lab.describe(b, to: a)
        lab.run(for: .seconds(2))
        #expect(lab.areConnected(a, b))
        #expect(a.agent.generations.count == 1)
    }

    @Test func restartOntoAnotherPath() {
        let (lab, a, b) = connected()
        let old = b.addresses[0]
        lab.isCut = { _, destination in destination == old }
        lab.run(for: .seconds(3))
        b.addresses = [TransportAddress(.v4(0xc000_0209), port: 2000)].compactMap { $0 }
        b.agent.localCandidates = []
        b.agent.restart(now: lab.now)
        lab.gather(b)
        lab.describe(b, to: a)
        lab.describe(a, to: b)
        #expect(lab.run(for: .seconds(1)) { a.agent.sendAddress == b.addresses[0] })
        #expect(lab.areConnected(a, b))
    }

    @Test func failureNeedsPatience() throws {
        // Nothing is known of the peer's address and nothing comes.
        func run(_ prepare: (Lab, Node) -> Void) throws -> (Instant, Lab, Node) {
            let lab = Lab(seed: 1)
            let a = lab.add("a", ["192.0.2.1:1000"], role: .controlling)
            let b = lab.add("b", ["192.0.2.2:2000"], role: .controlled)
            lab.gather(a)
            lab.run(for: .seconds(100))
            let state = a.agent.state
            #expect(state == .new, "waiting for an answer is no failure")
            lab.describe(b, to: a)
            prepare(lab, a)
            let start = lab.now
            lab.run(for: .seconds(100))
            return (.zero + (try #require(a.time(of: .failed)) - start), lab, a)
        }
        #expect(try run { _, _ in }.0 == .zero + .milliseconds(39_500))
        #expect(try run { $1.agent.endOfRemoteCandidates(now: $0.now) }.0 == .zero + .milliseconds(39_500))
        let ended = try run {
            $1.agent.endOfRemoteCandidates(now: $0.now)
            $1.agent.endOfLocalCandidates(now: $0.now)
        }
        #expect(ended.0 == .zero + .seconds(10))
        // A dead candidate gets its whole round, and a candidate that comes at the last moment as well.
        let dead = try run {
            $1.agent.endOfLocalCandidates(now: $0.now)
            $1.agent.addRemoteCandidate(.host(TransportAddress(.v4(0xc000_02f0), port: 9)), now: $0.now)
            $1.agent.endOfRemoteCandidates(now: $0.now)
        }
        #expect(dead.0 == .zero + .milliseconds(11_750))
        let late = try run {
            $0.run(for: .seconds(39))
            $1.agent.addRemoteCandidate(.host(TransportAddress(.v4(0xc000_02f0), port: 9)), now: $0.now)
        }
        #expect(late.0 == .zero + .milliseconds(11_750))
        // A check by the peer finds the agent even then: it never had consent to lose.
        let (_, lab, a) = ended
        let b = lab.nodes[1]
        lab.gather(b)
        lab.describe(a, to: b)
        #expect(lab.run(for: .seconds(1)) { lab.areConnected(a, b) })
    }

    @Test func closedAgentIsSilent() {
        let (lab, a, b) = connected()
        a.agent.close()
        lab.drain()
        #expect(a.states.last == .closed)
        let before = a.sent.count
        lab.run(for: .seconds(60))
        #expect(a.sent.count == before)
        #expect(a.agent.nextTimeout == nil && a.agent.sendAddress == nil)
        a.agent.restart(now: lab.now)
        a.agent.setRemote(credentials: b.agent.localCredentials, isLite: false, now: lab.now)
        a.agent.handleTimeout(now: lab.now)
        lab.drain()
        #expect(a.sent.count == before)
        let state = b.agent.state
        #expect(state == .failed)
    }
}
