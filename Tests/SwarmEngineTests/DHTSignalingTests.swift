import Crypto
import DHT
import SEA
import SwarmBase
import Testing

@testable import SwarmEngine

/// Members that find each other through the DHT alone: no relay, no tracker, no STUN server.
@Suite struct DHTSignalingTests {
    private func strangers(seed: UInt64) throws -> (VirtualSwarm, VirtualSwarm.Node, VirtualSwarm.Node) {
        let swarm = VirtualSwarm(seed: seed) {
            $0.usesDHT = true
            $0.isDurable = true
        }
        swarm.startDHT(count: 10)
        let alice = try swarm.addNode(name: "alice", planes: [])
        let bob = try swarm.addNode(name: "bob", planes: [])
        for node in [alice, bob] { swarm.act(node) { $0.addDHTBootstrap(swarm.dhtAddress(1), now: swarm.now) } }
        return (swarm, alice, bob)
    }

    @Test func theDHTIsEnough() throws {
        let (swarm, alice, bob) = try strangers(seed: 31)
        let took = swarm.run(within: .seconds(60)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(took != nil)
        #expect(alice.events.contains { $0.event == .discovered(bob.id, .dht) })
        _ = try swarm.send("hello", from: alice, to: bob)
        swarm.run(for: .seconds(1))
        #expect(bob.texts(from: alice) == ["hello"])
        // The table is kept for the next run.
        swarm.run(for: .seconds(120))
        #expect((alice.store[SwarmEngine.dhtTableKey]?.count ?? 0) > 100)
        swarm.restart(alice, planes: [])
        #expect(
            swarm.run(within: .seconds(60)) { alice.path(to: bob) == .direct } != nil,
            "without any address to begin with")
    }

    /// When nobody can be said hello to, presence is read in slots and signals are left in mailboxes.
    @Test func mailboxesCarrySignals() throws {
        for seed in UInt64(40)..<43 {
            let (swarm, alice, bob) = try strangers(seed: seed)
            swarm.vanishes = { $0.first == 0x53 }
            let took = swarm.run(within: .seconds(120)) {
                alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
            }
            #expect(took != nil, "seed \(seed)")
            print("seed \(seed): a direct path by mailbox after \(took.map { $0.milliseconds / 1000 } ?? .nan) s")
            _ = try swarm.send("hello", from: alice, to: bob)
            swarm.run(for: .seconds(1))
            #expect(bob.texts(from: alice) == ["hello"])
        }
    }

    /// Who leaves takes its record out of the DHT: those who come later do not look for it. Who vanishes is believed to be there.
    @Test(arguments: [false, true]) func whoLeavesIsNotBelievedToBeThere(vanishes: Bool) throws {
        let (swarm, alice, bob) = try strangers(seed: 51)
        // So that records are read in slots only.
        swarm.vanishes = { $0.first == 0x53 }
        let met = swarm.run(within: .seconds(120)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(met != nil)
        swarm.run(for: .seconds(60))
        if !vanishes {
            swarm.act(bob) { $0.withdraw(now: swarm.now) }
            let isWithdrawing = bob.engine.isWithdrawing
            #expect(isWithdrawing)
            let took = swarm.run(within: .seconds(5)) { !bob.engine.isWithdrawing }
            #expect(took != nil, "within the time that leaving has")
            swarm.act(bob) { $0.leave(now: swarm.now) }
            swarm.run(for: .seconds(1))
        }
        swarm.crash(bob)
        swarm.crash(alice)
        let carol = try swarm.addNode(name: "carol", planes: [])
        swarm.act(carol) { $0.addDHTBootstrap(swarm.dhtAddress(1), now: swarm.now) }
        swarm.run(for: .seconds(90))
        #expect(carol.events.contains { $0.event == .discovered(alice.id, .dht) })
        #expect(carol.events.contains { $0.event == .discovered(bob.id, .dht) } == vanishes)
    }

    /// The plane says for itself how it goes, and what its nodes say of our address.
    @Test func itsStateIsTold() throws {
        let (swarm, alice, _) = try strangers(seed: 52)
        func state() -> PlaneStatus? { alice.engine.planes.first { $0.kind == .dht } }
        #expect(state()?.state == .trying)
        swarm.run(for: .seconds(30))
        let status = try #require(state())
        #expect(status.name == "IPv4" && status.state == .working && status.latency != nil)
        swarm.isDHTCut = true
        swarm.run(for: .seconds(1800))
        #expect(state()?.state == .trying)
    }

    @Test func mailboxKeysAreTheSameAtBothEnds() throws {
        var entropy = Entropy.system
        let (a, b) = (Identity(SEAPair.generate(using: &entropy)), Identity(SEAPair.generate(using: &entropy)))
        let (ours, theirs) = (SessionKeyPair(), SessionKeyPair())
        let topic = Topic(name: "test")
        let one = try MailboxKeys(own: ours, ownID: a.peerID, peer: theirs.publicKey, peerID: b.peerID, topic: topic)
        let other = try MailboxKeys(own: theirs, ownID: b.peerID, peer: ours.publicKey, peerID: a.peerID, topic: topic)
        #expect(one.outgoing.publicKey == other.incoming.publicKey)
        #expect(one.incoming.publicKey == other.outgoing.publicKey)
        #expect(one.outgoing.publicKey != one.incoming.publicKey)
        let elsewhere = try MailboxKeys(
            own: ours, ownID: a.peerID, peer: theirs.publicKey, peerID: b.peerID, topic: Topic(name: "elsewhere"))
        #expect(elsewhere.outgoing.publicKey != one.outgoing.publicKey)
        // What is left out when there is no room is the oldest; a stranger's key opens nothing.
        let signal = Signal(
            sender: a.peerID, recipient: b.peerID, timestamp: 1, id: 7, connection: ConnectionID(value: 1), attempt: 1,
            content: .candidates(ufrag: "abcd", [String(repeating: "x", count: 300)]))
        let letters = try (UInt64(1)...5).map { id in
            var signal = signal
            signal.id = id
            return try #require(Letter(signal))
        }
        let sealed = try #require(Letter.sealed(letters, with: one.outgoing.seal))
        #expect(sealed.count + 4 <= DHTItem.largestValue)
        let opened = try Letter.opened(sealed, with: other.incoming.seal)
        #expect(opened.map(\.id) == [4, 5])
        #expect(opened.last?.signal(from: a.peerID, to: b.peerID)?.content == signal.content)
        #expect(throws: Refusal.notForUs) { try Letter.opened(sealed, with: elsewhere.incoming.seal) }
    }
}
