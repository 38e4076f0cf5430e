import DTLS
import ICE
import SwarmBase
import Testing

@testable import WebRTC

@Suite struct CompactDescriptionTests {
    private func sample() throws -> SessionDescription {
        let credentials = try #require(ICECredentials(ufrag: "abcdEFGH", password: "abcdefghijklmnopqrstuvwx"))
        let fingerprint = try #require(DTLSFingerprint(sdp: "sha-256 \(DescriptionSamples.digest)"))
        let four = try #require(TransportAddress("192.0.2.1:7000"))
        let six = try #require(TransportAddress("[2001:db8::1]:7001"))
        return SessionDescription(
            kind: .offer, sessionID: 1, version: 2, credentials: credentials, fingerprints: [fingerprint],
            setup: .actpass, candidates: [.host(four), .host(six, rank: 1), .serverReflexive(four)],
            hasEndOfCandidates: true)
    }

    @Test func whatMattersComesBack() throws {
        for (kind, setup) in [
            (SessionDescription.Kind.offer, SessionDescription.Setup.actpass), (.offer, .passive), (.answer, .active),
            (.answer, .passive),
        ] {
            var description = try sample()
            description.kind = kind
            description.setup = setup
            let text = try #require(description.compact)
            #expect(text.utf8.count < 260)
            let read = try #require(SessionDescription(compact: text))
            #expect(read.kind == kind)
            #expect(read.setup == setup)
            #expect(read.credentials == description.credentials)
            #expect(read.fingerprints == description.fingerprints)
            #expect(read.maxMessageSize == 262_144)
            #expect(read.hasEndOfCandidates)
            #expect(read.candidates.map(\.address) == description.candidates.map(\.address))
            #expect(read.candidates.map(\.kind) == description.candidates.map(\.kind))
            #expect(read.candidates.map(\.priority) == description.candidates.map(\.priority))
            #expect(read.compact == text)
        }
    }

    @Test func connectsTwoPeers() throws {
        var pair = try PeerPair()
        let offer = try pair.a.createOffer(now: pair.now)
        let read = try #require(offer.compact.flatMap { SessionDescription(compact: $0) })
        let answer = try pair.b.accept(offer: read, now: pair.now)
        try pair.a.accept(
            answer: try #require(answer.compact.flatMap { SessionDescription(compact: $0) }), now: pair.now)
        pair.run(for: .seconds(5)) { $0.isConnected }
        #expect(pair.isConnected == true)
    }

    @Test func refusesEverythingElse() throws {
        let text = try #require(try sample().compact)
        #expect(SessionDescription(compact: "") == nil)
        #expect(SessionDescription(compact: "hello") == nil)
        #expect(SessionDescription(compact: text + "A") == nil)
        for count in 1..<text.utf8.count {
            // A cut after a whole candidate is a description with fewer of them.
            if let shorter = SessionDescription(compact: String(text.prefix(count))) {
                #expect(shorter.candidates.count < 3)
            }
        }
        // An answer may not leave the setup open.
        var answer = try sample()
        answer.kind = .answer
        let open = try #require(answer.compact)
        #expect(SessionDescription(compact: open) == nil)
        #expect(SessionDescription(compact: String(repeating: "A", count: 4097)) == nil)
    }

    @Test func randomTextNeverTraps() throws {
        var generator = SeededGenerator(seed: 5)
        let text = try #require(try sample().compact)
        let good = try #require([UInt8](base64URL: text))
        for _ in 0..<5000 {
            var bytes = good
            for _ in 0..<3 {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            guard let read = SessionDescription(compact: bytes.base64URL) else { continue }
            #expect(read.compact == bytes.base64URL)
        }
    }
}
