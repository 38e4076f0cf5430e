import SwarmBase
import Testing

@testable import SwarmEngine

/// Priorities, messages without order, deadlines, refusals.
@Suite struct LaneTests {
    private func options(_ priority: MessagePriority, ordered: Bool = true, deadline: Instant? = nil) -> MessageOptions
    {
        MessageOptions(priority: priority, isOrdered: ordered, deadline: deadline)
    }

    @Test func framesOfLanesRoundTrip() throws {
        let lane = try #require(Lane(number: 6))
        let frames: [Frame] = [
            .data(
                DataFrame(
                    lane: lane, stream: 1, sequence: 5, base: 2, message: 3, flags: [.withdrawn, .last], payload: [])),
            .acknowledgement(
                Acknowledgement(
                    lane: lane, stream: 9, received: 8, durable: 7, window: 6,
                    outcomes: [.init(sequence: 0, message: 3, code: 1)], bitmap: [5])),
            .acknowledgement(
                Acknowledgement(
                    stream: 9, received: 8, durable: 7, window: 6, outcomes: [.init(sequence: 0, message: 3, code: 2)])),
            .confirmed(lane, stream: 4, base: 9), .credit(id: 1, received: 2, limit: 3), .refused(reason: 3),
            .bytes(StreamPiece(id: 7, offset: 8, isEnd: true, payload: [1])),
        ]
        var packet: [UInt8] = []
        for frame in frames { frame.write(to: &packet) }
        #expect(try Frame.parse(packet) == frames)
        #expect(throws: Refusal.malformed) { try Frame.parse([12, 0, 0, 0, 1, 12]) }
    }

    @Test func randomFramesOfLanesNeverTrap() {
        var random = Entropy.seed(11)
        var session = Session(configuration: .init(), outbound: Outbound(stream: 1))
        session.setKnowsLanes(true)
        session.pathOpened(.connection, now: .zero)
        for number in 0..<40 { _ = session.send(.text("\(number)"), options(.high, ordered: number % 2 == 0)) }
        for _ in 0..<20_000 {
            var bytes = random.bytes(Int.random(in: 5...80, using: &random))
            bytes.replaceSubrange(
                0..<5, with: [UInt8.random(in: 10...15, using: &random), 0, 0, 0, UInt8(bytes.count - 5)])
            // Small numbers get farther.
            for index in 5..<bytes.count where Int.random(in: 0..<3, using: &random) > 0 { bytes[index] = 0 }
            guard let frames = try? Frame.parse(bytes) else { continue }
            session.receive(frames, on: .connection, now: .zero)
            while session.pollPacket(on: .connection, room: 1 << 18, now: .zero) != nil {}
            while session.pollEvent() != nil {}
        }
    }

    @Test func whatIsUrgentOvertakesWhatWaits() throws {
        var pair = SessionPair(seed: 1)
        pair.knowLanes()
        for _ in 0..<500 { _ = pair.sessions[0].send(.binary([UInt8](repeating: 1, count: 8000)), options(.low)) }
        let urgent = pair.sessions[0].send(.text("now"), options(.urgent)).message
        pair.open(.relay)
        try pair.run(until: .zero + .milliseconds(200))
        #expect(pair.received[1].prefix(2).map(\.number).contains(urgent))
        try pair.run(until: .zero + .seconds(60))
        #expect(pair.received[1].count == 501)
        #expect(pair.outcomes[0].count == 501 && pair.toldAgain[0].isEmpty)
    }

