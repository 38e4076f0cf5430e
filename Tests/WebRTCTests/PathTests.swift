import DTLS
import ICE
import SCTP
import SwarmBase
import Testing

@testable import WebRTC

@Suite struct PathTests {
    /// Sends numbered messages while something happens to the path; all arrive, once and in order.
    private func stream(
        seed: UInt64 = 1, messages: Int = 60, every interval: Duration = .milliseconds(50),
        limit: Duration = .seconds(60),
        _ event: (inout PeerPair, Int) throws -> Void
    ) throws {
        var pair = try PeerPair(seed: seed)
        let channel = try pair.a.openChannel(DataChannelOptions(label: "stream"), now: pair.now)
        try pair.connect()
        var sent: [[UInt8]] = []
        for index in 0..<messages {
            try event(&pair, index)
            let payload = [UInt8(index)] + [UInt8](repeating: 7, count: 3000)
            sent.append(payload)
            try pair.a.send(payload, kind: .binary, on: channel, now: pair.now)
            pair.run(for: interval)
        }
        pair.run(for: limit) { $0.eventsB.messages.count == messages }
        #expect(pair.eventsB.messages == sent)
        #expect(pair.eventsA.closed.isEmpty && pair.eventsB.closed.isEmpty)
        #expect(pair.isConnected == true)
    }

    @Test func restartInTheMiddleLosesNothing() throws {
        try stream { pair, index in
            if index == 20 {
                let before = pair.a.localUfrags[0]
                try pair.negotiate(restart: true)
                #expect(pair.a.localUfrags[0] != before)
                // The old name is still answered to.
                let answersOld = pair.a.accepts(ufrag: before)
                #expect(answersOld)
            }
        }
    }

    @Test func restartWithSlowSignalingLosesNothing() throws {
        try stream { pair, index in
            if index == 20 { try pair.negotiate(restart: true, delay: .milliseconds(400)) }
        }
    }

    @Test func anAnswerThatSwapsTheRolesInARestartSwapsNothing() throws {
        try stream { pair, index in
            if index == 20 {
                let offer = try pair.b.createOffer(restart: true, now: pair.now)
                pair.drain()
                var answer = try pair.a.accept(offer: offer, now: pair.now)
                #expect(answer.setup == .passive)
                answer.setup = .active
                try pair.b.accept(answer: answer, now: pair.now)
                pair.drain()
            }
        }
    }

    @Test func renegotiationWithoutRestartChangesNothing() throws {
        try stream { pair, index in
            if index == 20 {
                let before = pair.a.localUfrags
                try pair.negotiate()
                let after = pair.a.localUfrags
                #expect(after == before)
                #expect(pair.a.localDescription?.version == 3)
            }
        }
    }

    @Test(arguments: 1...10) func addressChangeOfTheSenderIsFollowed(seed: UInt64) throws {
        // A NAT gives the sender another port: its packets come from elsewhere, and the old address is dead.
        try stream(seed: seed) { pair, index in
            if index == 20 { pair.addressA = TransportAddress(.v4(0x0a00_0001), port: 6001) }
        }
    }

    @Test(arguments: 1...10) func addressChangeOfTheReceiverIsFollowed(seed: UInt64) throws {
        try stream(seed: seed) { pair, index in
            if index == 20 { pair.addressB = TransportAddress(.v4(0x0a00_0077), port: 5002) }
        }
    }

