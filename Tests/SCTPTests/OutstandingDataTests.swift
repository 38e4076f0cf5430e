import SwarmBase
import Testing

@testable import SCTP

@Suite struct OutstandingDataTests {
    private func time(_ milliseconds: Int) -> Instant { Instant(nanoseconds: Int64(milliseconds) * 1_000_000) }

    /// Outstanding fragments of 100 bytes, each a message of its own unless `size` says otherwise.
    private func make(
        _ count: Int, size: Int = 100, unsent: Int = 0, maxRetransmits: UInt16? = nil, unordered: Bool = false,
        initial: UInt32 = 0xffff_fff0
    ) -> (OutstandingData, SendQueue) {
        var queue = SendQueue()
        var data = OutstandingData(initialTSN: initial)
        while data.count < count {
            queue.enqueue(
                [UInt8](repeating: 1, count: size + unsent), payloadProtocol: 53, on: 1, isUnordered: unordered,
                maxRetransmits: maxRetransmits, deadline: .distantFuture)
            var left = size
            while left > 0, queue.nextLength(now: .zero) != nil, let piece = queue.take(100) {
                _ = data.append(piece, now: time(data.count))
                left -= piece.length
            }
        }
        return (data, queue)
    }

    private func sack(
        _ data: inout OutstandingData, _ queue: inout SendQueue, cumulative: Int, gaps: [ClosedRange<Int>] = [],
        base: UInt32 = 0xffff_ffef, now: Int = 1000, roundTrip: Int? = nil
    ) -> OutstandingData.Acknowledgement? {
        let chunk = SackChunk(
            cumulative: base &+ UInt32(cumulative), window: 100_000,
            gaps: gaps.map {
                .init(first: UInt16($0.lowerBound - cumulative), last: UInt16($0.upperBound - cumulative))
            })
        var estimator = RoundTripEstimator(SCTPConfiguration())
        if let roundTrip { estimator.measure(Int64(roundTrip) * .millisecond) }
        return data.acknowledge(chunk, isInRecovery: false, estimator: estimator, queue: &queue, now: time(now))
    }

    @Test func accountsAcrossTheWrap() throws {
        var (data, queue) = make(30)
        #expect(data.flightPayload == 3000 && data.flightBytes == 30 * 116)
        let first = try required(sack(&data, &queue, cumulative: 10, gaps: [12...14, 16...16]))
        #expect(first.cumulativeAdvanced && first.bytesAcked == 14 * 116 && first.flightBefore == 30 * 116)
        #expect(data.flightPayload == 1600)
        // The same again: nothing new. Older: refused. What was never sent: refused.
        #expect(sack(&data, &queue, cumulative: 10, gaps: [12...14, 16...16])?.bytesAcked == 0)
        #expect(sack(&data, &queue, cumulative: 9) == nil)
        #expect(sack(&data, &queue, cumulative: 31) == nil)
        #expect(try required(sack(&data, &queue, cumulative: 30)).bytesAcked == 16 * 116)
        #expect(data.isEmpty && data.flightBytes == 0 && data.flightPayload == 0)
        #expect(queue.isDrained(1))
    }

    @Test func blocksThatMakeNoSenseAreIgnored() throws {
        var (data, queue) = make(10)
        #expect(sack(&data, &queue, cumulative: 2, gaps: [4...11])?.bytesAcked == 2 * 116)
        #expect(sack(&data, &queue, cumulative: 2, gaps: [6...7, 4...4])?.bytesAcked == 2 * 116)
        #expect(sack(&data, &queue, cumulative: 2, gaps: [4...10])?.bytesAcked == 5 * 116)
    }

    @Test func threeReportsMakeALoss() throws {
        var (data, queue) = make(10)
        #expect(sack(&data, &queue, cumulative: 1, gaps: [3...3])?.bytesLost == 0)
        #expect(sack(&data, &queue, cumulative: 1, gaps: [3...4])?.bytesLost == 0)
        // A SACK that newly acknowledges nothing above reports nothing.
        #expect(sack(&data, &queue, cumulative: 1, gaps: [3...4])?.bytesLost == 0)
        #expect(sack(&data, &queue, cumulative: 1, gaps: [3...5])?.bytesLost == 116)
        #expect(data.lostCount == 1)
        #expect(data.takeRetransmission(room: 115, queue: &queue, now: time(50)) == nil)
        let (tsn, fragment) = try required(data.takeRetransmission(room: 116, queue: &queue, now: time(50)))
        #expect(tsn.wire == 0xffff_fff1 && fragment.transmissions == 2)
        #expect(data.lostCount == 0)
        // Not again by reports.
        #expect(sack(&data, &queue, cumulative: 1, gaps: [3...9])?.bytesLost == 0)
    }

    @Test func timeFindsALostRetransmission() throws {
        var (data, queue) = make(10)
        for last in 3...5 { _ = sack(&data, &queue, cumulative: 1, gaps: [3...last], now: 20 + last) }
        _ = try required(data.takeRetransmission(room: 1188, queue: &queue, now: time(30)))
        queue.enqueue(
            [1], payloadProtocol: 53, on: 1, isUnordered: false, maxRetransmits: nil, deadline: .distantFuture)
        #expect(queue.nextLength(now: .zero) == 1)
        _ = data.append(try required(queue.take(1)), now: time(60))
        #expect(sack(&data, &queue, cumulative: 1, gaps: [3...10], roundTrip: 40)?.bytesLost == 0)
        #expect(sack(&data, &queue, cumulative: 1, gaps: [3...11], roundTrip: 40)?.bytesLost == 116)
    }

