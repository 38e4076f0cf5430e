import Crypto
import Magnet
import SEA
import SwarmBase
import Testing

@testable import SwarmEngine

/// One member's keys.
private struct Keys {
    let identity: Identity
    let session = SessionKeyPair()
    var id: PeerID { identity.peerID }

    init() {
        var entropy = Entropy.system
        identity = Identity(SEAPair.generate(using: &entropy))
    }
}

private let hash = Array(0..<20).map { UInt8($0) }

private func topic(secret: String? = nil) throws -> Topic {
    Topic(infoHash: try #require(InfoHash(bytes: hash)), secret: secret)
}

@Suite struct TopicTests {
    @Test func derivationsAreThoseOfTheProtocol() throws {
        // Known answers, computed once by an independent program from docs/protocol.md.
        let topic = try topic()
        #expect(topic.id.hexadecimal == "870a9b605a9d179c131ad4e0497098e2")
        #expect(topic.presenceSoul(day: 20_000) == "swarm/w7XflBibVRUUcifoBY_hrg")
        #expect(Topic(name: "lobby").infoHash.bytes.hexadecimal == "99ffd851b6e7d4b6c975d013552c3b811ba0971c")
        #expect(
            try SwarmEngineTests.topic(secret: "correct horse").id.hexadecimal == "3aa6914d955be4f4ca56261dd8cecc02")
        let lobby = Topic(name: "lobby", secret: "correct horse")
        #expect(lobby.infoHash.bytes.hexadecimal == "f07c1425ab05a889c3c5a29566245b8b9b28c140")
    }

    @Test func aSecretMakesAnotherSwarm() throws {
        let open = try topic()
        let closed = try topic(secret: "correct horse")
        let again = try topic(secret: "correct horse")
        #expect(closed.id == again.id)
        #expect(closed.id != open.id)
        let sealed = try closed.seal([1, 2, 3], as: "presence")
        #expect(try again.open(sealed, as: "presence") == [1, 2, 3])
        #expect(throws: Refusal.notForUs) { try open.open(sealed, as: "presence") }
        #expect(throws: Refusal.notForUs) { try closed.open(sealed, as: "open offer") }
        #expect(Topic(name: "a", secret: "b").infoHash != Topic(name: "a").infoHash)
    }
}

@Suite struct PresenceRecordTests {
    @Test func opensForMembersOnly() throws {
        let keys = Keys()
        let topic = try topic()
        let record = PresenceRecord(
            peer: keys.id, sessionKey: keys.session.publicKey, timestamp: 5, isLeaving: true, name: "Ünal")
        let sealed = try record.sealed(by: keys.identity, topic: topic)
        #expect(try PresenceRecord(opening: sealed, topic: topic) == record)
        #expect(throws: Refusal.notForUs) {
            try PresenceRecord(opening: sealed, topic: Topic(name: "other"))
        }
    }

    @Test func aForgedRecordIsRefused() throws {
        let (mallory, alice) = (Keys(), Keys())
        let topic = try topic()
        // Mallory knows the topic, and signs a record that bears Alice's name.
        let record = PresenceRecord(
            peer: alice.id, sessionKey: mallory.session.publicKey, timestamp: 5, isLeaving: false, name: "Alice")
        let sealed = try record.sealed(by: mallory.identity, topic: topic)
        #expect(throws: Refusal.forged) { try PresenceRecord(opening: sealed, topic: topic) }
        // Nor does a record of another swarm count here, sealed anew by somebody who is in both.
        let elsewhere = Topic(name: "other")
        let genuine = PresenceRecord(
            peer: alice.id, sessionKey: alice.session.publicKey, timestamp: 5, isLeaving: false, name: "Alice")
        let moved = try elsewhere.open(genuine.sealed(by: alice.identity, topic: elsewhere), as: "presence")
        #expect(throws: Refusal.forged) { try PresenceRecord(opening: topic.seal(moved, as: "presence"), topic: topic) }
    }

    @Test func anyChangedByteIsRefused() throws {
        let keys = Keys()
        let topic = try topic()
        let sealed = try PresenceRecord(
            peer: keys.id, sessionKey: keys.session.publicKey, timestamp: 5, isLeaving: false, name: "x"
        ).sealed(by: keys.identity, topic: topic)
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(throws: Refusal.notForUs) { try PresenceRecord(opening: changed, topic: topic) }
            #expect(throws: (any Error).self) { try PresenceRecord(opening: Array(sealed[..<index]), topic: topic) }
        }
    }
}

@Suite struct SignalTests {
    private func signal(from: Keys, to: PeerID?, _ content: Signal.Content) -> Signal {
        Signal(
            sender: from.id, recipient: to, timestamp: 1, id: 2, connection: ConnectionID(value: 3), attempt: 4,
            content: content)
    }