    @Test(arguments: [false, true]) func afterAnOutageNobodyHasToWaitForSCTPsTimeout(_ asks: Bool) throws {
        var pair = try PeerPair(seed: 1)
        let channel = try pair.a.openChannel(DataChannelOptions(label: "stream"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(2))
        pair.link.isCut = true
        try pair.a.send([1], kind: .binary, on: channel, now: pair.now)
        // Sent again after 0.22, 0.66, 1.54 and 3.3 s; then not before 6.8 s.
        pair.run(for: .milliseconds(3500))
        pair.link.isCut = false
        if asks { pair.a.sendAgain(now: pair.now) }
        pair.drain()
        pair.run(for: .milliseconds(200))
        #expect(pair.eventsB.messages == (asks ? [[1]] : []))
        pair.run(for: .seconds(10)) { !$0.eventsB.messages.isEmpty }
        #expect(pair.eventsB.messages == [[1]])
    }

    @Test func shortOutageHealsByItself() throws {
        try stream(messages: 100, every: .milliseconds(200)) { pair, index in
            if index == 20 { pair.link.isCut = true }
            if index == 60 {
                // Eight seconds of silence.
                #expect(pair.a.state == .disconnected)
                pair.link.isCut = false
            }
        }
    }

    @Test func deadPathFailsAndARestartRevivesIt() throws {
        var pair = try PeerPair()
        let channel = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(1))
        pair.link.isCut = true
        try pair.a.send([1, 2, 3], kind: .binary, on: channel, now: pair.now)
        pair.run(for: .seconds(40))
        #expect(pair.a.state == .failed)
        #expect(pair.b.state == .failed)
        #expect(pair.eventsA.closed.isEmpty)
        // Consent is gone, so not a single datagram leaves.
        let before = pair.datagrams
        pair.run(for: .seconds(5))
        #expect(pair.datagrams == before)
        pair.link.isCut = false
        try pair.negotiate(restart: true)
        pair.run(for: .seconds(5)) { !$0.eventsB.messages.isEmpty }
        #expect(pair.eventsB.messages == [[1, 2, 3]])
        #expect(pair.isConnected == true)
    }

    @Test func deadPathIsGivenUpAfterTheGrace() throws {
        var pair = try PeerPair()
        _ = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(1))
        pair.link.isCut = true
        pair.run(for: .seconds(120))
        #expect(pair.eventsA.states == [.connecting, .connected, .disconnected, .failed, .closed])
        #expect(pair.a.closeReason == .pathLost)
        #expect(pair.b.closeReason == .pathLost)
        #expect(pair.eventsA.closed.count == 1)
    }

    @Test func noPathAtAll() throws {
        var pair = try PeerPair()
        pair.link.isCut = true
        _ = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        try pair.negotiate()
        pair.run(for: .seconds(180))
        #expect(pair.eventsA.states == [.connecting, .failed, .closed])
        #expect(pair.a.closeReason == .pathLost)
    }

    @Test func trickledCandidatesSuffice() throws {
        // The descriptions carry no candidate at all.
        var pair = try PeerPair()
        _ = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        var offer = try pair.a.createOffer(now: pair.now)
        offer.candidates = []
        // A candidate may overtake the description it belongs to.
        pair.b.addRemoteCandidate(Candidate.host(pair.addressA).sdp, ufrag: offer.credentials.ufrag, now: pair.now)
        var answer = try pair.b.accept(offer: offer, now: pair.now)
        answer.candidates = []
        try pair.a.accept(answer: answer, now: pair.now)
        pair.run(for: .seconds(1))
        pair.a.addRemoteCandidate("a=" + Candidate.host(pair.addressB).sdp, ufrag: nil, now: pair.now)
        pair.a.addRemoteCandidate("candidate:1 1 tcp 1 10.0.0.9 9 typ host tcptype active", ufrag: nil, now: pair.now)
        pair.a.addRemoteCandidate("nonsense", ufrag: nil, now: pair.now)
        pair.a.addRemoteCandidate("", ufrag: nil, now: pair.now)
        pair.run(for: .seconds(5)) { $0.isConnected }
        #expect(pair.isConnected == true)
    }

    @Test func anotherCertificateInAnOfferBeginsAnew() throws {
        var pair = try PeerPair()
        _ = try pair.a.openChannel(DataChannelOptions(label: "first"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(1))
        // The peer was restarted as a whole: a new connection object with another certificate offers.
        var other = try PeerPair(seed: 99)
        _ = try other.a.openChannel(DataChannelOptions(label: "second"), now: other.now)
        var offer = try other.a.createOffer(now: other.now)
        offer.fingerprints = [pair.certificateB.fingerprint]
        let answer = try pair.b.accept(offer: offer, now: pair.now)
        #expect(answer.setup == .active)
        pair.drain()
        #expect(pair.eventsB.closed.count == 1)
        #expect(pair.b.state != .closed)
    }
}
