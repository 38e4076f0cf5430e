import Crypto
import Foundation
import SwarmBase
import Testing

@testable import ICE

@Suite struct TURNFramingTests {
    private func bytes(_ text: String) throws -> [UInt8] {
        try #require([UInt8](hexadecimal: text.filter { !$0.isWhitespace }))
    }

    /// RFC 5769 §2.4: a request with long-term authentication.
    @Test func longTermVector() throws {
        let datagram = try bytes(
            """
            000100602112a44278ad3433c6ad72c029da412e
            00060012e3839ee38388e383aae38383e382afe382b90000
            0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341
            0014000b6578616d706c652e6f726700
            00080014f67024656dd64a3e02b8e0712e85c9a28ca89666
            """)
        let received = try ReceivedSTUNMessage(parsing: datagram)
        let credentials = try #require(TURNCredentials(username: "マトリックス", password: "TheMatrIX"))
        let realm = Array("example.org".utf8)
        #expect(received.message.username == Array(credentials.username.utf8))
        #expect(received.message.realm == realm)
        #expect(received.message.nonce == Array("f//499k954d6OL34oL9FSTvy64sA".utf8))
        #expect(received.isAuthentic(key: PasswordAlgorithm.md5.key(credentials, realm: realm)))
        #expect(!received.isAuthentic(key: PasswordAlgorithm.sha256.key(credentials, realm: realm)))
        let challenge = try #require(LongTermChallenge(received.message, credentials: credentials))
        #expect(challenge.integrity == .sha1 && received.isAuthentic(key: challenge.key))
    }

    /// RFC 8489 §B.1: a key of SHA-256 and MESSAGE-INTEGRITY-SHA256. The length in the RFC's header is not that of its
    /// message, so it is no datagram, but the code was made with it.
    @Test func sha256Vector() throws {
        let covered = try bytes(
            """
            0001009c2112a44278ad3433c6ad72c029da412e
            001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704
            001500296f624d61744a6f7332414141
            43662f2f3439396b39353464364f4c33346f4c39465354767936347341000000
            0014000b6578616d706c652e6f726700
            """)
        let code = try bytes("e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01")
        let credentials = try #require(TURNCredentials(username: "マトリックス", password: "TheMatrIX"))
        let key = PasswordAlgorithm.sha256.key(credentials, realm: Array("example.org".utf8))
        #expect(key.authenticationCode(for: covered[...], .sha256) == code)
        #expect(key.isValid(code[...], for: covered[...], .sha256))
        #expect(key.isValid(code[..<16], for: covered[...], .sha256), "it may be cut")
        #expect(!key.isValid([1] + code[1..<16], for: covered[...], .sha256))
    }

    @Test func bothIntegritiesInOneMessage() throws {
        let key = STUNIntegrityKey(password: "secret")
        let message = STUNMessage(
            .request, method: .allocate, transactionID: STUNCodecTests.id, attributes: [.lifetime(5)])
        for fingerprint in [true, false] {
            let datagram = message.encoded(key: key, integrity: .sha256, fingerprint: fingerprint)
            let received = try ReceivedSTUNMessage(parsing: datagram)
            #expect(received.message == message && received.hasIntegrity)
            #expect(received.isAuthentic(key: key, .sha256) && !received.isAuthentic(key: key))
            for index in 0..<datagram.count - (fingerprint ? 8 : 0) where index != 2 && index != 3 {
                var changed = datagram
                changed[index] ^= 1
                let other = try? ReceivedSTUNMessage(parsing: changed)
                #expect(other?.isAuthentic(key: key, .sha256) != true, "byte \(index)")
            }
        }
        // A short code is refused: its rest could be guessed.
        var short = message.encoded(fingerprint: false)
        short += [0, 0x1c, 0, 12] + Array(repeating: 0, count: 12)
        STUNMessage.setLength(of: &short, adding: 0)
        #expect(throws: STUNError.malformedAttribute(type: 0x1c)) { try ReceivedSTUNMessage(parsing: short) }
    }

    @Test(arguments: [
        ("obMatJos2gAAA", true), ("obMatJos2AAAA", false), ("obMatJos2f///", false), ("obMatJos2//AAx", true),
        ("obMatJos2gAA", false), ("xbMatJos2gAAA", false), ("", false), ("obMatJos2=AAA", false),
    ]) func nonceCookie(nonce: String, promises: Bool) {
        #expect(LongTermChallenge.promisesAlgorithms(Array(nonce.utf8)) == promises)
    }

    @Test func challengesAreBounded() throws {
        let credentials = try #require(TURNCredentials(username: "u", password: "p"))
        func challenge(realm: Int, nonce: Int) -> LongTermChallenge? {
            let message = STUNMessage(
                .error, method: .allocate, transactionID: STUNCodecTests.id,
                attributes: [
                    .realm(Array(repeating: 1, count: realm)), .nonce(Array(repeating: 1, count: nonce)),
                ])
            return LongTermChallenge(message, credentials: credentials)
        }
        #expect(challenge(realm: 763, nonce: 763) != nil)
        #expect(challenge(realm: 764, nonce: 1) == nil && challenge(realm: 1, nonce: 764) == nil)
    }

