import JSON
import SEA
import SwarmBase
import Testing

@testable import SwarmEngine

/// Mallory knows the topic and controls the relay; she still gains nothing.
@Suite struct HostileMemberTests {
    private let topic = Topic(name: "test")
    private let mallory: Identity
    private let malloryKey = SessionKeyPair()

    init() {
        var random = Entropy.system
        mallory = Identity(SEAPair.generate(using: &random))
    }

    private func put(_ bytes: [UInt8], key: String, soul: String, id: String) -> [UInt8] {
        let node: JSONValue = .object([
            "_": ["#": .string(soul), ">": .object([JSONText(key): .number(1_794_999_000_000)])],
            JSONText(key): .string(bytes.base64URL),
        ])
        return JSONValue.object(["#": .string(id), "put": .object([JSONText(soul): node])]).serialized()
    }

    /// Puts a datagram into a member's inbox, as the relay would bring it.
    private func inject(_ datagram: RelayDatagram, _ id: String, to node: VirtualSwarm.Node, in swarm: VirtualSwarm) {
        let soul = topic.inboxSoul(of: node.id, day: Int(swarm.wall / 86_400_000))
        swarm.inject(frame: put(datagram.bytes, key: "tag/\(id)", soul: soul, id: id), to: node)
    }

    private func presence(of peer: PeerID, key: SessionPublicKey, at swarm: VirtualSwarm, signedBy: Identity) throws
        -> [UInt8]
    {
        try PresenceRecord(peer: peer, sessionKey: key, timestamp: UInt64(swarm.wall), isLeaving: false, name: "Alice")
            .sealed(by: signedBy, topic: topic)
    }

    @Test func aForgedPresenceRecordChangesNothing() throws {
        let swarm = VirtualSwarm(seed: 1)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(3))
        let forged = try presence(of: alice.id, key: malloryKey.publicKey, at: swarm, signedBy: mallory)
        let soul = topic.presenceSoul(day: Int(swarm.wall / 86_400_000))
        swarm.inject(frame: put(forged, key: "anything", soul: soul, id: "forged-1"), to: bob)
        #expect(bob.engine.refusals == [.forged: 1])
        _ = try swarm.send("still", from: bob, to: alice)
        swarm.run(for: .seconds(1))
        #expect(alice.texts(from: bob) == ["still"])
    }

    @Test func forgedSignalsAreRefused() throws {
        let swarm = VirtualSwarm(seed: 2)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(3))
        func signal(from: PeerID, to: PeerID?, at time: Double, id: UInt64) -> Signal {
            Signal(
                sender: from, recipient: to, timestamp: UInt64(time), id: id, connection: ConnectionID(value: 1),
                attempt: .max / 2, content: .offer(sdp: "v=0"))
        }
        let key = bob.engine.sessionKey.publicKey
        let stolenName = try signal(from: alice.id, to: bob.id, at: swarm.wall, id: 1).sealed(
            by: mallory, to: key, topic: topic)
        inject(.signal(stolenName), "a", to: bob, in: swarm)
        #expect(bob.engine.refusals[.forged] == 1)
        let stranger = try signal(from: mallory.peerID, to: bob.id, at: swarm.wall, id: 2).sealed(
            by: mallory, to: key, topic: topic)
        inject(.signal(stranger), "b", to: bob, in: swarm)
        #expect(bob.engine.refusals[.notForUs] == 1, "a signal counts only after its sender's presence record")
        let forAlice = try signal(from: mallory.peerID, to: alice.id, at: swarm.wall, id: 3).sealed(
            by: mallory, to: key, topic: topic)
        inject(.signal(forAlice), "c", to: bob, in: swarm)
        #expect(bob.engine.refusals[.notForUs] == 2, "sealed to Bob, but addressed to Alice")
        let old = try signal(from: mallory.peerID, to: bob.id, at: swarm.wall - 121_000, id: 4).sealed(
            by: mallory, to: key, topic: topic)
        inject(.signal(old), "d", to: bob, in: swarm)
        #expect(bob.engine.refusals[.stale] == 1)
        #expect(bob.path(to: alice) == .direct)
    }

    @Test func anEnvelopeForSomebodyElseIsRefused() throws {
        let swarm = VirtualSwarm(seed: 3) { $0.paths = [.relay] }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        let carol = try swarm.addNode(name: "carol")
        swarm.run(for: .seconds(3))
        let keys = try EnvelopeKeys(
            own: alice.engine.sessionKey, peer: bob.engine.sessionKey.publicKey,
            parties: SessionParties(own: alice.id, peer: bob.id, topic: topic))
        var toBob = EnvelopeCipher(keys)
        let envelope = try toBob.seal(Session.byePacket())
        inject(.envelope(envelope), "a", to: carol, in: swarm)
        #expect(carol.engine.refusals == [.notForUs: 1])
        #expect(carol.path(to: alice) == .relay)
        var changed = envelope
        changed[changed.count - 1] ^= 1
        inject(.envelope(changed), "b", to: bob, in: swarm)
        #expect(bob.engine.refusals.values.reduce(0, +) == 1)
        #expect(bob.path(to: alice) == .relay)
    }

    @Test func garbageInTheInboxIsCountedAndBounded() throws {
        let swarm = VirtualSwarm(seed: 4)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(3))
        let soul = topic.inboxSoul(of: bob.id, day: Int(swarm.wall / 86_400_000))
        var random = Entropy.seed(4)
        for number in 0..<300 {
            var bytes = random.bytes(Int.random(in: 0...200, using: &random))
            if !bytes.isEmpty { bytes[0] = UInt8.random(in: 0...4, using: &random) }
            swarm.inject(frame: put(bytes, key: "k\(number)", soul: soul, id: "g\(number)"), to: bob)
        }
        #expect(bob.engine.refusals.values.reduce(0, +) == 300)
        #expect(bob.engine.members.count == 1)
        #expect(bob.path(to: alice) == .direct)
    }

    /// Strangers who know the topic may announce as many identities as they like.
    @Test func membersAreBounded() throws {
        let swarm = VirtualSwarm(seed: 5) { $0.mostMembers = 8 }
        let bob = try swarm.addNode(name: "bob")
        let soul = topic.presenceSoul(day: Int(swarm.wall / 86_400_000))
        var random = Entropy.system
        for number in 0..<20 {
            let identity = Identity(SEAPair.generate(using: &random))
            let record = try presence(
                of: identity.peerID, key: SessionKeyPair().publicKey, at: swarm, signedBy: identity)
            swarm.inject(frame: put(record, key: "k\(number)", soul: soul, id: "m\(number)"), to: bob)
        }
        #expect(bob.engine.members.count <= 8)
    }
}
