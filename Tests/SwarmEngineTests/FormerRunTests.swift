import SwarmBase
import Testing

@testable import SwarmEngine

/// A member whose clock was set back between two runs, whose disk is lost, and of whose former run nothing is left but what others remember:
/// they show it that.
@Suite struct FormerRunTests {
    private typealias Node = VirtualSwarm.Node

    /// Bob starts anew with an empty disk.
    private func restart(_ bob: Node, of swarm: VirtualSwarm, planes: Set<Plane>, skew: Double) {
        bob.store = [:]
        swarm.restart(bob, planes: planes, skew: skew)
    }

    /// How long it takes until a message has come in each direction.
    private func talk(_ swarm: VirtualSwarm, _ alice: Node, _ bob: Node, within limit: Duration) throws -> Duration? {
        let word = "after \(swarm.now)"
        _ = try swarm.send(word, from: alice, to: bob)
        _ = try swarm.send(word, from: bob, to: alice)
        return swarm.run(within: limit) {
            bob.texts(from: alice).last == word && alice.texts(from: bob).last == word
        }
    }

    /// How far ahead of its clock a member dates its records.
    private func ahead(_ node: Node, in swarm: VirtualSwarm) -> Double {
        var ahead = 0.0
        swarm.act(node) { ahead = Double($0.lastPresenceTimestamp) - $0.wall(swarm.now) }
        return ahead
    }

    /// Alice and Carol remember Bob, whose process is gone; the relay has lost what it knew, and the two are connected with it again.
    private func whereTheRelayForgot(seed: UInt64) throws -> (VirtualSwarm, alice: Node, bob: Node, carol: Node) {
        let swarm = VirtualSwarm(seed: seed) { $0.paths = [.relay] }
        let nodes = try ["alice", "bob", "carol"].map { try swarm.addNode(name: $0, planes: [.gun]) }
        swarm.run(for: .seconds(5))
        swarm.crash(nodes[1])
        swarm.killRelay()
        swarm.startRelay()
        swarm.run(for: .seconds(1))
        let isBack = { [nodes[0], nodes[2]].allSatisfy { $0.engine.gun.isConnected } }
        #expect(swarm.run(within: .seconds(20), until: isBack) != nil)
        swarm.run(for: .seconds(1))
        return (swarm, nodes[0], nodes[1], nodes[2])
    }

    @Test(arguments: [-45_000.0, -80_000, -110_000]) func itIsShownThroughARelay(skew: Double) throws {
        let (swarm, alice, bob, carol) = try whereTheRelayForgot(seed: 1)
        restart(bob, of: swarm, planes: [.gun], skew: skew)
        #expect(try #require(try talk(swarm, alice, bob, within: .seconds(30))) < .seconds(1))
        #expect(try #require(try talk(swarm, carol, bob, within: .seconds(30))) < .seconds(1))
        #expect(ahead(bob, in: swarm) > 0)
        #expect(alice.engine.refusals[.replayed] ?? 0 > 0)
    }

    /// Beyond what clocks may be apart a record is believed by nobody, its author included.
    @Test func whatIsTooFarAheadChangesNothing() throws {
        let (swarm, _, bob, _) = try whereTheRelayForgot(seed: 2)
        restart(bob, of: swarm, planes: [.gun], skew: -150_000)
        swarm.run(for: .seconds(10))
        #expect(bob.engine.peers.isEmpty)
        #expect(ahead(bob, in: swarm) <= 0)
    }

    /// There is nothing but hellos.
    @Test func itIsShownByDatagram() throws {
        let swarm = VirtualSwarm(seed: 3)
        let alice = try swarm.addNode(name: "alice", planes: [])
        let bob = try swarm.addNode(name: "bob", planes: [])
        swarm.act(alice) { $0.seek([bob.address], plane: .lan, now: swarm.now) }
        #expect(swarm.run(within: .seconds(5)) { bob.path(to: alice) == .direct } != nil)
        swarm.run(for: .seconds(5))
        restart(bob, of: swarm, planes: [], skew: -110_000)
        swarm.act(bob) { $0.seek([alice.address], plane: .lan, now: swarm.now) }
        #expect(try talk(swarm, alice, bob, within: .seconds(3)) != nil)
        #expect(ahead(bob, in: swarm) > 0)
    }