    @Test(arguments: [
        Signal.Content.offer(sdp: "v=0\r\n"), .answer(sdp: "v=0"),
        .candidates(ufrag: "abc", ["candidate:1", "candidate:2"]),
        .candidates(ufrag: "abc", []), .restartRequest,
    ])
    func opensForItsRecipientOnly(content: Signal.Content) throws {
        let (alice, bob, eve) = (Keys(), Keys(), Keys())
        let topic = try topic()
        let original = signal(from: alice, to: bob.id, content)
        let sealed = try original.sealed(by: alice.identity, to: bob.session.publicKey, topic: topic)
        #expect(try Signal(opening: sealed, with: bob.session, topic: topic) == original)
        #expect(throws: Refusal.notForUs) { try Signal(opening: sealed, with: eve.session, topic: topic) }
        #expect(throws: Refusal.notForUs) {
            try Signal(opening: sealed, with: bob.session, topic: Topic(name: "other"))
        }
    }

    @Test func aForgedSenderIsRefused() throws {
        let (alice, bob, eve) = (Keys(), Keys(), Keys())
        let topic = try topic()
        let forged = signal(from: alice, to: bob.id, .restartRequest)
        let sealed = try forged.sealed(by: eve.identity, to: bob.session.publicKey, topic: topic)
        #expect(throws: Refusal.forged) { try Signal(opening: sealed, with: bob.session, topic: topic) }
    }

    @Test func openOffersOpenForMembers() throws {
        let alice = Keys()
        let topic = try topic()
        let offer = signal(from: alice, to: nil, .offer(sdp: "v=0"))
        let sealed = try offer.sealed(by: alice.identity, topic: topic)
        #expect(try Signal(openingForAnyone: sealed, topic: topic) == offer)
        #expect(throws: Refusal.notForUs) { try Signal(openingForAnyone: sealed, topic: Topic(name: "other")) }
    }

    @Test func seenSignalsAreBounded() {
        var seen = SeenSignals()
        #expect(seen.insert(1, plane: .gun, now: .zero) == .new)
        #expect(seen.insert(1, plane: .tracker, now: .zero) == .copy)
        #expect(seen.insert(1, plane: .gun, now: .zero) == .replayed)
        #expect(seen.insert(1, plane: .gun, now: .zero + .seconds(301)) == .new)
        for id in UInt64(10)..<20_000 { _ = seen.insert(id, plane: .gun, now: .zero + .seconds(302)) }
        #expect(seen.insert(19_999, plane: .gun, now: .zero + .seconds(302)) == .replayed)
        #expect(seen.insert(10, plane: .gun, now: .zero + .seconds(302)) == .new, "the oldest made room")
    }
}

@Suite struct EnvelopeCipherTests {
    private func pair(_ alice: Keys, _ bob: Keys) throws -> (EnvelopeCipher, EnvelopeCipher) {
        let topic = try topic()
        return (
            EnvelopeCipher(
                try EnvelopeKeys(
                    own: alice.session, peer: bob.session.publicKey,
                    parties: SessionParties(own: alice.id, peer: bob.id, topic: topic))),
            EnvelopeCipher(
                try EnvelopeKeys(
                    own: bob.session, peer: alice.session.publicKey,
                    parties: SessionParties(own: bob.id, peer: alice.id, topic: topic)))
        )
    }

    @Test func bothWaysInAnyOrderEachOnce() throws {
        var (alice, bob) = try pair(Keys(), Keys())
        let first = try alice.seal([1])
        let second = try alice.seal([2])
        #expect(try bob.open(second) == [2])
        #expect(try bob.open(first) == [1])
        #expect(throws: Refusal.replayed) { try bob.open(first) }
        #expect(throws: Refusal.replayed) { try bob.open(second) }
        let answer = try bob.seal([3])
        #expect(try alice.open(answer) == [3])
        #expect(throws: Refusal.notForUs) { try bob.open(answer) }
    }

    @Test func changedEnvelopesAreRefused() throws {
        var (alice, bob) = try pair(Keys(), Keys())
        let envelope = try alice.seal(Array("hello".utf8))
        for index in envelope.indices {
            var changed = envelope
            changed[index] ^= 0x40
            #expect(throws: Refusal.self) { try bob.open(changed) }
        }
        #expect(try bob.open(envelope) == Array("hello".utf8), "forgeries took nothing from the window")
    }

    @Test func aThirdMemberOpensNothing() throws {
        let (a, b, c) = (Keys(), Keys(), Keys())
        var (alice, _) = try pair(a, b)
        var (_, carol) = try pair(a, c)
        #expect(throws: Refusal.notForUs) { try carol.open(try alice.seal([1])) }
    }

    /// The counter is the peer's word: the highest there is must not overflow anything.
    @Test func theReplayWindowEndsWithTheNumbers() {
        var window = ReplayWindow()
        window.note(.max)
        #expect(window.isNew(.max) == false)
        #expect(window.isNew(.max - 5) == true)
        window.note(.max - 5)
        #expect(window.isNew(.max - 5) == false)
        #expect(window.isNew(.max - 1024) == false)
    }

    @Test func theReplayWindowSlides() {
        var window = ReplayWindow()
        var random = Entropy.seed(3)
        var seen: Set<UInt64> = []
        var highest: UInt64 = 0
        for _ in 0..<20_000 {
            let base = highest > 1500 ? highest - 1500 : 0
            let counter = UInt64.random(
                in: base...(highest + UInt64.random(in: 1...90, using: &random)), using: &random)
            let expected = !seen.contains(counter) && (seen.isEmpty || counter + 1024 > highest)
            #expect(window.isNew(counter) == expected)
            if window.isNew(counter) {
                window.note(counter)
                seen.insert(counter)
                highest = max(highest, counter)
            }
        }
    }
}
