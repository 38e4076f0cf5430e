import SwarmBase
import Testing

@testable import SwarmEngine

/// Requests and byte streams between two sessions.
@Suite struct ExchangeTests {
    private func pair(seed: UInt64, _ carrier: Carrier = .connection) throws -> SessionPair {
        var pair = SessionPair(seed: seed)
        pair.knowLanes()
        pair.open(carrier)
        try pair.run(until: .zero + .milliseconds(200))
        return pair
    }

    // MARK: Requests

    @Test func aRequestIsAnsweredOnce() throws {
        var pair = try pair(seed: 1)
        let id = try pair.sessions[0].request("sum", [1, 2], limit: .seconds(5), .high, now: pair.now)
        try pair.run(until: pair.now + .milliseconds(100))
        #expect(pair.exchanges[1] == [.request(id: id, action: "sum", payload: [1, 2])])
        pair.sessions[1].answer(id, .result([3]))
        pair.sessions[1].answer(id, .result([4]))
        try pair.run(until: pair.now + .seconds(10))
        #expect(pair.exchanges[0] == [.response(id: id, .answered([3]))])
        #expect(pair.sessions.allSatisfy { $0.isIdle })
    }

    @Test func aRequestThatIsNotAnsweredInTimeIsCancelledThere() throws {
        var pair = try pair(seed: 2, .relay)
        let id = try pair.sessions[0].request("wait", [], limit: .seconds(1), .normal, now: pair.now)
        try pair.run(until: pair.now + .milliseconds(900))
        #expect(pair.exchanges[0].isEmpty)
        try pair.run(until: pair.now + .milliseconds(300))
        #expect(pair.exchanges[0] == [.response(id: id, .timedOut)])
        #expect(pair.exchanges[1].last == .cancelled(id: id))
        pair.sessions[1].answer(id, .result([]))
        let other = try pair.sessions[0].request("wait", [], limit: nil, .normal, now: pair.now)
        pair.sessions[0].cancel(other)
        try pair.run(until: pair.now + .seconds(2))
        #expect(pair.exchanges[1].last == .cancelled(id: other))
        #expect(pair.exchanges[0].count == 1)
    }

    @Test func whatIsTooMuchToAnswerIsSaidSo() throws {
        var pair = try pair(seed: 3)
        for _ in 0...Requests.mostAnswering {
            _ = try pair.sessions[0].request("x", [], limit: nil, .normal, now: pair.now)
        }
        try pair.run(until: pair.now + .seconds(1))
        #expect(pair.exchanges[1].count == Requests.mostAnswering)
        #expect(pair.exchanges[0].count == 1)
        if case .response(_, let result) = pair.exchanges[0].first { #expect(result == .busy) }
    }

    @Test func requestsAndStreamsEndWithTheRunOfTheOther() throws {
        var pair = try pair(seed: 4)
        let asked = try pair.sessions[0].request("x", [], limit: nil, .normal, now: pair.now)
        let stream = try pair.sessions[0].openStream("s", .normal)
        try pair.run(until: pair.now + .seconds(1))
        pair.sessions[1] = Session(configuration: .init(), outbound: Outbound(stream: 7))
        pair.sessions[1].setKnowsLanes(true)
        pair.sessions[0].peerRestarted(now: pair.now)
        pair.packets.removeAll()
        pair.open(.connection)
        let again = try pair.sessions[0].request("y", [], limit: nil, .normal, now: pair.now)
        try pair.run(until: pair.now + .seconds(1))
        #expect(
            pair.exchanges[0] == [.response(id: asked, .interrupted), .streamEnded(id: stream, .interrupted)])
        #expect(pair.exchanges[1].last == .request(id: again, action: "y", payload: []))
    }

    // MARK: Byte streams

    /// Reads what there is, writes what fits.
    private func carry(
        _ pair: inout SessionPair, _ id: UInt64, from side: Int, _ data: inout ArraySlice<UInt8>,
        _ got: inout [UInt8]
    ) {
        if !data.isEmpty, let count = pair.sessions[side].write(data, to: id) {
            data = data.dropFirst(count)
            if data.isEmpty { pair.sessions[side].finish(id) }
        }
        while let bytes = pair.sessions[1 - side].read(id) { got += bytes }
    }

