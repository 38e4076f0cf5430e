import SwarmBase
import Testing

@testable import ICE

@Suite struct STUNCodecTests {
    static let id = STUNTransactionID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c)
    static let key = STUNIntegrityKey(password: "a password of some length")
    static let v4 = TransportAddress(.v4(0xc000_0201), port: 4711)
    static let v6 = TransportAddress(.v6(0x2001_0db8_0000_0000, 0x0102_0304_0506_0708), port: 65535)

    static let everyAttribute: [STUNAttribute] = [
        .mappedAddress(v4), .mappedAddress(v6), .xorMappedAddress(v4), .xorMappedAddress(v6),
        .username(Array("abc:d".utf8)), .errorCode(487, reason: "Role Conflict"), .errorCode(300, reason: ""),
        .unknownAttributes([1, 0x7fff]), .realm([1]), .nonce([2, 3]), .software("s"), .priority(.max),
        .useCandidate, .iceControlling(.max), .iceControlled(0), .other(type: 0xc057, value: [1, 2, 3, 4, 5]),
        .channelNumber(0x4000), .lifetime(600), .xorPeerAddress(v4), .xorPeerAddress(v6), .data([]), .data([1, 2, 3]),
        .xorRelayedAddress(v6), .requestedAddressFamily(isIPv6: true), .requestedAddressFamily(isIPv6: false),
        .requestedTransport(17), .additionalAddressFamily, .alternateServer(v4), .passwordAlgorithms([2, 1]),
        .passwordAlgorithms([]), .passwordAlgorithm(2),
    ]

    @Test(arguments: [true, false], [true, false])
    func roundTrip(signed: Bool, fingerprint: Bool) throws {
        for kind in [STUNClass.request, .indication, .success, .error] {
            for method in [STUNMethod.binding, STUNMethod(rawValue: 0x07f), STUNMethod(rawValue: 0x009)] {
                let message = STUNMessage(
                    kind, method: method, transactionID: Self.id, attributes: Self.everyAttribute)
                let datagram = message.encoded(key: signed ? Self.key : nil, fingerprint: fingerprint)
                let received = try ReceivedSTUNMessage(parsing: datagram)
                #expect(received.message == message)
                #expect(received.hasFingerprint == fingerprint)
                #expect(received.hasIntegrity == signed)
                #expect(received.isAuthentic(key: Self.key) == signed)
                #expect(STUNMessage.transactionID(of: datagram) == Self.id)
                #expect(STUNMessage.messageClass(of: datagram) == kind)
                #expect(STUNMessage.localUfrag(of: datagram) == "abc")
            }
        }
    }

    @Test func everyChangedBitIsNoticed() throws {
        let datagram = STUNMessage(
            .request, transactionID: Self.id, attributes: [.username(Array("a:b".utf8)), .priority(7)]
        ).encoded(key: Self.key)
        for bit in 0..<datagram.count * 8 {
            var changed = datagram
            changed[bit / 8] ^= 1 << (bit % 8)
            let received = try? ReceivedSTUNMessage(parsing: changed)
            #expect(received?.hasFingerprint != true, "bit \(bit)")
        }
    }

    @Test func whatFollowsIntegrityIsIgnored() throws {
        let message = STUNMessage(.request, transactionID: Self.id, attributes: [.username(Array("a:b".utf8))])
        var datagram = message.encoded(key: Self.key, fingerprint: false)
        datagram += [0x00, 0x25, 0, 0]  // USE-CANDIDATE that nobody signed
        STUNMessage.setLength(of: &datagram, adding: 0)
        let received = try ReceivedSTUNMessage(parsing: datagram)
        #expect(received.isAuthentic(key: Self.key))
        #expect(!received.message.hasUseCandidate)
    }

    @Test func unknownRequiredAttributesAreNamed() throws {
        let message = STUNMessage(
            .request, transactionID: Self.id,
            attributes: [.other(type: 0x7ffe, value: []), .other(type: 0x8000, value: []), .other(type: 2, value: [9])])
        #expect(try ReceivedSTUNMessage(parsing: message.encoded()).unknownRequiredAttributes == [0x7ffe, 2])
    }

    @Test func limits() throws {
        func message(_ count: Int) -> [UInt8] {
            STUNMessage(
                .request, transactionID: Self.id, attributes: Array(repeating: .useCandidate, count: count)
            ).encoded(fingerprint: false)
        }
        #expect(try ReceivedSTUNMessage(parsing: message(STUNMessage.maximumAttributes)).message.hasUseCandidate)
        #expect(throws: STUNError.tooManyAttributes) {
            try ReceivedSTUNMessage(parsing: message(STUNMessage.maximumAttributes + 1))
        }
        let bare = message(0)
        #expect(STUNMessage.isSTUN(bare))
        #expect(!STUNMessage.isSTUN(Array(bare.dropLast())))
        #expect(!STUNMessage.isSTUN(bare + [0, 0, 0, 0]))
        #expect(!STUNMessage.isSTUN([]))
    }

    @Test func malformedValuesAreRefused() {
        let values: [(UInt16, [UInt8])] = [
            (0x0001, [0, 1, 0, 0, 1, 2, 3]), (0x0020, [0, 3, 0, 0, 1, 2, 3, 4]), (0x0020, []), (0x0006, []),
            (0x0009, [0, 0, 2, 0]), (0x0009, [0, 0, 4, 100]), (0x0024, [1, 2, 3]), (0x8029, [1]), (0x802a, []),
        ]
        for (type, value) in values {
            let datagram = STUNMessage(
                .success, transactionID: Self.id, attributes: [.other(type: type, value: value)]
            ).encoded()
            #expect(throws: STUNError.malformedAttribute(type: type)) { try ReceivedSTUNMessage(parsing: datagram) }
        }
        // Lengths past the end.
        var cut = STUNMessage(.request, transactionID: Self.id, attributes: [.priority(1)]).encoded(fingerprint: false)
        cut[23] = 5
        #expect(throws: STUNError.malformedAttribute(type: 0x24)) { try ReceivedSTUNMessage(parsing: cut) }
        cut[22] = 0xff
        #expect(throws: STUNError.malformedAttribute(type: 0x24)) { try ReceivedSTUNMessage(parsing: cut) }
        #expect(STUNMessage.localUfrag(of: cut) == nil)
    }

    @Test(arguments: 0..<20) func mutatedMessagesNeverTrap(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let datagram = STUNMessage(.request, transactionID: Self.id, attributes: Self.everyAttribute)
            .encoded(key: Self.key)
        var parsed = 0
        for _ in 0..<500 {
            var bytes = datagram
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 20..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) {
                bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random) & ~3))
                if bytes.count >= 20 { STUNMessage.setLength(of: &bytes, adding: 0) }
            }
            _ = STUNMessage.localUfrag(of: bytes)
            _ = STUNBindingServer.respond(to: bytes, from: Self.v6)
            if let received = try? ReceivedSTUNMessage(parsing: bytes) {
                parsed += 1
                _ = received.isAuthentic(key: Self.key)
                // What was read can be written and read again.
                let again = try? ReceivedSTUNMessage(parsing: received.message.encoded(key: Self.key))
                #expect(again?.message == received.message, "seed \(seed)")
            }
        }
        #expect(parsed > 0, "seed \(seed): the mutations never passed the first checks")
    }

    @Test func bindingServer() throws {
        let plain = STUNMessage(.request, transactionID: Self.id)
        for fingerprint in [true, false] {
            let answer = try #require(
                STUNBindingServer.respond(to: plain.encoded(fingerprint: fingerprint), from: Self.v6))
            let received = try ReceivedSTUNMessage(parsing: answer)
            #expect(received.message.messageClass == .success)
            #expect(received.message.transactionID == Self.id)
            #expect(received.message.reflexiveAddress == Self.v6)
            #expect(received.hasFingerprint == fingerprint)
            #expect(answer.count <= plain.encoded(fingerprint: fingerprint).count + 28)
        }
        let check = STUNMessage(.request, transactionID: Self.id, attributes: [.username(Array("a:b".utf8))])
        #expect(STUNBindingServer.respond(to: check.encoded(), from: Self.v4) == nil)
        for kind in [STUNClass.indication, .success, .error] {
            let other = STUNMessage(kind, transactionID: Self.id)
            #expect(STUNBindingServer.respond(to: other.encoded(), from: Self.v4) == nil)
        }
        let allocate = STUNMessage(.request, method: STUNMethod(rawValue: 3), transactionID: Self.id)
        #expect(STUNBindingServer.respond(to: allocate.encoded(), from: Self.v4) == nil)
        let strange = STUNMessage(.request, transactionID: Self.id, attributes: [.other(type: 3, value: [0, 0, 0, 6])])
        let refusal = try #require(STUNBindingServer.respond(to: strange.encoded(), from: Self.v4))
        let error = try ReceivedSTUNMessage(parsing: refusal).message
        #expect(error.messageClass == .error && error.errorCode == 420)
        #expect(error.attributes.contains(.unknownAttributes([3])))
    }
}