    @Test func nothingStarves() {
        var scheduler = SendScheduler()
        var bytes = [0, 0, 0, 0]
        for _ in 0..<85_000 {
            guard let rank = scheduler.choose({ _ in true })?.rank else { continue }
            bytes[rank] += 1000
            scheduler.sent(1000, rank: rank)
        }
        let parts = bytes.map { Double($0) / 1_000_000 }
        #expect(
            abs(parts[0] - 4) < 0.1 && abs(parts[1] - 16) < 0.1 && abs(parts[2] - 64) < 0.2 && abs(parts[3] - 1) < 0.1)
    }

    @Test func whoDoesNotKnowLanesGetsOneLane() throws {
        var pair = SessionPair(seed: 2)
        for side in 0...1 { pair.sessions[side].setKnowsLanes(false) }
        for number in 0..<20 {
            _ = pair.sessions[0].send(.text("\(number)"), options(.urgent, ordered: number % 2 == 0))
        }
        pair.open(.relay)
        pair.sessions[0].pathOpened(.relay, now: .zero)
        while let packet = pair.sessions[0].pollPacket(on: .relay, room: .max, now: .zero) {
            for frame in try Frame.parse(packet) {
                if case .data(let data) = frame { #expect(data.lane == .plain) }
            }
            pair.sessions[1].receive(try Frame.parse(packet), on: .relay, now: .zero)
        }
        try pair.run(until: .zero + .seconds(2))
        #expect(pair.texts(1) == (0..<20).map { "\($0)" })
        #expect(throws: SendError.unsupported) { _ = try pair.sessions[0].openStream("", .normal) }
        #expect(throws: SendError.unsupported) {
            _ = try pair.sessions[0].request("", [], limit: nil, .normal, now: .zero)
        }
    }

    @Test func aLostFragmentHoldsUpNothingElseWithoutOrder() {
        var outbound = Outbound(lane: Lane(messages: .normal, isOrdered: false), stream: 1)
        for size in [5, 20_000, 5] { outbound.enqueue(.binary([UInt8](repeating: 1, count: size))) }
        var inbound = Inbound(lane: outbound.lane, largestMessage: 1 << 20)
        let order: [UInt64] = [5, 2, 4, 1, 3]
        let numbers = order.map { sequence in
            outbound.fragment(sequence).map { inbound.receive($0).map(\.number) } ?? []
        }
        #expect(numbers == [[3], [], [], [1], [2]])
        #expect(inbound.expected == 6)
        for sequence in order {
            let again = outbound.fragment(sequence).map { inbound.receive($0) }
            #expect(again == [])
        }
    }

    @Test func theNoteOfALaneWithoutOrderOutlivesARestart() throws {
        var outbound = Outbound(lane: Lane(messages: .high, isOrdered: false), stream: 1)
        for number in 1...6 { outbound.enqueue(.text("\(number)")) }
        var inbound = Inbound(lane: outbound.lane, largestMessage: 1 << 20)
        for sequence in [2, 3, 6] as [UInt64] {
            let fragment = try #require(outbound.fragment(sequence))
            _ = inbound.receive(fragment)
        }
        let polled = inbound.pollNote()
        let note = try #require(polled)
        inbound.commit(note)
        let again = inbound.pollNote()
        #expect(again == nil)
        let kept = try #require(InboundNote(kept: note.bytes))
        #expect(kept == note)
        var restored = Inbound(lane: outbound.lane, largestMessage: 1 << 20)
        restored.restore(kept)
        let numbers = (1...6).flatMap { sequence in
            outbound.fragment(UInt64(sequence)).map { restored.receive($0).map(\.number) } ?? []
        }
        #expect(numbers == [1, 4, 5])
        // The writer knows which ones are through.
        let acknowledgement = try #require(inbound.acknowledgement(isPaused: false))
        let settled = outbound.acknowledge(acknowledgement)
        #expect(settled.map(\.number) == [2, 3, 6])
        let settledAgain = outbound.acknowledge(acknowledgement)
        #expect(settledAgain.isEmpty)
        #expect(outbound.nextSequence(on: .relay) == 1)
        outbound.sent(1, on: .relay)
        #expect(outbound.nextSequence(on: .relay) == 4)
    }

    // MARK: Deadlines

    @Test func whatNeverLeftExpiresAtItsDeadline() throws {
        var pair = SessionPair(seed: 3)
        pair.knowLanes()
        _ = pair.sessions[0].send(.text("in time"), options(.normal))
        let late = pair.sessions[0].send(.text("late"), options(.normal, deadline: .zero + .seconds(1))).message
        _ = pair.sessions[0].send(.text("after"), options(.normal))
        try pair.run(until: .zero + .seconds(2))
        #expect(pair.outcomes[0] == [late: .expired])
        pair.open(.relay)
        try pair.run(until: .zero + .seconds(4))
        #expect(pair.texts(1) == ["in time", "after"])
        #expect(pair.outcomes[0].values.filter { $0 == .delivered }.count == 2)
        #expect(pair.toldAgain[0].isEmpty)
    }

    /// One that does not know what withdrawn means passes over it: what web members did before they knew lanes.
    @Test func whatNeverLeftExpiresForOneWhoKnowsOneLaneToo() throws {
        var pair = SessionPair(seed: 4)
        for side in 0...1 { pair.sessions[side].setKnowsLanes(false) }
        let late = pair.sessions[0].send(
            .binary([UInt8](repeating: 1, count: 20_000)), options(.normal, deadline: .zero + .seconds(1))
        ).message
        _ = pair.sessions[0].send(.text("after"), options(.normal))
        try pair.run(until: .zero + .seconds(2))
        #expect(pair.outcomes[0] == [late: .expired])
        pair.open(.relay)
        try pair.run(until: .zero + .seconds(4))
        #expect(pair.texts(1) == ["after"])
    }

    @Test func theReaderDecidesOfWhatHasLeft() throws {
        // The acknowledgement is late: the message was handed on, and so it did not expire.
        var pair = SessionPair(seed: 5)
        pair.knowLanes()
        pair.open(.relay)
        try pair.run(until: .zero + .seconds(1))
        let sent = pair.sessions[0].send(.text("there"), options(.normal, deadline: pair.now + .milliseconds(60)))
            .message
        pair.delay[.relay] = .milliseconds(50)
        try pair.run(until: pair.now + .seconds(3))
        #expect(pair.texts(1) == ["there"])
        #expect(pair.outcomes[0] == [sent: .delivered])
        // Lost on its way, and withdrawn before it could be repeated.
        pair.dead = [.relay]
        let lost = pair.sessions[0].send(.text("lost"), options(.normal, deadline: pair.now + .milliseconds(100)))
            .message
        try pair.run(until: pair.now + .milliseconds(150))
        #expect(pair.outcomes[0][lost] == nil, "it may have arrived")
        pair.dead = []
        try pair.run(until: pair.now + .seconds(15))
        #expect(pair.texts(1) == ["there"])
        #expect(pair.outcomes[0][lost] == .expired)
        #expect(pair.toldAgain[0].isEmpty)
    }

    @Test func whatTheApplicationRefusesIsRejected() throws {
        var pair = SessionPair(seed: 6)
        pair.knowLanes()
        pair.open(.connection)
        _ = pair.sessions[0].send(.text("a"))
        let polled = pair.sessions[0].pollPacket(on: .connection, room: .max, now: .zero)
        let packet = try #require(polled)
        pair.sessions[1].receive(try Frame.parse(packet), on: .connection, now: .zero)
        while let event = pair.sessions[1].pollEvent() {
            if case .message(let message, let lane, _) = event { pair.sessions[1].refuse(message, lane) }
            if case .inboundAdvanced(let lane, let note) = event { pair.sessions[1].commit(lane, note) }
        }
        _ = pair.sessions[0].send(.text("b"))
        try pair.run(until: .zero + .seconds(3))
        #expect(pair.outcomes[0][2] == .delivered)
        #expect(pair.outcomes[0][1] == .rejected(.refused))
    }

    @Test func aMessageThatIsTooLargeForTheOtherIsRejected() throws {
        var pair = SessionPair(seed: 7)
        var small = SessionConfiguration()
        small.largestMessage = 10_000
        pair.sessions[1] = Session(configuration: small, outbound: Outbound(stream: 2))
        pair.knowLanes()
        pair.open(.relay)
        for (size, ordered) in [(9_000, true), (30_000, true), (30_000, false), (9_000, false)] {
            _ = pair.sessions[0].send(.binary([UInt8](repeating: 1, count: size)), options(.normal, ordered: ordered))
        }
        try pair.run(until: .zero + .seconds(5))
        #expect(pair.outcomes[0] == [1: .delivered, 2: .rejected(.tooLarge), 3: .rejected(.tooLarge), 4: .delivered])
        #expect(pair.sessions[1].incompleteBytes == 0)
    }

    @Test func aMemberThatSendsTooMuchWaits() throws {
        var pair = SessionPair(seed: 8)
        var limited = SessionConfiguration()
        limited.rateLimit = RateLimit(messagesPerSecond: 100, bytesPerSecond: 1e9)
        pair.sessions[1] = Session(configuration: limited, outbound: Outbound(stream: 2))
        pair.knowLanes()
        pair.open(.connection)
        for number in 0..<3000 { _ = pair.sessions[0].send(.text("\(number)"), options(.high)) }
        try pair.run(until: .zero + .seconds(5))
        #expect((300...1200).contains(pair.received[1].count), "\(pair.received[1].count)")
        try pair.run(until: .zero + .seconds(40))
        #expect(pair.texts(1) == (0..<3000).map { "\($0)" })
    }

    /// Everything at once, over paths that break, with readers and writers that crash: each message once, in the order of
    /// its lane, and either handed on or expired.
    @Test(arguments: UInt64(1)...80)
    func eachMessageOnceInItsLane(seed: UInt64) throws {
        var pair = SessionPair(seed: seed)
        pair.loss = 0.2
        pair.knowLanes()
        pair.open(.relay)
        var sent: [[UInt64: (options: MessageOptions, text: String)]] = [[:], [:]]
        var random = Entropy.seed(seed &* 77)
        for step in 0..<60 {
            for side in 0...1 {
                for _ in 0..<Int.random(in: 0...4, using: &random) {
                    let long = Int.random(in: 0..<30, using: &random) == 0
                    let choice = MessageOptions(
                        priority: MessagePriority.allCases.randomElement(using: &random) ?? .normal,
                        isOrdered: Bool.random(using: &random),
                        deadline: Int.random(in: 0..<3, using: &random) == 0
                            ? pair.now + .milliseconds(Int.random(in: 1...3000, using: &random)) : nil)
                    let text = "\(side) \(sent[side].count) " + String(repeating: "x", count: long ? 60_000 : 3)
                    sent[side][pair.sessions[side].send(.text(text), choice).message] = (choice, text)
                }
            }
            pair.befall(Int.random(in: 0..<12, using: &random), mayClose: step > 20)
            try pair.run(until: pair.now + .milliseconds(100))
        }
        pair.heal()
        try pair.run(until: pair.now + .seconds(40))
        for side in 0...1 {
            let got = pair.received[1 - side]
            #expect(Set(got.map(\.number)).count == got.count, "seed \(seed): one came twice")
            #expect(pair.toldAgain[side].isEmpty, "seed \(seed)")
            for (number, message) in sent[side] {
                let came = got.contains { $0.number == number && $0.content == .text(message.text) }
                let outcome = pair.outcomes[side][number]
                #expect(outcome == (came ? .delivered : .expired), "seed \(seed): message \(number)")
                #expect(came || message.options.deadline != nil, "seed \(seed): message \(number) is lost")
            }
            for priority in MessagePriority.allCases {
                let numbers = got.map(\.number).filter {
                    sent[side][$0].map { $0.options.priority == priority && $0.options.isOrdered } ?? false
                }
                #expect(numbers == numbers.sorted(), "seed \(seed): out of order")
            }
            #expect(!pair.sessions[side].isOwed, "seed \(seed), side \(side)")
        }
    }
}
