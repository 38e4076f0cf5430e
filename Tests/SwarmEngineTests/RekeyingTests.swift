import Crypto
import Magnet
import SEA
import SwarmBase
import Testing

@testable import SwarmEngine

/// The keys of a session: exchanges, losses, and what is left of former epochs.
@Suite struct SessionCipherTests {
    /// Both ends of one session, and what they say to each other.
    private struct Pair {
        var lower: SessionCipher
        var higher: SessionCipher
        var now = Instant.zero
        /// Frames that are lost on the way, by the number of the frame.
        var loses: (Int) -> Bool = { _ in false }
        var said = 0

        init(_ configuration: RekeyingConfiguration = RekeyingConfiguration()) throws {
            var random = Entropy.system
            let members = (0..<2).map { _ in (Identity(SEAPair.generate(using: &random)), SessionKeyPair()) }
                .sorted { $0.0.peerID < $1.0.peerID }
            let topic = Topic(infoHash: try #require(InfoHash(bytes: [UInt8](repeating: 7, count: 20))))
            func cipher(_ own: Int) throws -> SessionCipher {
                let (identity, session) = members[own]
                let (other, key) = members[1 - own]
                return try SessionCipher(
                    own: session, peer: key.publicKey,
                    parties: SessionParties(own: identity.peerID, peer: other.peerID, topic: topic),
                    identity: identity, configuration: configuration, now: .zero)
            }
            lower = try cipher(0)
            higher = try cipher(1)
        }

        /// Brings what they say to the other, until nobody says more.
        mutating func talk() throws {
            while true {
                if let frame = lower.pollFrame() {
                    said += 1
                    if !loses(said) { try higher.receive(frame, now: now) }
                } else if let frame = higher.pollFrame() {
                    said += 1
                    if !loses(said) { try lower.receive(frame, now: now) }
                } else {
                    return
                }
            }
        }

        mutating func wait(_ duration: Duration) throws {
            let end = now + duration
            while let next = [lower.nextTimeout, higher.nextTimeout].compactMap(\.self).min(), next <= end {
                now = max(now, next)
                lower.handleTimeout(now: now)
                higher.handleTimeout(now: now)
                try talk()
            }
            now = end
        }

        /// Whether both directions work.
        mutating func check(_ text: String = "hello") throws {
            let bytes = Array(text.utf8)
            #expect(try higher.open(try lower.seal(bytes), now: now) == bytes)
            #expect(try lower.open(try higher.seal(bytes), now: now) == bytes)
        }
    }

    @Test func anExchangeBringsBothToTheNextEpoch() throws {
        var pair = try Pair()
        try pair.check()
        let before = pair.lower.peerKeyIDs
        pair.lower.begin(now: pair.now)
        try pair.talk()
        #expect(pair.lower.epoch == 1)
        #expect(pair.higher.epoch == 1)
        #expect(pair.said == 4, "rekey, rekeyed, switched, switched")
        #expect(pair.lower.peerKeyIDs.subtracting(before).count == 1)
        try pair.check()
        #expect(pair.lower.nextTimeout == pair.now + .seconds(3600), "nothing is due but the next exchange")
    }

    @Test func keysAreReplacedEachHour() throws {
        var pair = try Pair()
        pair.lower.begin(now: pair.now)
        try pair.talk()
        try pair.wait(.seconds(3 * 3600 + 60))
        #expect(pair.lower.epoch == 4)
        #expect(pair.higher.epoch == 4)
        try pair.check()
    }

    @Test func keysAreReplacedWhenTheyHaveSealedMuch() throws {
        var settings = RekeyingConfiguration()
        settings.largestEpoch = 10_000
        var pair = try Pair(settings)
        pair.lower.begin(now: pair.now)
        try pair.talk()
        // What the higher one seals counts as well.
        for _ in 0..<12 {
            let packet = try pair.higher.seal([UInt8](repeating: 1, count: 1000))
            _ = try pair.lower.open(packet, now: pair.now)
        }
        #expect(pair.lower.nextTimeout == .zero)
        try pair.wait(.seconds(1))
        #expect(pair.lower.epoch == 2)
        try pair.check()
    }

    @Test func whatWasOnItsWayStillOpensForAWhile() throws {
        var pair = try Pair()
        pair.lower.begin(now: pair.now)
        try pair.talk()
        let late = try pair.lower.seal([1])
        let tooLate = try pair.lower.seal([2])
        pair.now = pair.now + .seconds(3600)
        pair.lower.handleTimeout(now: pair.now)
        try pair.talk()
        #expect(pair.higher.epoch == 2)
        pair.now = pair.now + .seconds(29)
        #expect(try pair.higher.open(late, now: pair.now) == [1])
        pair.now = pair.now + .seconds(1)
        pair.higher.handleTimeout(now: pair.now)
        #expect(throws: Refusal.notForUs) { try pair.higher.open(tooLate, now: pair.now) }
        #expect(pair.higher.peerKeyIDs.count == 2, "the first epoch's and the present one's")
        try pair.check()
    }

