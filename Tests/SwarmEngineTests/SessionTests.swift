import SwarmBase
import Testing

@testable import SwarmEngine

@Suite struct SessionTests {
    @Test func thePathIsToldAlsoAfterAPacketOfAPathThatIsNotOpen() {
        var session = Session(configuration: .init(), outbound: Outbound(stream: 1))
        session.receive([.ping(id: 1)], on: .mesh, now: .zero)
        session.pathOpened(.connection, now: .zero)
        var told: [PathKind] = []
        while let event = session.pollEvent() {
            switch event {
            case .up(let path), .pathChanged(let path, _): told.append(path)
            default: break
            }
        }
        #expect(told == [.mesh, .direct])
    }

    @Test func theFirstMessageArrivesWithTheFirstPacket() throws {
        var pair = SessionPair(seed: 1)
        _ = pair.sessions[0].send(.text("hello"))
        pair.open(.relay)
        try pair.run(until: .zero + .milliseconds(75))
        #expect(pair.texts(1) == ["hello"])
        #expect(pair.events[1].first == .up(.relay))
        try pair.run(until: .zero + .milliseconds(200))
        #expect(pair.delivered[0] == [1])
    }

    @Test func movesToTheDirectPathAndBack() throws {
        var pair = SessionPair(seed: 2)
        pair.open(.relay)
        try pair.run(until: .zero + .milliseconds(500))
        pair.open(.connection)
        try pair.run(until: .zero + .seconds(1))
        #expect(pair.sessions[0].path == .direct)
        pair.dead = [.connection]
        let cut = pair.now
        _ = pair.sessions[0].send(.text("over the relay"))
        try pair.run(until: cut + .milliseconds(450))
        #expect(pair.texts(1) == ["over the relay"], "heard within 300 ms of silence and a relay trip")
        #expect(pair.sessions[0].path == .relay)
        pair.dead = []
        try pair.run(until: pair.now + .seconds(1))
        #expect(pair.sessions[0].path == .direct)
    }

    @Test(arguments: UInt64(1)...60)
    func everyMessageOnceInOrder(seed: UInt64) throws {
        var pair = SessionPair(seed: seed)
        pair.loss = 0.2
        pair.open(.relay)
        var sent: [[String]] = [[], []]
        var random = Entropy.seed(seed &* 31)
        for step in 0..<60 {
            for side in 0...1 {
                for _ in 0..<Int.random(in: 0...4, using: &random) {
                    let long = Int.random(in: 0..<40, using: &random) == 0
                    let text = "\(side) \(sent[side].count) " + String(repeating: "x", count: long ? 60_000 : 3)
                    sent[side].append(text)
                    _ = pair.sessions[side].send(.text(text))
                }
            }
            pair.befall(Int.random(in: 0..<12, using: &random), mayClose: step > 20)
            try pair.run(until: pair.now + .milliseconds(100))
        }
        pair.heal()
        try pair.run(until: pair.now + .seconds(40))
        for side in 0...1 {
            #expect(pair.texts(1 - side) == sent[side], "seed \(seed), side \(side)")
            #expect(pair.delivered[side] == sent[side].indices.map { UInt64($0 + 1) }, "seed \(seed), side \(side)")
            #expect(pair.sessions[side].outbound.isEmpty, "seed \(seed), side \(side)")
        }
    }

