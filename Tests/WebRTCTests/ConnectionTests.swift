import DTLS
import ICE
import SCTP
import SwarmBase
import Testing

@testable import WebRTC

@Suite struct ConnectionTests {
    @Test func connectsOpensAndExchanges() throws {
        var pair = try PeerPair()
        let channel = try pair.a.openChannel(DataChannelOptions(label: "main"), now: pair.now)
        // Sent before there is anything: it waits.
        try pair.a.send(Array("early".utf8), kind: .text, on: channel, now: pair.now)
        #expect(pair.a.bufferedAmount(of: channel) == 5)
        #expect(pair.a.state == .new)
        try pair.negotiate()
        #expect(pair.a.state == .connecting)
        pair.run(for: .seconds(5)) { !$0.eventsB.messages.isEmpty }
        #expect(pair.eventsB.messages == [Array("early".utf8)])
        // Ten milliseconds each way: check, hello, two flights, association, message.
        #expect(pair.now < .zero + .milliseconds(200))
        pair.run(for: .seconds(1))
        #expect(pair.eventsA.states == [.connecting, .connected])
        #expect(pair.eventsB.states == [.connecting, .connected])
        #expect(pair.eventsA.opened == [channel])
        let answer = try #require(pair.eventsB.opened.first)
        guard
            case .channelOpened(_, let options, let byPeer)? = pair.eventsB.first(where: {
                if case .channelOpened = $0 { true } else { false }
            })
        else {
            Issue.record("no channel at b")
            return
        }
        #expect(byPeer)
        #expect(options.label == "main")
        try pair.b.send([1, 2, 3], kind: .binary, on: answer, now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.eventsA.messages == [[1, 2, 3]])
        #expect(pair.a.remoteAddress == pair.addressB)
        #expect(pair.b.remoteAddress == pair.addressA)
        #expect(pair.eventsA.contains(.selectedAddress(pair.addressB)))
        #expect(pair.eventsA.contains(.addressValidated(pair.addressB)))
        // The answerer is the DTLS client: the offerer's channels have odd identifiers.
        #expect(pair.a.streamIdentifier(of: channel) == 1)
    }

    @Test func everyMessageSizeBothWays() throws {
        var pair = try PeerPair()
        let channel = try pair.a.openChannel(DataChannelOptions(label: "sizes"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(1))
        let back = try #require(pair.eventsB.opened.first)
        let sizes = [0, 1, 2, 3, 4, 1159, 1160, 1161, 1188, 1500, 16_384, 65_535, 65_536, 65_537, 262_143, 262_144]
        var expected: [PeerConnectionEvent] = []
        for (index, size) in sizes.enumerated() {
            let kind: DataChannelMessageKind = index.isMultiple(of: 2) ? .text : .binary
            let payload = [UInt8](repeating: UInt8(ascii: "a") + UInt8(index), count: size)
            expected.append(.message(channel, kind, payload))
            try pair.a.send(payload, kind: kind, on: channel, now: pair.now)
            try pair.b.send(payload, kind: kind, on: back, now: pair.now)
        }
        #expect(throws: PeerConnectionError.self) {
            try pair.a.send([UInt8](repeating: 0, count: 262_145), kind: .binary, on: channel, now: pair.now)
        }
        pair.run(for: .seconds(60))
        let atA = pair.eventsA.filter { if case .message = $0 { true } else { false } }
        #expect(atA == expected)
        #expect(pair.eventsB.messages.map(\.count) == sizes)
    }

    @Test(arguments: 1...60) func connectsOverABadPath(seed: UInt64) throws {
        var pair = try PeerPair(seed: seed)
        var generator = SeededGenerator(seed: seed)
        pair.link.loss = Int.random(in: 0...25, using: &generator)
        pair.link.duplication = Int.random(in: 0...10, using: &generator)
        pair.link.latency = .milliseconds(Int.random(in: 1...150, using: &generator))
        pair.link.jitter = .milliseconds(Int.random(in: 0...40, using: &generator))
        let channel = try pair.a.openChannel(DataChannelOptions(label: "bad"), now: pair.now)
        var sent: [[UInt8]] = []
        for index in 0..<20 {
            let payload = [UInt8](repeating: UInt8(index), count: Int.random(in: 1...4000, using: &generator))
            sent.append(payload)
            try pair.a.send(payload, kind: .binary, on: channel, now: pair.now)
        }
        try pair.negotiate(delay: .milliseconds(Int.random(in: 0...300, using: &generator)))
        pair.run(for: .seconds(120)) { $0.eventsB.messages.count == 20 }
        #expect(pair.eventsB.messages == sent, "seed \(seed)")
        #expect(pair.eventsA.states.first == .connecting, "seed \(seed)")
    }

