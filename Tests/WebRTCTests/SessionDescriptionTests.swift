import DTLS
import ICE
import SwarmBase
import Testing

@testable import WebRTC

@Suite struct SessionDescriptionTests {
    @Test func chromium() throws {
        let offer = try SessionDescription(kind: .offer, parsing: DescriptionSamples.chromium)
        #expect(offer.sessionID == 4_962_303_333_179_871_722)
        #expect(offer.version == 2)
        #expect(offer.mid == "0")
        #expect(offer.isBundled)
        #expect(offer.credentials.ufrag == "FzPr")
        #expect(offer.credentials.password == "mSD4vDHUcUbFnWDDfDCbnM1c")
        #expect(offer.iceOptions == ["trickle"])
        #expect(offer.setup == .actpass)
        #expect(offer.sctpPort == 5000)
        #expect(offer.maxMessageSize == 262_144)
        #expect(offer.form == .sctpPort)
        #expect(!offer.hasEndOfCandidates)
        #expect(!offer.isLite)
        // The TCP and the mDNS candidate are not for us.
        #expect(offer.candidates.map { "\($0.address)" } == ["192.0.2.7:51000"])
        #expect(offer.fingerprints.map(\.sdp) == ["sha-256 \(DescriptionSamples.digest)"])
    }

    @Test func firefoxHasTheFingerprintAtSessionLevel() throws {
        let offer = try SessionDescription(kind: .offer, parsing: DescriptionSamples.firefox)
        #expect(offer.fingerprints.count == 1)
        #expect(offer.iceOptions == ["trickle"])
        #expect(offer.candidates.map(\.kind) == [.host, .serverReflexive])
        #expect(offer.hasEndOfCandidates)
        #expect(offer.maxMessageSize == 1_073_741_823)
        #expect(offer.sessionID == 8_230_482_304_820_034)
    }

    @Test func aiortcHasThreeFingerprints() throws {
        let offer = try SessionDescription(kind: .offer, parsing: DescriptionSamples.aiortc)
        #expect(offer.fingerprints.map(\.hashFunction) == [.sha256, .sha384, .sha512])
        #expect(offer.maxMessageSize == 65_536)
        #expect(offer.candidates.map(\.foundation.utf8.count) == [32, 32])
    }

    @Test func libdatachannelAnswer() throws {
        let answer = try SessionDescription(kind: .answer, parsing: DescriptionSamples.libdatachannel)
        #expect(answer.mid == "data")
        #expect(answer.isBundled)
        #expect(answer.setup == .active)
        #expect(answer.candidates.isEmpty)
    }

    @Test func oldForm() throws {
        let offer = try SessionDescription(kind: .offer, parsing: DescriptionSamples.old)
        #expect(offer.form == .sctpmap)
        #expect(offer.sctpPort == 5000)
        #expect(offer.maxMessageSize == 65_536)
        #expect(offer.sdp.contains("m=application 9 DTLS/SCTP 5000\r\n"))
        #expect(offer.sdp.contains("a=sctpmap:5000 webrtc-datachannel 1024\r\n"))
        #expect(!offer.sdp.contains("sctp-port"))
    }