    /// Alice and Bob reach each other through Carol alone, who has forgotten him.
    @Test func itIsShownThroughAThirdMember() throws {
        let swarm = VirtualSwarm(seed: 4)
        swarm.cutPairs = [[0, 1]]
        let nodes = try ["alice", "bob", "carol"].map { try swarm.addNode(name: $0, planes: []) }
        let (alice, bob, carol) = (nodes[0], nodes[1], nodes[2])
        func introduce() {
            swarm.act(carol) { $0.seek([alice.address, bob.address], plane: .lan, now: swarm.now) }
        }
        introduce()
        #expect(swarm.run(within: .seconds(20)) { alice.path(to: bob) == .mesh && bob.path(to: alice) == .mesh } != nil)
        swarm.run(for: .seconds(5))
        swarm.crash(bob)
        restart(carol, of: swarm, planes: [], skew: 0)
        introduce()
        #expect(swarm.run(within: .seconds(30)) { alice.path(to: carol) == .direct } != nil)
        restart(bob, of: swarm, planes: [], skew: -45_000)
        introduce()
        #expect(try talk(swarm, alice, bob, within: .seconds(20)) != nil)
        #expect(alice.path(to: bob) == .mesh && bob.path(to: alice) == .mesh)
        #expect(ahead(bob, in: swarm) > 0)
    }

    /// Through trackers alone: in place of an answer to its offer.
    @Test func itIsShownThroughATracker() throws {
        let swarm = VirtualSwarm(seed: 5)
        let alice = try swarm.addNode(name: "alice", planes: [.tracker])
        let bob = try swarm.addNode(name: "bob", planes: [.tracker])
        #expect(swarm.run(within: .seconds(60)) { bob.path(to: alice) == .direct } != nil)
        // What is known of addresses is of no use.
        swarm.vanishes = { $0.first == 0x53 }
        restart(bob, of: swarm, planes: [.tracker], skew: -110_000)
        #expect(swarm.run(within: .seconds(60)) { ahead(bob, in: swarm) > 0 } != nil)
    }

    /// Who repeats an old record of Bob's makes others show him the new one now and then, and him do nothing at all.
    @Test func replaysAreNeitherBelievedNorAmplified() throws {
        let swarm = VirtualSwarm(seed: 6) { $0.paths = [.relay] }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(5))
        let former = try #require(alice.engine.members[bob.id]?.sealedPresence)
        swarm.restart(bob)
        swarm.run(for: .seconds(12))
        let present = try #require(alice.engine.members[bob.id]?.sealedPresence)
        #expect(present.record.sessionKey != former.record.sessionKey)
        #expect(present.record.timestamp > former.record.timestamp)
        func replay(_ count: Int) -> (frames: Int, dated: UInt64) {
            let (frames, dated) = (alice.framesToRelay, bob.engine.lastPresenceTimestamp)
            for _ in 0..<count {
                swarm.act(alice) { #expect($0.takePresence(former.sealed, plane: .gun, now: swarm.now) == nil) }
            }
            swarm.run(for: .seconds(1))
            return (alice.framesToRelay - frames, bob.engine.lastPresenceTimestamp - dated)
        }
        let first = replay(100)
        #expect(first.frames == 1 && first.dated == 0)
        let second = replay(100)
        #expect(second.frames == 0 && second.dated == 0)
        swarm.run(for: .seconds(4))
        let again = replay(1)
        #expect(again.frames >= 1 && again.dated == 0)
        #expect(bob.path(to: alice) == .relay && alice.path(to: bob) == .relay)
        // Whom one does not talk with one shows nothing.
        swarm.run(for: .seconds(12))
        swarm.act(alice) { $0.block(member: bob.id, now: swarm.now) }
        swarm.run(for: .seconds(12))
        swarm.act(alice) { #expect($0.recordToShow(insteadOf: former.record, now: swarm.now) == nil) }
    }

    /// Each record of a former run counts once: shown again and again it changes nothing more.
    @Test func whatIsShownTwiceCountsOnce() throws {
        let swarm = VirtualSwarm(seed: 7) { $0.paths = [.relay] }
        let bob = try swarm.addNode(name: "bob", planes: [])
        let sealed = try PresenceRecord(
            peer: bob.id, sessionKey: SessionKeyPair().publicKey, timestamp: UInt64(swarm.wall) + 30_000,
            isLeaving: false, name: "bob"
        ).sealed(by: bob.identity, topic: swarm.topic)
        let datagram = RelayDatagram.record(sealed).bytes
        for _ in 0..<50 {
            swarm.act(bob) { $0.receive(datagram: datagram, depth: 0, by: .relay, now: swarm.now) }
            swarm.run(for: .milliseconds(100))
        }
        #expect((24_000...30_001).contains(ahead(bob, in: swarm)))
        #expect(bob.engine.lastPresenceTimestamp <= UInt64(swarm.wall) + 30_001)
    }

    @Test func aRecordAloneIsADatagram() throws {
        let datagram = RelayDatagram.record([1, 2, 3]).bytes
        #expect(datagram == [3, 0, 3, 1, 2, 3])
        guard case .record([1, 2, 3]) = try RelayDatagram(parsing: datagram) else {
            return #expect(Bool(false), "it is read as something else")
        }
        #expect(throws: Refusal.malformed) { try RelayDatagram(parsing: [3, 0, 3, 1, 2]) }
    }
}
