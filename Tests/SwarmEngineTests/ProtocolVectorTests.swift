import Crypto
import Foundation
import Magnet
import SEA
import SwarmBase
import Testing

@testable import SwarmEngine

/// The vectors that the browser's member is checked with too (`Web/tests`): this implementation agrees with them.
@Suite struct ProtocolVectorTests {
    static let alice = Result { try VectorMember.make(seed: 1) }
    static let bob = Result { try VectorMember.make(seed: 2) }
    static let hash = (0..<20).map { UInt8($0) }

    private func topic(secret: String? = nil) throws -> Topic {
        Topic(infoHash: try #require(InfoHash(bytes: Self.hash)), secret: secret)
    }

    private func bytes(_ digits: String) throws -> [UInt8] { try #require([UInt8](hexadecimal: digits)) }

    // MARK: Writing

    private static let contents: [Signal.Content] = [
        .offer(sdp: "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"), .answer(sdp: "v=0\r\n"),
        .candidates(ufrag: "abcd", ["candidate:1 1 udp 2130706431 10.0.0.1 5000 typ host"]),
        .candidates(ufrag: "abcd", []), .restartRequest, .closed,
    ]

    private static let packets: [[Frame]] = [
        [.ping(id: 1)], [.pong(id: .max)], [.bye], [],
        [
            .data(
                DataFrame(
                    stream: 0x0123_4567_89ab_cdef, sequence: 7, base: 5, message: 3, flags: [.first, .last, .text],
                    payload: Array("hallo, Wörld".utf8))),
            .acknowledgement(Acknowledgement(stream: .max, received: 9, durable: 4, window: 1024)), .ping(id: 2),
        ],
        [.data(DataFrame(stream: 1, sequence: 1, base: 1, message: 1, flags: [.first], payload: []))],
    ]

    /// Frames of the mesh; the peer is whom a datagram is for.
    private static func meshPackets(to peer: PeerID) -> [[Frame]] {
        [
            [.neighbours(forwards: true, [1, .max]), .neighbours(forwards: false, [])],
            [.presence([1, 2, 3]), .forward(to: peer, [1, 9, 9]), .forwarded([1, 9, 9]), .forwarded([])],
        ]
    }

    private func make() throws -> ProtocolVectors {
        let (alice, bob) = (try Self.alice.get(), try Self.bob.get())
        let open = try topic()
        let presence = PresenceRecord(
            peer: alice.id, sessionKey: alice.session.publicKey, timestamp: 1_795_000_000_000, isLeaving: false,
            name: "Alice Ünal")
        let leaving = PresenceRecord(
            peer: bob.id, sessionKey: bob.session.publicKey, timestamp: 1_795_000_000_001, isLeaving: true, name: "")
        let able = PresenceRecord(
            peer: bob.id, sessionKey: bob.session.publicKey, timestamp: 1_795_000_000_002, isLeaving: false,
            knowsLanes: true, keepsState: true, takesLaneMail: true, name: "Bob")
        let sealedPresence = try presence.sealed(by: alice.identity, topic: open)
        func signal(_ content: Signal.Content, to: PeerID?) -> Signal {
            Signal(
                sender: alice.id, recipient: to, timestamp: 1_795_000_000_000, id: 0xfedc_ba98_7654_3210,
                connection: ConnectionID(value: 3), attempt: 1_795_000_000_002, content: content)
        }
        func vector(_ content: Signal.Content, isOpenOffer: Bool) throws -> ProtocolVectors.SignalVector {
            let signal = signal(content, to: isOpenOffer ? nil : bob.id)
            let sealed =
                isOpenOffer
                ? try signal.sealed(by: alice.identity, topic: open)
                : try signal.sealed(by: alice.identity, to: bob.session.publicKey, topic: open)
            return ProtocolVectors.SignalVector(
                kind: content.vector.kind, timestamp: signal.timestamp, id: signal.id,
                connection: signal.connection.value, attempt: signal.attempt, content: content.vector.text,
                isOpenOffer: isOpenOffer, sealed: sealed.hexadecimal)
        }
        let offer = try vector(Self.contents[0], isOpenOffer: true)
        let signals = try Self.contents.map { try vector($0, isOpenOffer: false) } + [offer]
        let forged = try PresenceRecord(
            peer: alice.id, sessionKey: bob.session.publicKey, timestamp: 5, isLeaving: false, name: "Alice"
        ).sealed(by: bob.identity, topic: open)
        let otherTopic = try presence.sealed(by: alice.identity, topic: Topic(name: "other"))
        let forAlice = try signal(.restartRequest, to: bob.id)
            .sealed(by: alice.identity, to: alice.session.publicKey, topic: open)
        return ProtocolVectors(
            members: ["alice": alice.vector, "bob": bob.vector],
            topics: try [nil, "correct horse"].map { try topicVector(secret: $0, alice: alice.id) },
            names: [nil, "correct horse"].flatMap { secret in
                ["lobby", "wiese 🌼"].map { name in
                    ProtocolVectors.NameVector(
                        name: name, secret: secret,
                        infoHash: Topic(name: name, secret: secret).infoHash.bytes.hexadecimal)
                }
            },
            presences: [
                (presence, sealedPresence), (leaving, try leaving.sealed(by: bob.identity, topic: open)),
                (able, try able.sealed(by: bob.identity, topic: open)),
            ].map {
                ProtocolVectors.PresenceVector(
                    peer: $0.peer.description, timestamp: $0.timestamp, isLeaving: $0.isLeaving,
                    knowsLanes: $0.knowsLanes, keepsState: $0.keepsState, takesLaneMail: $0.takesLaneMail,
                    name: $0.name, sealed: $1.hexadecimal)
            },
            envelopes: try [("alice", "bob", 0), ("bob", "alice", 41)].map { try envelope($0, $1, counter: $2) },
            rekeying: try rekeying(), mail: try mail(), signals: signals,
            frames: (Self.packets + Self.meshPackets(to: bob.id)).map { frames in
                var packet: [UInt8] = []
                for frame in frames { frame.write(to: &packet) }
                return ProtocolVectors.FrameVector(packet: packet.hexadecimal, frames: frames.map(\.vector))
            } + [
                // Of a later version: passed over.
                ProtocolVectors.FrameVector(packet: "63000000020102" + "0500000000", frames: ["bye"])
            ],
            trackerText: SwarmEngine.TrackerBlob(presence: sealedPresence, signal: try bytes(offer.sealed)).text,
            refused: [
                .init(what: "signed by another", kind: "presence", bytes: forged.hexadecimal, refusal: "forged"),
                .init(
                    what: "of another topic", kind: "presence", bytes: otherTopic.hexadecimal, refusal: "notForUs"),
                .init(what: "cut off", kind: "presence", bytes: "0102", refusal: "malformed"),
                .init(what: "sealed to another", kind: "signal", bytes: forAlice.hexadecimal, refusal: "notForUs"),
                .init(what: "too short", kind: "signal", bytes: "04", refusal: "malformed"),
                .init(what: "a frame cut off", kind: "packet", bytes: "0300000008000000", refusal: "malformed"),
                .init(what: "a ping too short", kind: "packet", bytes: "030000000100", refusal: "malformed"),
                .init(
                    what: "half a neighbour", kind: "packet", bytes: "06" + "00000005" + "01" + "01020304",
                    refusal: "malformed"),
                .init(
                    what: "a datagram for nobody", kind: "packet", bytes: "08" + "00000003" + "010203",
                    refusal: "malformed"),
                .init(
                    what: "durable beyond received", kind: "packet",
                    bytes: "020000001a0000000000000001" + "0000000000000001" + "0000000000000002" + "0400",
                    refusal: "malformed"),
            ])
    }

    private func topicVector(secret: String?, alice: PeerID) throws -> ProtocolVectors.TopicVector {
        let topic = try topic(secret: secret)
        let sealed = try topic.seal([1, 2, 3], as: "presence")
        return ProtocolVectors.TopicVector(
            infoHash: Self.hash.hexadecimal, secret: secret, id: topic.id.hexadecimal, day: 20_000,
            presenceSoul: topic.presenceSoul(day: 20_000), inboxSoul: topic.inboxSoul(of: alice, day: 20_000),
            week: 2857, mailSoul: topic.mailSoul(of: alice, week: 2857),
            tag: topic.tag(of: alice), sealedWord: "presence", sealedPlaintext: "010203", sealed: sealed.hexadecimal)
    }

    private func envelope(_ from: String, _ to: String, counter: UInt64) throws -> ProtocolVectors.EnvelopeVector {
        let members = ["alice": try Self.alice.get(), "bob": try Self.bob.get()]
        let (sender, receiver) = (try #require(members[from]), try #require(members[to]))
        let keys = try EnvelopeKeys(
            own: sender.session, peer: receiver.session.publicKey,
            parties: SessionParties(own: sender.id, peer: receiver.id, topic: topic()))
        var cipher = EnvelopeCipher(keys, firstCounter: counter)
        let packet = Array("a packet from \(from)".utf8)
        return ProtocolVectors.EnvelopeVector(
            sender: from, receiver: to, keyID: String(cipher.keyID, radix: 16), counter: counter,
            packet: packet.hexadecimal, envelope: try cipher.seal(packet).hexadecimal)
    }

    private func rekeying() throws -> ProtocolVectors.RekeyingVector {
        let members = ["alice": try Self.alice.get(), "bob": try Self.bob.get()]
        let names = try members.keys.sorted { try #require(members[$0]).id < #require(members[$1]).id }
        let (lower, higher) = (try #require(members[names[0]]), try #require(members[names[1]]))
        var entropy = Entropy.seed(3)
        let (x, y) = (
            SessionKeyPair(try P256.KeyAgreement.PrivateKey(rawRepresentation: entropy.bytes(32))),
            SessionKeyPair(try P256.KeyAgreement.PrivateKey(rawRepresentation: entropy.bytes(32)))
        )
        let ofLower = SessionParties(own: lower.id, peer: higher.id, topic: try topic())
        let ofHigher = SessionParties(own: higher.id, peer: lower.id, topic: try topic())
        let first = try EnvelopeKeys(own: lower.session, peer: higher.session.publicKey, parties: ofLower)
        let offered = RekeyFrame.offered(ofLower, keyID: first.sendID, epoch: 1, key: x.publicKey)
        let answered = RekeyFrame.answered(
            ofLower, keyID: first.sendID, epoch: 1, offered: x.publicKey, key: y.publicKey)
        func packet(_ frame: RekeyFrame) -> String {
            var bytes: [UInt8] = []
            Frame.rekeying(frame).write(to: &bytes)
            return bytes.hexadecimal
        }
        func envelope(
            _ from: Int, _ own: SessionKeyPair, _ peer: SessionKeyPair, _ parties: SessionParties
        ) throws -> ProtocolVectors.EnvelopeVector {
            let keys = try EnvelopeKeys(
                own: own, peer: peer.publicKey, root: first.root, epoch: 1, parties: parties)
            var cipher = EnvelopeCipher(keys)
            let text = Array("after rekeying, from \(names[from])".utf8)
            return ProtocolVectors.EnvelopeVector(
                sender: names[from], receiver: names[1 - from], keyID: String(keys.sendID, radix: 16), counter: 0,
                packet: text.hexadecimal, envelope: try cipher.seal(text).hexadecimal)
        }
        return ProtocolVectors.RekeyingVector(
            lower: names[0], lowerPrivate: Array(x.privateKey.rawRepresentation).hexadecimal,
            lowerPublic: x.publicKey.rawRepresentation.hexadecimal,
            higherPrivate: Array(y.privateKey.rawRepresentation).hexadecimal,
            higherPublic: y.publicKey.rawRepresentation.hexadecimal,
            offered: offered.hexadecimal, answered: answered.hexadecimal,
            rekey: packet(.rekey(epoch: 1, key: x.publicKey, signature: try lower.identity.sign(offered))),
            rekeyed: packet(.rekeyed(epoch: 1, key: y.publicKey, signature: try higher.identity.sign(answered))),
            envelopes: [try envelope(0, x, y, ofLower), try envelope(1, y, x, ofHigher)])
    }

    private func mail() throws -> ProtocolVectors.MailVector {
        let (alice, bob) = (try Self.alice.get(), try Self.bob.get())
        var entropy = Entropy.seed(4)
        let pair = SessionKeyPair(try P256.KeyAgreement.PrivateKey(rawRepresentation: entropy.bytes(32)))
        let prekey = Prekey(id: try #require(PrekeyID(0x0102_0304)), key: pair.publicKey)
        let other = Prekey(id: try #require(PrekeyID(7)), key: bob.session.publicKey)
        let packet = Array("frames".utf8)
        let item = MailItem(sender: alice.id, recipient: bob.id, timestamp: 1_795_000_000_000, packet: packet)
        var bundle = PrekeyBundle(lastResort: prekey, expiry: 1_795_600_000_000, oneTime: [other])
        let signed = bundle.signed(owner: bob.id, holder: alice.id, topic: try topic())
        bundle.signature = try bob.identity.sign(signed)
        var frame: [UInt8] = []
        Frame.prekeys(bundle).write(to: &frame)
        return ProtocolVectors.MailVector(
            prekey: prekey.id.value, prekeyPrivate: Array(pair.privateKey.rawRepresentation).hexadecimal,
            prekeyPublic: pair.publicKey.rawRepresentation.hexadecimal, timestamp: item.timestamp,
            packet: packet.hexadecimal,
            item: try item.sealed(by: alice.identity, to: prekey, topic: topic()).hexadecimal,
            bundle: frame.hexadecimal, bundleSigned: signed.hexadecimal, lanes: laneMail())
    }

    private func laneMail() -> ProtocolVectors.LaneMailVector {
        let time: UInt64 = 1_795_000_000_000
        func data(
            _ lane: Lane, _ sequence: UInt64, _ message: UInt64, _ flags: DataFrame.Flags, _ text: String
        ) -> Frame {
            .data(
                DataFrame(
                    lane: lane, stream: UInt64(lane.number) + 100, sequence: sequence, base: 1, message: message,
                    flags: flags, payload: Array(text.utf8)))
        }
        let (urgent, any) = (
            Lane(messages: .urgent, isOrdered: true), Lane(messages: .low, isOrdered: false)
        )
        let frames = [
            .deadline(message: 4, at: time + 1000), data(urgent, 1, 4, [.first, .last, .text], "soon"),
            data(urgent, 2, 5, [.first, .last, .text], "whenever"), data(.plain, 7, 6, [.first], "plain, "),
            data(.plain, 8, 6, [.last], "in two"), .deadline(message: 9, at: time + 2000),
            data(any, 3, 9, [.first], "parts "), data(any, 4, 9, [.last], "of one"),
            .deadline(message: 10, at: time - 1), data(.plain, 9, 10, [.first, .last], "over"),
            .acknowledgement(
                Acknowledgement(
                    lane: any, stream: 9, received: 8, durable: 7, window: 256,
                    outcomes: [.init(sequence: 0, message: 3, code: 1)], bitmap: [1])),
            .confirmed(urgent, stream: 8, base: 3), .ping(id: 1), .bye,
            .data(
                DataFrame(
                    lane: Lane(control: .normal), stream: 5, sequence: 1, base: 1, message: 1, flags: [.first, .last],
                    payload: [3, 0, 0, 0, 0, 0, 0, 0, 1])),
        ]
        var packet: [UInt8] = []
        for frame in frames { frame.write(to: &packet) }
        return ProtocolVectors.LaneMailVector(
            packet: packet.hexadecimal, frames: frames.map(\.vector),
            readings: [time, time + 999, time + 1000, time + 5000].map {
                .init(time: $0, taken: frames.ofMail(at: $0).map(\.vector))
            })
    }

    @Test func mailOfAllLanesIsRead() throws {
        let vector = try ProtocolVectors.load().mail.lanes
        let frames = try Frame.parse(bytes(vector.packet))
        #expect(frames.map(\.vector) == vector.frames)
        for reading in vector.readings {
            #expect(frames.ofMail(at: reading.time).map(\.vector) == reading.taken, "\(reading.time)")
        }
        let taken = vector.readings.map { reading in reading.taken.filter { $0.contains("data") } }
        #expect(taken.map(\.count) == [7, 7, 7, 7], "all that has a number is taken")
        func withdrawn(_ lines: [String]) -> Int { lines.count { $0.hasSuffix(" ") } }
        #expect(taken.map(withdrawn) == [1, 1, 2, 4])
    }

    @Test func mailOpens() throws {
        let vector = try ProtocolVectors.load().mail
        let (alice, bob) = (try Self.alice.get(), try Self.bob.get())
        let pair = SessionKeyPair(
            try P256.KeyAgreement.PrivateKey(rawRepresentation: bytes(vector.prekeyPrivate)))
        let item = try MailItem(opening: bytes(vector.item), with: pair, topic: topic())
        #expect(
            item
                == MailItem(
                    sender: alice.id, recipient: bob.id, timestamp: vector.timestamp,
                    packet: try bytes(vector.packet)))
        guard case .prekeys(let bundle) = try Frame.parse(bytes(vector.bundle)).first else {
            Issue.record("no prekeys")
            return
        }
        #expect(bundle.lastResort.id.value == vector.prekey)
        #expect(bob.id.verifies(bundle.signature, of: try bytes(vector.bundleSigned)))
    }

    @Test func theSignaturesOfAnExchangeVerify() throws {
        let vector = try ProtocolVectors.load().rekeying
        let members = ["alice": try Self.alice.get(), "bob": try Self.bob.get()]
        let lower = try #require(members[vector.lower])
        let higher = try #require(members.values.first { $0.id != lower.id })
        for (packet, signer, signed) in [
            (vector.rekey, lower, vector.offered), (vector.rekeyed, higher, vector.answered),
        ] {
            guard case .rekeying(let frame) = try Frame.parse(bytes(packet)).first else {
                Issue.record("no frame of an exchange")
                continue
            }
            switch frame {
            case .rekey(1, _, let signature), .rekeyed(1, _, let signature):
                #expect(signer.id.verifies(signature, of: try bytes(signed)))
            default: Issue.record("another frame")
            }
        }
    }

    // MARK: Reading

    /// With SWARM_WRITE_VECTORS they are written anew first (scripts/vectors): seals and signatures are random, so this
    /// changes the file each time.
    @Test func thisImplementationAgrees() throws {
        if let path = ProcessInfo.processInfo.environment["SWARM_WRITE_VECTORS"] { try make().write(to: path) }
        let vectors = try ProtocolVectors.load()
        let made = try make()
        // What has no randomness in it.
        #expect(vectors.members == made.members)
        #expect(vectors.names == made.names)
        #expect(vectors.envelopes == made.envelopes)
        #expect(vectors.frames == made.frames)
        var rekeying = made.rekeying
        (rekeying.rekey, rekeying.rekeyed) = (vectors.rekeying.rekey, vectors.rekeying.rekeyed)
        #expect(vectors.rekeying == rekeying)
        var mail = made.mail
        (mail.item, mail.bundle) = (vectors.mail.item, vectors.mail.bundle)
        #expect(vectors.mail == mail)
        for (a, b) in zip(vectors.topics, made.topics) {
            var b = b
            b.sealed = a.sealed
            #expect(a == b)
        }
        #expect(vectors.topics.count == made.topics.count)
        // What has: it opens.
        let (bob, topic) = (try Self.bob.get(), try topic())
        for vector in vectors.topics {
            let sealed = try bytes(vector.sealed)
            #expect(try self.topic(secret: vector.secret).open(sealed, as: "presence") == [1, 2, 3])
        }
        for (vector, expected) in zip(vectors.presences, made.presences) {
            let record = try PresenceRecord(opening: bytes(vector.sealed), topic: topic)
            #expect(record.peer.description == expected.peer && record.timestamp == expected.timestamp)
            #expect(record.isLeaving == expected.isLeaving && record.name == expected.name)
            #expect(record.knowsLanes == expected.knowsLanes && record.takesLaneMail == expected.takesLaneMail)
            #expect(record.keepsState == expected.keepsState)
        }
        for (vector, expected) in zip(vectors.signals, made.signals) {
            let sealed = try bytes(vector.sealed)
            let signal =
                vector.isOpenOffer
                ? try Signal(openingForAnyone: sealed, topic: topic)
                : try Signal(opening: sealed, with: bob.session, topic: topic)
            #expect(signal.content.vector == (expected.kind, expected.content))
            #expect(signal.attempt == expected.attempt && signal.id == expected.id)
        }
        let blob = try #require(SwarmEngine.TrackerBlob(vectors.trackerText))
        #expect(try PresenceRecord(opening: blob.presence, topic: topic).name == "Alice Ünal")
    }

    @Test func whatIsToBeRefusedIs() throws {
        let (bob, topic) = (try Self.bob.get(), try topic())
        for vector in try ProtocolVectors.load().refused {
            let refusal = #expect(throws: Refusal.self, "\(vector.what)") {
                switch vector.kind {
                case "presence": _ = try PresenceRecord(opening: bytes(vector.bytes), topic: topic)
                case "signal": _ = try Signal(opening: bytes(vector.bytes), with: bob.session, topic: topic)
                default: _ = try Frame.parse(bytes(vector.bytes))
                }
            }
            #expect(refusal?.rawValue == vector.refusal, "\(vector.what)")
        }
    }
}