    /// Any frames may be lost, any number of times: both sides come to one epoch, and every packet opens meanwhile.
    @Test(arguments: 0..<60) func lossOfFramesIsMended(seed: UInt64) throws {
        var random = Entropy.seed(seed)
        var pair = try Pair()
        let lost = Set((1...7).filter { _ in Bool.random(using: &random) })
        pair.loses = { lost.contains($0) }
        pair.lower.begin(now: pair.now)
        try pair.talk()
        for _ in 0..<40 {
            if Bool.random(using: &random) { try pair.check() }
            try pair.wait(.milliseconds(Int.random(in: 1...9000, using: &random)))
        }
        #expect(pair.lower.epoch == 1, "seed \(seed)")
        #expect(pair.higher.epoch == 1, "seed \(seed)")
        try pair.check()
    }

    @Test func whoDoesNotAnswerIsAskedNoMoreForAnHour() throws {
        var pair = try Pair()
        pair.loses = { _ in true }
        pair.lower.begin(now: pair.now)
        try pair.talk()
        try pair.wait(.seconds(1800))
        #expect(pair.said == 10)
        #expect(pair.lower.epoch == 0)
        pair.loses = { _ in false }
        try pair.wait(.seconds(3600))
        #expect(pair.lower.epoch == 1)
    }

    @Test func whoHasForgottenTheOtherBeginsAnew() throws {
        var pair = try Pair()
        let forgetful = pair
        pair.lower.begin(now: pair.now)
        try pair.talk()
        pair.now = pair.now + .seconds(60)
        pair.lower.handleTimeout(now: pair.now)
        pair.higher.handleTimeout(now: pair.now)
        // The lower one meets the same run again, and knows nothing more of it; its counters are higher.
        pair.higher = forgetful.higher
        let packet = try pair.higher.seal([9])
        #expect(try pair.lower.open(packet, now: pair.now) == [9])
        #expect(pair.lower.epoch == 0)
        try pair.talk()
        #expect(pair.lower.epoch == 1)
        #expect(pair.higher.epoch == 1)
        try pair.check()
    }

    @Test func forgedExchangesAreRefused() throws {
        var pair = try Pair()
        pair.lower.begin(now: pair.now)
        let said = pair.lower.pollFrame()
        let offer = try #require(said)
        guard case .rekey(let epoch, let key, let signature) = offer else {
            Issue.record("no offer")
            return
        }
        #expect(throws: Refusal.forged) {
            try pair.higher.receive(
                .rekey(epoch: epoch, key: SessionKeyPair().publicKey, signature: signature), now: pair.now)
        }
        #expect(throws: Refusal.malformed) { try pair.lower.receive(offer, now: pair.now) }
        try pair.higher.receive(.rekey(epoch: 7, key: key, signature: signature), now: pair.now)
        let silence = pair.higher.pollFrame()
        #expect(silence == nil)
        try pair.higher.receive(offer, now: pair.now)
        let second = pair.higher.pollFrame()
        let answer = try #require(second)
        guard case .rekeyed(_, _, let signed) = answer else {
            Issue.record("no answer")
            return
        }
        #expect(throws: Refusal.forged) {
            try pair.lower.receive(
                .rekeyed(epoch: epoch, key: SessionKeyPair().publicKey, signature: signed), now: pair.now)
        }
        try pair.lower.receive(answer, now: pair.now)
        #expect(pair.lower.epoch == 1)
    }

    /// Recorded traffic, and everything that both members have in memory later, the session keys included: an epoch that is over does not open.
    @Test func anEpochThatIsOverDoesNotOpen() throws {
        var pair = try Pair()
        pair.lower.begin(now: pair.now)
        try pair.talk()
        let recorded = try pair.lower.seal(Array("secret".utf8))
        try pair.wait(.seconds(3600 + 31))
        #expect(pair.higher.epoch == 2)
        var taken = pair
        #expect(throws: Refusal.notForUs) { try taken.higher.open(recorded, now: pair.now) }
        #expect(pair.higher.peerKeyIDs.isDisjoint(with: [try #require(EnvelopeCipher.keyID(of: recorded))]))
    }
}

/// Rekeying under traffic: whole engines.
@Suite struct RekeyingSwarmTests {
    @Test(arguments: [[PathKind.relay], [.direct]]) func sessionsGoOnThroughManyEpochs(paths: [PathKind]) throws {
        let swarm = VirtualSwarm(seed: 11) {
            $0.paths = Set(paths)
            $0.rekeying.longestEpoch = .seconds(20)
        }
        swarm.loss = 0.1
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(5))
        for number in 0..<100 {
            _ = try swarm.send("\(number)", from: alice, to: bob)
            _ = try swarm.send("\(number)", from: bob, to: alice)
            swarm.run(for: .seconds(2))
        }
        swarm.run(for: .seconds(5))
        let epochs = [alice.engine.members[bob.id]?.cipher?.epoch, bob.engine.members[alice.id]?.cipher?.epoch]
        #expect(epochs.allSatisfy { ($0 ?? 0) >= 9 }, "\(epochs)")
        let expected = (0..<100).map(String.init)
        #expect(alice.texts(from: bob) == expected)
        #expect(bob.texts(from: alice) == expected)
        #expect(alice.engine.refusals.isEmpty)
        #expect(bob.engine.refusals.isEmpty)
    }
}