    @Test func aRestartedReceiverGetsWhatWasNotDurable() throws {
        var pair = SessionPair(seed: 3)
        pair.durable[1] = false
        pair.open(.relay)
        for number in 1...3 { _ = pair.sessions[0].send(.text("\(number)")) }
        try pair.run(until: .zero + .seconds(1))
        #expect(pair.texts(1) == ["1", "2", "3"])
        #expect(pair.delivered[0].isEmpty)
        pair.sessions[1] = Session(configuration: .init(), outbound: Outbound(stream: 9))
        pair.sessions[0].peerRestarted(now: pair.now)
        pair.durable[1] = true
        pair.sessions[1].pathOpened(.relay, now: pair.now)
        try pair.run(until: .zero + .seconds(3))
        #expect(
            pair.texts(1) == ["1", "2", "3", "1", "2", "3"], "nothing was durable, so all comes again to the new run")
        #expect(pair.delivered[0] == [1, 2, 3])
    }

    @Test func aRestoredReceiverGetsNothingTwice() throws {
        var pair = SessionPair(seed: 4)
        pair.open(.relay)
        for number in 1...3 { _ = pair.sessions[0].send(.text("\(number)")) }
        try pair.run(until: .zero + .milliseconds(75))
        let inbound = pair.sessions[1].inbounds[0]
        var restored = Inbound(largestMessage: 1 << 20)
        restored.restore(InboundNote(stream: try #require(inbound.stream), next: inbound.note.next))
        pair.packets.removeAll()
        pair.sessions[1] = Session(configuration: .init(), outbound: Outbound(stream: 2))
        pair.sessions[1].inbounds[0] = restored
        pair.sessions[0].peerRestarted(now: pair.now)
        pair.sessions[1].pathOpened(.relay, now: pair.now)
        _ = pair.sessions[0].send(.text("4"))
        try pair.run(until: .zero + .seconds(3))
        #expect(pair.texts(1) == ["1", "2", "3", "4"])
        #expect(pair.delivered[0] == [1, 2, 3, 4])
    }

    @Test func aSlowApplicationHoldsTheSenderUp() throws {
        var pair = SessionPair(seed: 7)
        pair.open(.connection)
        pair.sessions[1].setPaused(true)
        _ = pair.sessions[0].send(.text("first"))
        try pair.run(until: .zero + .seconds(1))
        for number in 0..<3000 { _ = pair.sessions[0].send(.text("\(number)")) }
        try pair.run(until: .zero + .seconds(5))
        #expect(pair.received[1].count < 1100)
        pair.sessions[1].setPaused(false)
        try pair.run(until: .zero + .seconds(10))
        #expect(pair.received[1].count == 3001)
    }

    /// A reader that takes messages again says so; when that is lost, it is asked, however much it has to say itself.
    @Test func aLostWindowIsAskedFor() throws {
        var pair = SessionPair(seed: 8)
        pair.open(.relay)
        pair.sessions[1].setPaused(true)
        _ = pair.sessions[0].send(.text("first"))
        try pair.run(until: .zero + .seconds(1))
        _ = pair.sessions[0].send(.text("second"))
        try pair.run(until: .zero + .seconds(2))
        pair.dead = [.relay]
        pair.sessions[1].setPaused(false)
        try pair.run(until: .zero + .milliseconds(2100))
        pair.dead = []
        for second in 3..<20 {
            for step in 0..<4 {
                _ = pair.sessions[1].send(.text("chatter"))
                try pair.run(until: .zero + .seconds(second) + .milliseconds(250 * step))
            }
        }
        #expect(pair.texts(1) == ["first", "second"])
    }

    /// An old acknowledgement that was overtaken says nothing of the window now.
    @Test func anOvertakenAcknowledgementDoesNotCloseTheWindow() {
        var outbound = Outbound(stream: 1)
        for _ in 0..<5 { _ = outbound.enqueue(.text("x")) }
        _ = outbound.acknowledge(Acknowledgement(stream: 1, received: 3, durable: 3, window: 10))
        _ = outbound.acknowledge(Acknowledgement(stream: 1, received: 2, durable: 2, window: 0))
        #expect(outbound.nextSequence(on: .connection) == 3)
    }

    @Test func aFullQueueIsNoReasonToHurry() throws {
        var session = Session(configuration: .init(), outbound: Outbound(stream: 1))
        session.pathOpened(.connection, now: .zero)
        _ = session.send(.text("waits"))
        var other = Outbound(stream: 2)
        _ = other.enqueue(.text("to be acknowledged"))
        session.receive([.data(try #require(other.fragment(1))), .ping(id: 1)], on: .connection, now: .zero)
        var now = Instant.zero
        for _ in 0..<20 {
            session.handleTimeout(now: now)
            while let packet = session.pollPacket(on: .connection, room: 0, now: now) {
                #expect(try Frame.parse(packet).allSatisfy { if case .data = $0 { false } else { true } })
            }
            let next = try #require(session.nextTimeout)
            #expect(next > now)
            now = max(now, next)
        }
    }

    /// A reader whose disk went back in time is not waited for: what it lacks is gone.
    @Test func aReaderThatForgotTakesUpWhereTheWriterStands() {
        var outbound = Outbound(stream: 1)
        for number in 1...5 { _ = outbound.enqueue(.text("\(number)")) }
        _ = outbound.acknowledge(Acknowledgement(stream: 1, received: 4, durable: 4, window: 10))
        var inbound = Inbound(largestMessage: 1000)
        inbound.restore(InboundNote(stream: 1, next: 2))
        let messages = [4, 5].flatMap { outbound.fragment($0).map { inbound.receive($0) } ?? [] }
        #expect(messages.map(\.number) == [4, 5])
    }

    @Test func aSilentMemberIsAway() throws {
        var pair = SessionPair(seed: 5)
        pair.open(.relay)
        try pair.run(until: .zero + .seconds(1))
        pair.dead = [.relay]
        try pair.run(until: .zero + .seconds(22))
        #expect(pair.events[0].last == .away)
        pair.dead = []
        try pair.run(until: .zero + .seconds(60))
        #expect(pair.events[0].last == .up(.relay))
    }

    /// A NAT may have forgotten the connection to the relay, and nobody says so.
    @Test(arguments: [true, false])
    func aRelayThatBringsNothingIsDoubtedThoughItIsTheOnlyWay(isOwed: Bool) throws {
        var pair = SessionPair(seed: 5)
        pair.open(.relay)
        _ = pair.sessions[0].send(.text("one"))
        try pair.run(until: .zero + .seconds(1))
        #expect(pair.sessions[0].doubts == 0)
        pair.dead = [.relay]
        if isOwed { _ = pair.sessions[0].send(.text("two")) }
        let doubtful = isOwed ? (from: 1_100, by: 3_000) : (from: 7_000, by: 20_000)
        try pair.run(until: .zero + .milliseconds(doubtful.from))
        #expect(pair.sessions[0].doubts == 0)
        try pair.run(until: .zero + .milliseconds(doubtful.by))
        #expect(pair.sessions[0].doubts > 0)
        let doubts = pair.sessions[0].doubts
        pair.dead = []
        try pair.run(until: .zero + .seconds(80))
        #expect(pair.sessions[0].doubts <= doubts + 1, "a relay that answers is left in peace")
    }

    @Test func packetsStayWithinTheirBound() throws {
        var pair = SessionPair(seed: 6)
        _ = pair.sessions[0].send(.binary([UInt8](repeating: 7, count: 100_000)))
        pair.sessions[0].pathOpened(.relay, now: .zero)
        var count = 0
        while let packet = pair.sessions[0].pollPacket(on: .relay, room: .max, now: .zero) {
            #expect(packet.count <= 12 * 1024)
            count += 1
        }
        #expect(count == 12)
    }
}

@Suite struct FrameTests {
    @Test func roundTrips() throws {
        let frames: [Frame] = [
            .data(DataFrame(stream: 1, sequence: 5, base: 2, message: 3, flags: [.first, .text], payload: [1, 2])),
            .acknowledgement(Acknowledgement(stream: 9, received: 8, durable: 7, window: 6)), .ping(id: 1),
            .pong(id: 2), .bye, .neighbours(forwards: true, [1, .max]), .neighbours(forwards: false, []),
            .presence([1, 2, 3]), .forwarded([4]),
        ]
        var packet: [UInt8] = []
        for frame in frames { frame.write(to: &packet) }
        #expect(try Frame.parse(packet) == frames)
        packet += [99, 0, 0, 0, 2, 0, 0]
        #expect(try Frame.parse(packet) == frames, "an unknown frame is passed over")
        packet += [1, 0]
        #expect(throws: Refusal.malformed) { try Frame.parse(packet) }
    }

    @Test func randomBytesNeverTrap() {
        var random = Entropy.seed(7)
        for _ in 0..<3000 {
            var bytes = random.bytes(Int.random(in: 0...60, using: &random))
            if bytes.count > 5 {
                bytes[0] = UInt8.random(in: 0...6, using: &random); bytes[1] = 0; bytes[2] = 0; bytes[3] = 0
            }
            _ = try? Frame.parse(bytes)
        }
    }

    @Test func hostileSequencesStayBounded() {
        var inbound = Inbound(largestMessage: 1000)
        for sequence in [UInt64(5), 1025, 1_000_000, UInt64.max / 2 - 1] {
            _ = inbound.receive(
                DataFrame(
                    stream: 1, sequence: sequence, base: 1, message: 1, flags: .last,
                    payload: [UInt8](repeating: 0, count: 900)))
        }
        #expect(inbound.expected == 1)
        // A message over the bound is taken off the sender's hands, and not handed on.
        var messages: [Inbound.Message] = []
        for sequence in UInt64(1)...4 {
            messages += inbound.receive(
                DataFrame(
                    stream: 2, sequence: sequence, base: 1, message: 1,
                    flags: sequence == 1 ? .first : sequence == 3 ? .last : sequence == 4 ? [.first, .last] : [],
                    payload: [UInt8](repeating: 0, count: 400)))
        }
        #expect(messages.map(\.number) == [1])
        #expect(messages.first?.content.bytes.count == 400)
        #expect(inbound.expected == 5)
    }
}