    @Test(arguments: 1...200) func shortRuns(seed: UInt64) throws {
        var pair = try PeerPair(seed: seed)
        let channel = try pair.a.openChannel(DataChannelOptions(label: "short"), now: pair.now)
        try pair.a.send([UInt8(truncatingIfNeeded: seed)], kind: .binary, on: channel, now: pair.now)
        pair.link.loss = Int(seed % 4) * 5
        try pair.negotiate()
        pair.run(for: .seconds(60)) { !$0.eventsB.messages.isEmpty }
        #expect(pair.eventsB.messages == [[UInt8(truncatingIfNeeded: seed)]], "seed \(seed)")
        if seed.isMultiple(of: 2) { pair.a.close(now: pair.now) } else { pair.b.close(now: pair.now) }
        pair.link.loss = 0
        pair.run(for: .seconds(2))
        #expect(pair.a.state == .closed, "seed \(seed)")
        #expect(pair.b.state == .closed, "seed \(seed)")
    }

    @Test func earlyDTLSWaitsForTheAnswer() throws {
        var pair = try PeerPair()
        // The answer takes a second; the answerer's checks and hello do not wait for it.
        _ = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        let offer = try pair.a.createOffer(now: pair.now)
        let answer = try pair.b.accept(offer: offer, now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.eventsA.contains(.addressValidated(pair.addressB)))
        let start = pair.now
        try pair.a.accept(answer: answer, now: pair.now)
        pair.run(for: .seconds(5)) { !$0.eventsB.opened.isEmpty }
        #expect(pair.now - start < .milliseconds(150))
    }

    @Test func earlyDatagramsAreBounded() throws {
        var pair = try PeerPair()
        let offer = try pair.a.createOffer(now: pair.now)
        func flood(_ pair: inout PeerPair) {
            for _ in 0..<1000 { pair.a.handle(datagram: [22, 1, 2, 3], from: pair.addressB, now: pair.now) }
        }
        flood(&pair)
        #expect(pair.a.earlyDatagrams.isEmpty, "nobody has proved that this address is the peer's")
        // Its checks come before its answer.
        _ = try pair.b.accept(offer: offer, now: pair.now)
        pair.run(for: .milliseconds(15))
        pair.a.handle(datagram: [UInt8](repeating: 22, count: 1501), from: pair.addressB, now: pair.now)
        #expect(pair.a.earlyDatagrams.allSatisfy { $0.count < 1501 })
        flood(&pair)
        #expect(pair.a.earlyDatagrams.count == 16)
    }

    @Test func wrongFingerprintIsRefused() throws {
        var pair = try PeerPair()
        _ = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        let offer = try pair.a.createOffer(now: pair.now)
        var answer = try pair.b.accept(offer: offer, now: pair.now)
        answer.fingerprints = [pair.certificateA.fingerprint]
        try pair.a.accept(answer: answer, now: pair.now)
        pair.run(for: .seconds(10))
        #expect(pair.eventsA.states == [.connecting, .failed, .closed])
        #expect(pair.a.closeReason == .dtls(.fingerprintMismatch))
        #expect(pair.eventsA.closed.count == 1)
        // The alert tells the other side at once.
        #expect(pair.eventsB.states == [.connecting, .failed, .closed])
        #expect(pair.b.closeReason == .dtls(.alert(42)))
        #expect(pair.eventsA.opened.isEmpty && pair.eventsB.opened.isEmpty)
    }