    @Test func roundTripsAreMeasuredOncePerWindowAndNotOnRetransmissions() throws {
        var (data, queue) = make(5)
        #expect(sack(&data, &queue, cumulative: 2, now: 50)?.roundTrip == 49 * .millisecond)
        #expect(sack(&data, &queue, cumulative: 3, now: 60)?.roundTrip == nil)
        data.loseAll(queue: &queue, now: time(70))
        while data.takeRetransmission(room: 1188, queue: &queue, now: time(80)) != nil {}
        #expect(sack(&data, &queue, cumulative: 5, now: 90)?.roundTrip == nil)
        #expect(data.isEmpty)
    }

    /// The acknowledgement of all of it was lost, and comes again when the first of it is repeated after a silence.
    @Test func anAnswerToARepetitionDoesNotMeasureWhatWentOnce() throws {
        var (data, queue) = make(5)
        data.loseAll(queue: &queue, now: time(300))
        #expect(data.takeRetransmission(room: 116, queue: &queue, now: time(40_000)) != nil)
        let answer = try required(sack(&data, &queue, cumulative: 3, now: 40_050))
        #expect(answer.roundTrip == nil && answer.latestRoundTrip == nil)
        // What nothing was repeated of is measured.
        #expect(sack(&data, &queue, cumulative: 4, now: 40_060)?.roundTrip == 40_057 * .millisecond)
    }

    @Test func whatWentAnotherPathMeasuresNothing() throws {
        var (data, queue) = make(5)
        data.forgetPath()
        let answer = try required(sack(&data, &queue, cumulative: 5, now: 40_000))
        #expect(answer.roundTrip == nil && answer.latestRoundTrip == nil && answer.bytesAcked == 5 * 116)
        queue.enqueue(
            [1], payloadProtocol: 53, on: 1, isUnordered: false, maxRetransmits: nil, deadline: .distantFuture)
        #expect(queue.nextLength(now: time(40_000)) == 1)
        _ = data.append(try required(queue.take(1)), now: time(40_000))
        #expect(sack(&data, &queue, cumulative: 6, now: 40_070)?.roundTrip == 70 * .millisecond)
    }

    @Test func timeoutLosesEverythingAlsoWhatIsNoLongerReported() {
        var (data, queue) = make(6)
        _ = sack(&data, &queue, cumulative: 1, gaps: [4...5])
        _ = sack(&data, &queue, cumulative: 1, gaps: [5...5])
        data.loseAll(queue: &queue, now: time(9))
        var again: [UInt32] = []
        while let (tsn, _) = data.takeRetransmission(room: 1188, queue: &queue, now: time(9)) {
            again.append(tsn.wire &- 0xffff_ffef)
        }
        #expect(again == [2, 3, 4, 6])
        #expect(data.flightPayload == 400)
    }

    /// RFC 7496 §4.2: N retransmissions after the first sending.
    @Test(arguments: [UInt16(0), 1, 2])
    func retransmissionsAreCounted(limit: UInt16) {
        var (data, queue) = make(1, maxRetransmits: limit)
        var retransmissions = 0
        for round in 0..<5 {
            data.loseAll(queue: &queue, now: time(round))
            while data.takeRetransmission(room: 1188, queue: &queue, now: time(round)) != nil { retransmissions += 1 }
        }
        #expect(retransmissions == Int(limit))
        #expect(data.awaitsForwardTSN && data.flightBytes == 0 && data.lostCount == 0)
        #expect(data.makeForwardTSN(maxStreams: 9, queue: queue)?.skipped == [.init(stream: 1, sequence: 0)])
    }

    /// All fragments go, the sent, the acknowledged and the rest that was never sent: that one takes a number.
    @Test func wholeMessagesAreAbandoned() {
        var (data, queue) = make(3, size: 300, unsent: 200, maxRetransmits: 0)
        #expect(queue.bufferedBytes == 200)
        _ = sack(&data, &queue, cumulative: 0, gaps: [2...2])
        data.loseAll(queue: &queue, now: time(9))
        #expect(queue.bufferedBytes == 0 && data.count == 4)
        #expect(data.makeForwardTSN(maxStreams: 9, queue: queue)?.cumulative == 0xffff_ffef &+ 4)
        #expect(sack(&data, &queue, cumulative: 4)?.cumulativeAdvanced == true)
        #expect(data.isEmpty && queue.isDrained(1))
    }

    @Test func forwardTSNStopsBeforeAStreamThatDoesNotFit() {
        var queue = SendQueue()
        var data = OutstandingData(initialTSN: 1)
        for stream in UInt16(0)..<5 {
            queue.enqueue(
                [1], payloadProtocol: 53, on: stream, isUnordered: false, maxRetransmits: 0, deadline: .distantFuture)
            if queue.nextLength(now: .zero) != nil, let piece = queue.take(1) { _ = data.append(piece, now: .zero) }
        }
        data.loseAll(queue: &queue, now: .zero)
        let chunk = data.makeForwardTSN(maxStreams: 3, queue: queue)
        #expect(chunk?.cumulative == 3 && chunk?.skipped.map(\.stream) == [0, 1, 2])
    }

    @Test func withoutThePeersConsentNothingIsAbandoned() {
        var (data, queue) = make(1, maxRetransmits: 0)
        data.mayAbandon = false
        for _ in 0..<4 {
            data.loseAll(queue: &queue, now: .zero)
            #expect(data.takeRetransmission(room: 1188, queue: &queue, now: .zero) != nil)
        }
    }
}