    // MARK: ChannelData

    @Test func channelData() throws {
        let number = try #require(ChannelNumber(rawValue: 0x4fff))
        #expect(ChannelNumber(rawValue: 0x3fff) == nil && ChannelNumber(rawValue: 0x5000) == nil)
        for count in [0, 1, 2, 3, 4, 1200, 65_535] {
            let data = ChannelData(number: number, payload: Array(repeating: 7, count: count))
            let plain = data.encoded(isPadded: false)
            let padded = data.encoded(isPadded: true)
            #expect(plain.count == 4 + count && padded.count.isMultiple(of: 4) && padded.count - plain.count < 4)
            #expect(ChannelData(parsing: plain) == data && ChannelData(parsing: padded) == data)
            #expect(ChannelData(parsing: Array(plain.dropLast())) == (nil as ChannelData?))
        }
        #expect(ChannelData(parsing: [0x50, 0, 0, 0]) == nil && ChannelData(parsing: []) == nil)
    }

    // MARK: Streams

    private static let frames: [[UInt8]] = [
        STUNMessage(.request, method: .allocate, transactionID: STUNCodecTests.id, attributes: [.lifetime(1)])
            .encoded(),
        [0x40, 0, 0, 0], [0x40, 1, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0], [0x4f, 0xff, 0, 4, 9, 9, 9, 9],
        STUNMessage(.indication, method: .data, transactionID: STUNCodecTests.id).encoded(fingerprint: false),
        [0x41, 0, 0xff, 0xff] + Array(repeating: 3, count: 65_536),
    ]

    @Test(arguments: 0..<20) func streamsCutAnywhere(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var reader = TURNStreamReader()
        var found: [[UInt8]] = []
        var bytes = Self.frames.flatMap { $0 }[...]
        while !bytes.isEmpty {
            let count = Int.random(in: 1...(Bool.random(using: &random) ? 5 : 3000), using: &random)
            reader.append(Array(bytes.prefix(count)))
            bytes = bytes.dropFirst(count)
            while let frame = try reader.next() { found.append(frame) }
            #expect(reader.bufferedCount < 65_556, "seed \(seed)")
        }
        #expect(found == Self.frames, "seed \(seed)")
        #expect(reader.bufferedCount == 0)
    }

    @Test(arguments: [[4], [0x16, 3, 1], [80], [0xff], [0, 1, 0, 1], [0, 1, 0, 0, 1, 2, 3, 4]] as [[UInt8]])
    func whatIsNoTURN(bytes: [UInt8]) {
        var reader = TURNStreamReader()
        reader.append(bytes)
        #expect(throws: TURNStreamReader.NotTURN()) { try reader.next() }
    }

    /// Whatever comes in from a server, the client neither traps nor grows.
    @Test(arguments: 0..<10, [TURNTransport.udp, .stream]) func mutatedInput(seed: UInt64, transport: TURNTransport)
        throws
    {
        var bench = TURNBench(seed: seed)
        bench.server.security = .none
        let id = try bench.begin(transport, families: .both)
        var random = SeededGenerator(seed: seed)
        var taken = 0
        let methods: [STUNMethod] = [.binding, .allocate, .refresh, .data, .createPermission, .channelBind]
        for round in 0..<600 {
            for relay in bench.client.relayedAddresses(of: id) {
                bench.send(round.isMultiple(of: 2) ? [23, 1] : [0, 1], via: relay)
            }
            // Answers to real requests, so that the mutations get past the first checks.
            let request = bench.sent.last.flatMap { try? ReceivedSTUNMessage(parsing: $0).message }
            let kinds: [STUNClass] = [.success, .error, .indication, .request]
            var bytes = STUNMessage(
                kinds[Int.random(in: 0..<4, using: &random)], method: methods[Int.random(in: 0..<6, using: &random)],
                transactionID: request?.transactionID ?? STUNCodecTests.id,
                attributes: Array(STUNCodecTests.everyAttribute.shuffled(using: &random).prefix(6))
            ).encoded(fingerprint: false)
            if round.isMultiple(of: 3) {
                bytes = [0x40, 0, 0, UInt8.random(in: 0...9, using: &random), 1, 2, 3, 4]
            }
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if transport == .udp {
                if bench.client.handle(datagram: bytes, from: TURNServerModel.address, now: bench.now) { taken += 1 }
            } else {
                bench.client.handle(stream: bytes, from: id, now: bench.now)
                taken += 1
            }
            bench.drain()
            if round.isMultiple(of: 20) { bench.run(for: .seconds(Int64.random(in: 1...200, using: &random))) }
            #expect(bench.client.relayedAddresses(of: id).count <= 2)
        }
        #expect(taken > 50, "seed \(seed): nothing got past the first checks")
        bench.client.forget(TURNBench.session, now: bench.now)
        bench.run(for: .seconds(120))
        #expect(bench.client.nextTimeout == nil, "seed \(seed)")
    }
}