    @Test func otherSectionsAreRefusedInTheirPlaces() throws {
        let offer = try SessionDescription(kind: .offer, parsing: DescriptionSamples.withMedia)
        #expect(offer.mid == "1")
        #expect(offer.credentials.ufrag == "abcd")
        #expect(offer.otherSections.map(\.index) == [0, 2])
        let lines = offer.sdp.split(separator: "\r\n").filter { $0.hasPrefix("m=") || $0.hasPrefix("a=mid:") }
        #expect(
            lines == [
                "m=audio 0 UDP/TLS/RTP/SAVPF 111 63", "a=mid:0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
                "a=mid:1", "m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:2",
            ])
        #expect(offer.sdp.contains("a=group:BUNDLE 1\r\n"))
    }

    @Test(arguments: DescriptionSamples.all) func writingAndReadingGivesTheSame(sample: String) throws {
        for kind in [SessionDescription.Kind.offer, .answer] {
            let text = kind == .answer ? sample.replacing("actpass", with: "passive") : sample
            let description = try SessionDescription(kind: kind, parsing: text)
            #expect(try SessionDescription(kind: kind, parsing: description.sdp) == description)
            // Bare LF reads the same.
            #expect(try SessionDescription(kind: kind, parsing: text.replacing("\r\n", with: "\n")) == description)
        }
    }

    @Test func whatWeWrite() throws {
        let credentials = try #require(ICECredentials(ufrag: "abcdEFGH", password: "abcdefghijklmnopqrstuvwx"))
        let fingerprint = try #require(DTLSFingerprint(sdp: "sha-256 \(DescriptionSamples.digest)"))
        var offer = SessionDescription(
            kind: .offer, sessionID: 77, version: 2, credentials: credentials, fingerprints: [fingerprint],
            setup: .actpass)
        let expected = DescriptionSamples.crlf(
            """
            v=0
            o=- 77 2 IN IP4 127.0.0.1
            s=-
            t=0 0
            a=group:BUNDLE 0
            a=msid-semantic: WMS
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel
            c=IN IP4 0.0.0.0
            a=ice-ufrag:abcdEFGH
            a=ice-pwd:abcdefghijklmnopqrstuvwx
            a=ice-options:trickle ice2
            a=fingerprint:sha-256 \(DescriptionSamples.digest)
            a=setup:actpass
            a=mid:0
            a=sctp-port:5000
            a=max-message-size:262144
            """)
        #expect(offer.sdp == expected)
        let address = try #require(TransportAddress("192.0.2.1:7000"))
        let mapped = try #require(TransportAddress("198.51.100.1:7001"))
        let six = try #require(TransportAddress("[2001:db8::1]:7000"))
        offer.candidates = [.host(six)]
        #expect(offer.sdp.contains("m=application 7000 ") && offer.sdp.contains("c=IN IP6 2001:db8::1\r\n"))
        offer.candidates = [.host(six), .host(address)]
        #expect(offer.sdp.contains("m=application 7000 ") && offer.sdp.contains("c=IN IP4 192.0.2.1\r\n"))
        offer.candidates.append(.serverReflexive(mapped))
        #expect(offer.sdp.contains("m=application 7001 ") && offer.sdp.contains("c=IN IP4 198.51.100.1\r\n"))
        offer.hasEndOfCandidates = true
        #expect(offer.sdp.contains("a=end-of-candidates\r\n"))
    }

    @Test func boundsOfTheAttributes() throws {
        func read(
            _ old: String, _ new: String, kind: SessionDescription.Kind = .offer
        ) throws(SDPError) -> SessionDescription {
            try SessionDescription(kind: kind, parsing: DescriptionSamples.chromium.replacing(old, with: new))
        }
        #expect(try read("size:262144", "size:0").maxMessageSize == .max)
        #expect(try read("size:262144", "size:18446744073709551615").maxMessageSize == .max)
        #expect(throws: SDPError.invalid("max-message-size")) { try read("size:262144", "size:18446744073709551616") }
        #expect(try read("sctp-port:5000", "sctp-port:65535").sctpPort == 65_535)
        #expect(throws: SDPError.invalid("sctp-port")) { try read("sctp-port:5000", "sctp-port:65536") }
        #expect(throws: SDPError.invalid("sctp-port")) { try read("sctp-port:5000", "sctp-port:0") }
        #expect(throws: SDPError.noDataSection) { try read("m=application 51000", "m=application 0") }
        #expect(throws: SDPError.noDataSection) { try read("m=application", "m=audio") }
        #expect(throws: SDPError.invalid("m=")) { try read("m=application", "m=audio 9 RTP/AVP  \r\nm=application") }
        #expect(throws: SDPError.noDataSection) { try read(" UDP/DTLS/SCTP", " RTP/AVP") }
        #expect(throws: SDPError.missing("ice-ufrag")) { try read("a=ice-ufrag", "a=x") }
        #expect(throws: SDPError.missing("ice-pwd")) { try read("a=ice-pwd", "a=x") }
        #expect(throws: SDPError.missing("fingerprint")) { try read("a=fingerprint", "a=x") }
        #expect(throws: SDPError.invalid("fingerprint")) { try read("sha-256", "sha-1") }
        #expect(throws: SDPError.invalid("ice-ufrag")) { try read("FzPr", "FzP") }
        #expect(throws: SDPError.invalid("setup")) { try read("actpass", "holdconn") }
        #expect(throws: SDPError.invalid("setup")) { try read("x", "x", kind: .answer) }
        #expect(try read("a=setup:actpass", "a=x").setup == .actpass)
        #expect(try read("a=setup:actpass", "a=x", kind: .answer).setup == .active)
        #expect(try read("a=mid:0", "a=ice-lite").isLite)
        #expect(throws: SDPError.notSDP) { try SessionDescription(kind: .offer, parsing: "") }
        #expect(throws: SDPError.notSDP) { try SessionDescription(kind: .offer, parsing: "hello") }
    }

    @Test func sizeLimits() throws {
        let padding = String(repeating: "a", count: 65_536 - DescriptionSamples.chromium.utf8.count - 4)
        let full = DescriptionSamples.chromium + "a=" + padding + "\r\n"
        #expect(full.utf8.count == 65_536)
        #expect(throws: Never.self) { try SessionDescription(kind: .offer, parsing: full) }
        #expect(throws: SDPError.tooLong) { try SessionDescription(kind: .offer, parsing: full + "x") }
        let candidates = (0..<300).map { "a=candidate:1 1 udp 1 192.0.2.1 \(1000 + $0) typ host\r\n" }.joined()
        let many = try SessionDescription(kind: .offer, parsing: DescriptionSamples.chromium + candidates)
        #expect(many.candidates.count == 100)
        let sections = String(repeating: "m=audio 9 RTP/AVP 0\r\n", count: 63)
        #expect(throws: Never.self) {
            try SessionDescription(kind: .offer, parsing: DescriptionSamples.chromium + sections)
        }
        #expect(throws: SDPError.tooLong) {
            try SessionDescription(
                kind: .offer, parsing: DescriptionSamples.chromium + sections + "m=audio 9 RTP/AVP 0")
        }
    }

    @Test(arguments: 1...20) func mutatedDescriptionsNeverTrap(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var readable = 0
        for round in 0..<100 {
            var bytes = Array(DescriptionSamples.all[round % DescriptionSamples.all.count].utf8)
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
                default: bytes.removeSubrange(index..<min(bytes.count, index + 40))
                }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            guard let description = try? SessionDescription(kind: .offer, parsing: text) else { continue }
            readable += 1
            // What was readable is writable, and then readable again.
            #expect(throws: Never.self, "seed \(seed)") {
                try SessionDescription(kind: .offer, parsing: description.sdp)
            }
        }
        #expect(readable > 0, "seed \(seed)")
    }
}
