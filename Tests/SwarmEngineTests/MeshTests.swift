import SwarmBase
import Testing

@testable import SwarmEngine

/// Two who do not reach each other, and a third who reaches both.
@Suite struct MeshTests {
    private func threeOfWhomTwoAreApart(
        seed: UInt64, configure: @escaping (inout SwarmEngineConfiguration) -> Void = { _ in }
    ) throws -> (swarm: VirtualSwarm, alice: VirtualSwarm.Node, bob: VirtualSwarm.Node, carol: VirtualSwarm.Node) {
        let swarm = VirtualSwarm(seed: seed, configure: configure)
        swarm.cutPairs = [[0, 1]]
        let nodes = try ["alice", "bob", "carol"].map { try swarm.addNode(name: $0, planes: [.gun]) }
        let (alice, bob, carol) = (nodes[0], nodes[1], nodes[2])
        let met = swarm.run(within: .seconds(5)) {
            [alice, bob].allSatisfy { $0.path(to: carol) == .direct && carol.path(to: $0) == .direct }
        }
        #expect(met != nil)
        swarm.run(for: .seconds(2))
        return (swarm, alice, bob, carol)
    }

    @Test func theyTalkThroughItWhenNoRelayIsAlive() throws {
        let (swarm, alice, bob, carol) = try threeOfWhomTwoAreApart(seed: 1)
        #expect(alice.path(to: bob) == .relay)
        swarm.killRelay()
        _ = try swarm.send("one", from: alice, to: bob)
        _ = try swarm.send("two", from: bob, to: alice)
        let took = swarm.run(within: .seconds(5)) {
            alice.delivered(to: bob) == [1] && bob.delivered(to: alice) == [1]
        }
        #expect(try #require(took) < .seconds(1))
        #expect(bob.texts(from: alice) == ["one"] && alice.texts(from: bob) == ["two"])
        #expect(alice.path(to: bob) == .mesh && bob.path(to: alice) == .mesh)
        #expect(carol.texts(from: alice).isEmpty && carol.texts(from: bob).isEmpty)
        // Longer than a presence record is good for: the third brings new ones.
        swarm.run(for: .seconds(300))
        let long = String(repeating: "x", count: 200_000)
        _ = try swarm.send(long, from: alice, to: bob)
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == ["one", long])
        #expect(alice.path(to: bob) == .mesh)
    }

    /// Neither a relay nor a tracker brings the two together: the third does, whom both have met before.
    @Test func theyMeetThroughIt() throws {
        let swarm = VirtualSwarm(seed: 2)
        let alice = try swarm.addNode(name: "alice", planes: [.gun])
        let carol = try swarm.addNode(name: "carol")
        #expect(
            swarm.run(within: .seconds(5)) { carol.path(to: alice) == .direct && alice.path(to: carol) == .direct }
                != nil)
        swarm.killRelay()
        let bob = try swarm.addNode(name: "bob", planes: [.tracker])
        #expect(swarm.run(within: .seconds(60)) { bob.path(to: carol) == .direct } != nil)
        let took = swarm.run(within: .seconds(10)) {
            alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
        }
        #expect(try #require(took) < .seconds(5))
        #expect(alice.events.contains { $0.event == .discovered(bob.id, .mesh) })
    }

    @Test func theyConnectDirectlyWhenTheyCanAgain() throws {
        let (swarm, alice, bob, _) = try threeOfWhomTwoAreApart(seed: 3)
        swarm.killRelay()
        swarm.run(for: .seconds(10))
        #expect(alice.path(to: bob) == .mesh)
        swarm.cutPairs = []
        let took = swarm.run(within: .seconds(90)) {
            alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
        }
        #expect(try #require(took) < .seconds(45))
    }

    @Test func whoDoesNotWantToForwardDoesNot() throws {
        let (swarm, alice, bob, _) = try threeOfWhomTwoAreApart(seed: 4) { $0.mesh.forwards = false }
        swarm.killRelay()
        _ = try swarm.send("never", from: alice, to: bob)
        swarm.run(for: .seconds(10))
        #expect(bob.texts(from: alice).isEmpty)
        #expect(alice.path(to: bob) == nil || alice.path(to: bob) == .relay)
    }

    @Test func theThirdDiesAndAnotherTakesOver() throws {
        let (swarm, alice, bob, carol) = try threeOfWhomTwoAreApart(seed: 5)
        let dave = try swarm.addNode(name: "dave", planes: [.gun])
        #expect(swarm.run(within: .seconds(5)) { [alice, bob].allSatisfy { $0.path(to: dave) == .direct } } != nil)
        swarm.run(for: .seconds(2))
        swarm.killRelay()
        swarm.run(for: .seconds(2))
        swarm.crash(carol)
        _ = try swarm.send("on", from: alice, to: bob)
        _ = try swarm.send("and on", from: bob, to: alice)
        let took = swarm.run(within: .seconds(20)) {
            bob.texts(from: alice) == ["on"] && alice.texts(from: bob) == ["and on"]
        }
        #expect(try #require(took) < .seconds(6))
    }

    /// Both sides of what is forwarded of one member.
    @Test func forwardingIsLimited() {
        var limits = MeshConfiguration()
        limits.bytesPerSecond = 1000
        limits.burst = 2000
        limits.overhead = 100
        var neighbour = MeshNeighbour()
        let asked: [(bytes: Int, at: Duration)] = [
            (1900, .zero), (0, .zero), (900, .seconds(1)), (1901, .seconds(100)), (1900, .seconds(100)),
        ]
        var answers: [Bool] = []
        for (bytes, at) in asked { answers.append(neighbour.mayForward(bytes, limits, now: .zero + at)) }
        // All that is saved, then nothing; what a second gives; no more than the burst, then just that.
        #expect(answers == [true, false, true, false, true])
    }

    /// A path that falls silent again and again is not gone back to each time at once.
    @Test func aFlappingPathIsTrustedEverLater() {
        var path = PathState()
        var now = Instant.zero
        path.open()
        var waits: [Duration] = []
        for _ in 0..<7 {
            now += .milliseconds(500)
            path.doubt(now: now)
            #expect(!path.isTrusted(now: now))
            path.trust(now: now)
            waits.append(path.trustedFrom.map { $0 - now } ?? .zero)
            now += waits.last ?? .zero
            #expect(path.isTrusted(now: now))
        }
        #expect(waits == [.zero] + [1, 2, 4, 8, 16, 16].map { Duration.seconds($0) })
        now += .seconds(60)
        path.doubt(now: now)
        path.trust(now: now)
        #expect(path.isTrusted(now: now), "what held for long is as good as new")
    }
}