    @Test(arguments: UInt64(1)...8)
    func bytesArriveAsTheyWereWritten(seed: UInt64) throws {
        var pair = SessionPair(seed: seed)
        pair.loss = 0.1
        pair.knowLanes()
        pair.open(.relay)
        var random = Entropy.seed(seed &* 13)
        let id = try pair.sessions[0].openStream("file", .normal)
        let there = random.bytes(300_000)
        let back = random.bytes(40_000)
        var (toWrite, answer) = (there[...], back[...])
        var (got, answered): ([UInt8], [UInt8]) = ([], [])
        for step in 0..<400 where got.count < there.count || answered.count < back.count {
            carry(&pair, id, from: 0, &toWrite, &got)
            if pair.exchanges[1].contains(.streamOpened(id: id, name: "file", .normal)) {
                carry(&pair, id, from: 1, &answer, &answered)
            }
            switch Int.random(in: 0..<14, using: &random) {
            case 0 where step < 200: pair.dead.formSymmetricDifference([.relay])
            case 1 where step < 200: pair.dead.formSymmetricDifference([.connection])
            case 2 where !pair.sessions[0][.connection].isOpen: pair.open(.connection)
            case 3 where pair.sessions[0][.connection].isOpen && step < 200: pair.closeConnection()
            default: break
            }
            if step == 200 {
                pair.heal()
            }
            try pair.run(until: pair.now + .milliseconds(100))
        }
        #expect(got == there && answered == back, "seed \(seed)")
        pair.heal()
        try pair.run(until: pair.now + .seconds(20))
        for side in 0...1 {
            _ = pair.sessions[side].read(id)
            #expect(pair.sessions[side].streams.isEmpty, "seed \(seed): a stream is left at \(side)")
        }
    }

    @Test func aReaderThatDoesNotReadHoldsTheWriterUp() throws {
        var pair = try pair(seed: 5)
        let id = try pair.sessions[0].openStream("", .normal)
        let data = [UInt8](repeating: 7, count: 10 << 20)
        var written = 0
        for _ in 0..<50 {
            written += pair.sessions[0].write(data[written...], to: id) ?? 0
            try pair.run(until: pair.now + .milliseconds(100))
        }
        let window = SessionConfiguration().streamWindow
        #expect(written <= window + SessionConfiguration().largestStreamBacklog)
        #expect(pair.sessions[0].progress(ofStream: id)?.acknowledged ?? 0 <= UInt64(window))
        var got = 0
        for _ in 0..<200 where got < data.count {
            while let bytes = pair.sessions[1].read(id) { got += bytes.count }
            written += pair.sessions[0].write(data[written...], to: id) ?? 0
            try pair.run(until: pair.now + .milliseconds(100))
        }
        #expect(got == data.count)
        #expect(pair.exchanges[0].contains(.streamWritable(id: id)))
    }

    @Test func aResetEndsBothDirections() throws {
        var pair = try pair(seed: 6)
        let id = try pair.sessions[0].openStream("", .normal)
        try pair.run(until: pair.now + .milliseconds(100))
        pair.sessions[1].reset(id, StreamReset(rawValue: 300))
        try pair.run(until: pair.now + .milliseconds(100))
        #expect(pair.exchanges[0] == [.streamEnded(id: id, StreamReset(rawValue: 300))])
        #expect(pair.sessions.allSatisfy { $0.streams.isEmpty })
        #expect(pair.sessions[0].write([1], to: id) == nil)
    }

    @Test func aWriterBeyondItsCreditIsResetAndTooManyStreamsAreRefused() throws {
        var pair = try pair(seed: 7)
        let id = try pair.sessions[0].openStream("", .normal)
        try pair.run(until: pair.now + .milliseconds(100))
        pair.sessions[1].receive(
            [.bytes(StreamPiece(id: id, offset: 1 << 30, isEnd: false, payload: [1]))], on: .connection, now: pair.now)
        try pair.run(until: pair.now + .milliseconds(100))
        #expect(pair.exchanges[0].last == .streamEnded(id: id, .violation))
        #expect(pair.exchanges[1].last == .streamEnded(id: id, .violation))
        let most = SessionConfiguration().mostStreams
        for _ in 0..<most { _ = try pair.sessions[0].openStream("", .normal) }
        #expect(throws: SendError.backlogFull) { _ = try pair.sessions[0].openStream("", .normal) }
    }

    @Test func randomControlMessagesNeverTrap() {
        var random = Entropy.seed(9)
        for _ in 0..<5000 {
            var bytes = random.bytes(Int.random(in: 0...40, using: &random))
            if !bytes.isEmpty { bytes[0] = UInt8.random(in: 0...7, using: &random) }
            guard let message = ControlMessage(bytes) else { continue }
            #expect(ControlMessage(message.bytes) != nil)
        }
    }
}