    @Test func fivePartiesOfSetup() throws {
        // The offerer says active or passive instead of actpass.
        for (setup, answered) in [
            (SessionDescription.Setup.active, SessionDescription.Setup.passive), (.passive, .active),
            (.actpass, .active),
        ] {
            var pair = try PeerPair()
            let channel = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
            var offer = try pair.a.createOffer(now: pair.now)
            offer.setup = setup
            let answer = try pair.b.accept(offer: offer, now: pair.now)
            #expect(answer.setup == answered)
            try pair.a.accept(answer: answer, now: pair.now)
            pair.run(for: .seconds(5)) { $0.isConnected }
            #expect(pair.isConnected == true)
            #expect(pair.a.streamIdentifier(of: channel) == (answered == .active ? 1 : 0))
        }
    }

    @Test func commandsOutOfPlace() throws {
        var pair = try PeerPair()
        let offer = try pair.a.createOffer(now: pair.now)
        #expect(throws: PeerConnectionError.unexpectedAnswer) {
            var answer = offer
            answer.kind = .answer
            try pair.b.accept(answer: answer, now: pair.now)
        }
        #expect(throws: PeerConnectionError.wrongKind) { try pair.a.accept(answer: offer, now: pair.now) }
        let channel = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        #expect(throws: PeerConnectionError.unknownChannel) {
            try pair.b.send([1], kind: .binary, on: channel, now: pair.now)
        }
        pair.a.close(channel: channel, now: pair.now)
        pair.drain()
        #expect(pair.eventsA.closed == [channel])
        #expect(throws: PeerConnectionError.unknownChannel) {
            try pair.a.send([1], kind: .binary, on: channel, now: pair.now)
        }
        pair.a.close(now: pair.now)
        #expect(throws: PeerConnectionError.closed) { try pair.a.createOffer(now: pair.now) }
        #expect(throws: PeerConnectionError.closed) {
            try pair.a.openChannel(DataChannelOptions(label: "y"), now: pair.now)
        }
        #expect(pair.a.nextTimeout == nil)
    }

    @Test func waitingMessagesAndChannelsAreBounded() throws {
        var configuration = PeerConnectionConfiguration()
        configuration.maximumEarlyBytes = 100
        configuration.maximumChannels = 2
        var pair = try PeerPair(configurationA: configuration)
        let channel = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        try pair.a.send([UInt8](repeating: 1, count: 100), kind: .binary, on: channel, now: pair.now)
        #expect(throws: PeerConnectionError.limitReached) {
            try pair.a.send([1], kind: .binary, on: channel, now: pair.now)
        }
        let other = try pair.a.openChannel(DataChannelOptions(label: "y"), now: pair.now)
        #expect(throws: PeerConnectionError.limitReached) {
            try pair.a.openChannel(DataChannelOptions(label: "z"), now: pair.now)
        }
        // A channel that is closed gives its bytes and its place back.
        pair.a.close(channel: channel, now: pair.now)
        try pair.a.send([UInt8](repeating: 1, count: 100), kind: .binary, on: other, now: pair.now)
        #expect(throws: Never.self) { try pair.a.openChannel(DataChannelOptions(label: "z"), now: pair.now) }
    }

    @Test(arguments: 1...30) func garbageNeverTraps(seed: UInt64) throws {
        var pair = try PeerPair(seed: seed)
        var generator = SeededGenerator(seed: seed)
        _ = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        try pair.negotiate()
        for _ in 0..<400 {
            pair.run(for: .milliseconds(2))
            var bytes = generator.bytes(Int.random(in: 0...100, using: &generator))
            if !bytes.isEmpty { bytes[0] = UInt8.random(in: 0...80, using: &generator) }
            if bytes.count >= 20, Bool.random(using: &generator) {
                bytes.replaceSubrange(4..<8, with: [0x21, 0x12, 0xa4, 0x42])
            }
            pair.a.handle(datagram: bytes, from: pair.addressB, now: pair.now)
            pair.b.handle(datagram: bytes, from: pair.addressA, now: pair.now)
        }
        pair.run(for: .seconds(5))
        // Garbage from the peer's own address may end a handshake, never an established session.
        #expect(pair.eventsA.states.contains(.connecting), "seed \(seed)")
    }
}
