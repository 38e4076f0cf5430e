import SwarmBase
import Testing

@testable import DTLS

@Suite struct TrustTests {
    @Test func clientRefusesTheWrongCertificate() throws {
        let other = try DTLSCertificate()
        var pair = try LossyPair(clientExpects: [other.fingerprint])
        pair.start()
        pair.run()
        #expect(pair.clientEvents == [.failed(.fingerprintMismatch)])
        // 42 is bad_certificate.
        #expect(pair.serverEvents == [.failed(.alert(42))])
        #expect(throws: DTLSError.fingerprintMismatch) { try pair.client.send([1]) }
    }

    @Test func serverRefusesTheWrongCertificate() throws {
        let other = try DTLSCertificate()
        var pair = try LossyPair(serverExpects: [other.fingerprint])
        pair.start()
        pair.run()
        #expect(pair.serverEvents == [.failed(.fingerprintMismatch)])
        #expect(pair.clientEvents == [.failed(.alert(42))])
    }

    @Test func anyOfSeveralFingerprintsSuffices() throws {
        let wrong = try #require(DTLSFingerprint(.sha512, digest: [UInt8](repeating: 1, count: 64)))
        let server = try DTLSCertificate()
        let client = try DTLSCertificate()
        var one = try DTLSTransport(role: .client, certificate: client, expected: [wrong, server.fingerprint])
        var two = try DTLSTransport(role: .server, certificate: server, expected: [wrong, client.fingerprint])
        one.start(now: .zero)
        two.start(now: .zero)
        for _ in 0..<6 {
            while let bytes = one.pollTransmit() { two.handle(datagram: bytes, now: .zero) }
            while let bytes = two.pollTransmit() { one.handle(datagram: bytes, now: .zero) }
        }
        let bothAreUp = one.isConnected && two.isConnected
        #expect(bothAreUp)
    }

    @Test func holdsEverythingUntilTheFingerprintIsKnown() throws {
        let server = try DTLSCertificate()
        let client = try DTLSCertificate()
        var one = try DTLSTransport(role: .client, certificate: client, expected: [server.fingerprint])
        var two = try DTLSTransport(role: .server, certificate: server, expected: [])
        one.start(now: .zero)
        two.start(now: .zero)
        for _ in 0..<6 {
            while let bytes = one.pollTransmit() { two.handle(datagram: bytes, now: .zero) }
            while let bytes = two.pollTransmit() { one.handle(datagram: bytes, now: .zero) }
        }
        #expect(two.isHandshakeFinished == true)
        #expect(two.isConnected == false)
        #expect(throws: DTLSError.notConnected) { try two.send([1]) }
        try one.send([1, 2, 3])
        while let bytes = one.pollTransmit() { two.handle(datagram: bytes, now: .zero) }
        #expect(two.pollReceived() == nil)
        #expect(two.pollEvent() == nil)
        two.setExpected([client.fingerprint], now: .zero)
        #expect(two.pollEvent() == .connected)
        #expect(two.pollReceived() == [1, 2, 3])
    }

    @Test func lateFingerprintThatDoesNotMatchEndsIt() throws {
        let server = try DTLSCertificate()
        let client = try DTLSCertificate()
        var one = try DTLSTransport(role: .client, certificate: client, expected: [server.fingerprint])
        var two = try DTLSTransport(role: .server, certificate: server, expected: [])
        one.start(now: .zero)
        two.start(now: .zero)
        for _ in 0..<6 {
            while let bytes = one.pollTransmit() { two.handle(datagram: bytes, now: .zero) }
            while let bytes = two.pollTransmit() { one.handle(datagram: bytes, now: .zero) }
        }
        try one.send([1, 2, 3])
        while let bytes = one.pollTransmit() { two.handle(datagram: bytes, now: .zero) }
        two.setExpected([server.fingerprint], now: .zero)
        #expect(two.pollEvent() == .failed(.fingerprintMismatch))
        #expect(two.pollReceived() == nil)
        while let bytes = two.pollTransmit() { one.handle(datagram: bytes, now: .zero) }
        #expect(one.pollEvent() == .connected)
        #expect(one.pollEvent() == .closed)
    }

    @Test func fingerprintText() throws {
        let certificate = try DTLSCertificate()
        let text = certificate.fingerprint.sdp
        #expect(text.hasPrefix("sha-256 "))
        #expect(text.utf8.count == 8 + 95)
        #expect(DTLSFingerprint(sdp: text) == certificate.fingerprint)
        #expect(DTLSFingerprint(sdp: text.lowercased()) == certificate.fingerprint)
        #expect(DTLSFingerprint(sdp: "SHA-256" + text.dropFirst(7)) == certificate.fingerprint)
        #expect(DTLSFingerprint(sdp: text.dropLast(3)) == nil)
        #expect(DTLSFingerprint(sdp: text + ":00") == nil)
        #expect(DTLSFingerprint(sdp: "sha-1 00:11") == nil)
        #expect(DTLSFingerprint(sdp: "sha-512" + text.dropFirst(7)) == nil)
        #expect(DTLSFingerprint(sdp: "") == nil)
        #expect(try DTLSCertificate().fingerprint != certificate.fingerprint)
    }
}
