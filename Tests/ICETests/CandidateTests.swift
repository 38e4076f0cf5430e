import SwarmBase
import Testing

@testable import ICE

@Suite struct CandidateTests {
    @Test func linesOfRealAgents() throws {
        // Chromium
        let chromium = try #require(
            Candidate(
                sdp:
                    "candidate:842163049 1 udp 1677729535 203.0.113.141 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag EsAw network-cost 999"
            ))
        #expect(chromium.kind == .serverReflexive)
        #expect(chromium.address == TransportAddress("203.0.113.141:46154"))
        #expect(chromium.priority == 1_677_729_535)
        #expect(chromium.foundation == "842163049")
        #expect(chromium.relatedAddress == nil)
        #expect(chromium.usernameFragment == "EsAw")
        // Firefox
        let firefox = try #require(
            Candidate(
                sdp: "a=candidate:1 1 UDP 1686052863 198.51.100.7 51234 typ srflx raddr 192.168.1.20 rport 51234\r\n"))
        #expect(firefox.kind == .serverReflexive)
        #expect(firefox.relatedAddress == TransportAddress("192.168.1.20:51234"))
        let firefoxHost = try #require(Candidate(sdp: "candidate:0 1 UDP 2122252543 2001:db8::5 51234 typ host"))
        #expect(firefoxHost.address == TransportAddress("[2001:db8::5]:51234"))
        // aiortc
        let aiortc = try #require(
            Candidate(sdp: "candidate:5a9d4a2ff1ca6dbd9ef6d1fdc9a8d9b5 1 udp 2130706431 192.168.1.5 38443 typ host"))
        #expect(aiortc.foundation.count == 32)
        // libdatachannel
        let libdatachannel = try #require(Candidate(sdp: "a=candidate:1 1 UDP 2122317823 10.0.0.2 40123 typ host"))
        #expect(libdatachannel.kind == .host)
        // coturn's relayed address, as Chromium writes it
        let relayed = try #require(
            Candidate(
                sdp:
                    "candidate:3719193085 1 udp 33562367 198.51.100.9 61243 typ relay raddr 203.0.113.141 rport 46154 generation 0"
            ))
        #expect(relayed.kind == .relayed)
    }

    @Test(arguments: [
        "candidate:1510613869 1 udp 2113937151 8f5e0c1a-52a5-4f5e-9a7e-0a1b2c3d4e5f.local 54400 typ host generation 0",
        "candidate:2 1 TCP 2105524479 192.168.1.20 9 typ host tcptype active",
        "candidate:1 2 udp 2130706430 192.168.1.20 9000 typ host",
        "candidate:1 1 udp 2130706431 192.168.1.20 0 typ host", "candidate:1 1 udp 2130706431 192.168.1.20 9 typ magic",
        "candidate:1 1 udp 2130706431 fe80::1%eth0 5000 typ host", "candidate:1 1 udp -1 192.168.1.20 5000 typ host",
        "candidate:1 1 udp 4294967296 192.168.1.20 5000 typ host", "candidate:1 1 udp +1 192.168.1.20 5000 typ host",
        "candidate:1 1 udp 1 192.168.1.20 65536 typ host", "candidate:1 1 udp 1 example.org 5000 typ host",
        "candidate:123456789012345678901234567890123 1 udp 1 192.168.1.20 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.7 5000 typ host ufrag \nabcd", "candidate:1\u{7f} 1 udp 1 192.0.2.7 5000 typ host",
        "candidate:é 1 udp 1 192.0.2.7 5000 typ host",
        "candidate:1 1 udp 1 192.168.1.20 5000 typ", "candidate:", "", "a=", "end-of-candidates",
    ]) func ignored(_ line: String) {
        #expect(Candidate(sdp: line) == nil)
    }

    @Test func written() throws {
        let host = Candidate.host(try #require(TransportAddress("192.0.2.7:7750")))
        #expect(
            host.sdp == "candidate:\(host.foundation) 1 udp \(126 << 24 | 0x7fff << 8 | 255) 192.0.2.7 7750 typ host")
        let reflexive = Candidate.serverReflexive(try #require(TransportAddress("198.51.100.1:1")))
        #expect(reflexive.sdp.hasSuffix("typ srflx raddr 0.0.0.0 rport 9"))
        for candidate in [
            host, reflexive, .host(try #require(TransportAddress("[2001:db8::1]:1"))),
            .serverReflexive(try #require(TransportAddress("[2001:db8::2]:5")), rank: 3),
        ] {
            var again = try #require(Candidate(sdp: candidate.sdp))
            if again.relatedAddress?.port == 9 { again.relatedAddress = nil }
            #expect(again.address == candidate.address && again.kind == candidate.kind)
            #expect(again.priority == candidate.priority && again.foundation == candidate.foundation)
        }
    }

    @Test func hiddenBaseOfIPv6IsUnspecified() throws {
        let candidate = Candidate.serverReflexive(try #require(TransportAddress("[2001:db8::2]:5")))
        #expect(candidate.sdp.hasSuffix("raddr :: rport 9"))
        #expect(Candidate(sdp: candidate.sdp)?.relatedAddress == nil)
    }

    @Test func prioritiesAndFoundations() throws {
        let a = try #require(TransportAddress("192.0.2.7:7750"))
        let b = try #require(TransportAddress("[2001:db8::1]:7750"))
        #expect(Candidate.host(b).priority > Candidate.host(a).priority)
        #expect(Candidate.host(a, rank: 0).priority > Candidate.host(a, rank: 1).priority)
        #expect(Candidate.host(a, rank: .max).priority > Candidate.serverReflexive(b).priority)
        #expect(Candidate.host(a).foundation == Candidate.host(TransportAddress(a.address, port: 1)).foundation)
        #expect(Candidate.host(a).foundation != Candidate.host(b).foundation)
        #expect(Candidate.host(a).foundation != Candidate.serverReflexive(a).foundation)
        // RFC 8445 §6.1.2.3
        #expect(CandidatePair.priority(controlling: 2, controlled: 1) == (1 << 32) + 5)
        #expect(CandidatePair.priority(controlling: 1, controlled: 2) == (1 << 32) + 4)
        #expect(CandidatePair.priority(controlling: .max, controlled: 0) == 0xffff_ffff)
        #expect(CandidatePair.priority(controlling: .max, controlled: .max) == 0x7fff_ffff_ffff_fffe)
    }

    @Test func credentials() {
        #expect(ICECredentials(ufrag: "abc", password: String(repeating: "p", count: 22)) == nil)
        #expect(ICECredentials(ufrag: "abcd", password: String(repeating: "p", count: 21)) == nil)
        #expect(ICECredentials(ufrag: "abcd", password: String(repeating: "p", count: 22)) != nil)
        #expect(
            ICECredentials(
                ufrag: String(repeating: "u", count: 256), password: String(repeating: "p", count: 256)) != nil)
        #expect(
            ICECredentials(
                ufrag: String(repeating: "u", count: 257), password: String(repeating: "p", count: 22)) == nil)
        #expect(ICECredentials(ufrag: "ab:cd", password: String(repeating: "p", count: 22)) == nil)
        #expect(ICECredentials(ufrag: "ab cd", password: String(repeating: "p", count: 22)) == nil)
        #expect(ICECredentials(ufrag: "abcé", password: String(repeating: "p", count: 22)) == nil)
        var entropy = Entropy.seed(1)
        let random = ICECredentials.random(using: &entropy)
        #expect(random.ufrag.count == 8 && random.password.count == 24)
        #expect(ICECredentials(ufrag: random.ufrag, password: random.password) == random)
        #expect(ICECredentials.random(using: &entropy) != random)
    }

    @Test(arguments: 0..<20) func mutatedLinesNeverTrap(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let line = Array(
            "a=candidate:1 1 udp 1686052863 198.51.100.7 51234 typ srflx raddr 192.168.1.20 rport 51234 ufrag x".utf8)
        for _ in 0..<300 {
            var bytes = line
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                default: bytes.insert(UInt8(ascii: " "), at: index)
                }
            }
            if let candidate = Candidate(sdp: String(decoding: bytes, as: UTF8.self)) {
                #expect(candidate.address.port != 0, "seed \(seed)")
                #expect(Candidate(sdp: candidate.sdp)?.address == candidate.address, "seed \(seed)")
            }
        }
        #expect(Candidate(sdp: "candidate:1 1 udp 1 1.2.3.4 5 typ host" + String(repeating: " a b", count: 300)) == nil)
    }
}
