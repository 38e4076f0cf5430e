import SwarmBase
import Testing

@testable import SCTP

@Suite struct LossToleranceTests {
    private let packet = 1188

    /// Rounds of 100 packets and 50 ms, of which so many are lost.
    private func tolerance(lost: Int, rounds: Int = 10, _ configuration: SCTPConfiguration = .init()) -> LossTolerance {
        var tolerance = LossTolerance(configuration)
        for round in 0...rounds {
            tolerance.beginRound(now: moment(round * 50))
            guard round < rounds else { break }
            tolerance.acknowledged((100 - lost) * packet)
            tolerance.lost(lost * packet)
        }
        return tolerance
    }

    private func moment(_ milliseconds: Int) -> Instant { .zero + .milliseconds(milliseconds) }

    /// Goes on in rounds of 70 packets until there is a verdict.
    private func judge(
        _ tolerance: inout LossTolerance, lost: Int, delivered: Int = 70, roundTrip: Int = 50
    ) -> LossTolerance.Verdict? {
        for round in 1...20 {
            let now = moment(1000 + round * roundTrip)
            if let verdict = tolerance.judge(acked: (delivered - lost) * packet, lost: 0, now: now) { return verdict }
            if let verdict = tolerance.judge(acked: 0, lost: lost * packet, now: now) { return verdict }
        }
        return nil
    }

    @Test func twoOfAHundredAndAFewMore() {
        #expect(tolerance(lost: 2).isLossSmall)
        // 30 of 1,000 are 2 % and ten more; 28 are eight more, which chance explains.
        #expect(!tolerance(lost: 3).isLossSmall)
        var few = LossTolerance(SCTPConfiguration())
        few.lost(8 * packet)
        #expect(few.isLossSmall)
        few.lost(packet)
        #expect(!few.isLossSmall)
        few.found(packet)
        #expect(few.isLossSmall)
    }

    /// As much is lost with a smaller window: it was not ours, and so much is tolerated, and a quarter and a hundredth more.
    @Test func lossThatStaysIsRandom() {
        var tolerance = tolerance(lost: 5)
        tolerance.beginTrial(window: 100 * packet, isInSlowStart: false)
        #expect(tolerance.isTrying)
        #expect(judge(&tolerance, lost: 4) == .random)
        #expect(!tolerance.isTrying)
        #expect(tolerance.share > 0.07 && tolerance.share < 0.09)
        #expect(tolerance.isLossSmall)
        // When the loss ends it is tolerated no more.
        for round in 0..<60 {
            tolerance.acknowledged(100 * packet)
            tolerance.beginRound(now: moment(5000 + round * 50))
        }
        #expect(tolerance.share == 0.02)
    }

    @Test func lossThatEndsWasOurs() {
        var tolerance = tolerance(lost: 5)
        tolerance.beginTrial(window: 100 * packet, isInSlowStart: false)
        #expect(judge(&tolerance, lost: 1) == .congestion)
        #expect(tolerance.share == 0.02)
    }

    /// The link is full: a smaller window delivers as much, so what is lost is what does not fit. Here the round trip has become shorter.
    @Test func whereAsMuchIsDeliveredTheLinkWasFull() {
        var tolerance = tolerance(lost: 5)
        tolerance.beginTrial(window: 100 * packet, isInSlowStart: false)
        #expect(judge(&tolerance, lost: 4, roundTrip: 36) == .congestion)
        // While the window doubled each round, what was delivered before is no measure.
        tolerance = self.tolerance(lost: 5)
        tolerance.beginTrial(window: 100 * packet, isInSlowStart: true)
        #expect(judge(&tolerance, lost: 4, roundTrip: 36) == .random)
    }

    /// Twenty of a hundred are too many whatever the cause; a trial that sees them ends early.
    @Test func tooMuchIsNeverTolerated() {
        var tolerance = tolerance(lost: 25)
        tolerance.beginTrial(window: 100 * packet, isInSlowStart: false)
        #expect(!tolerance.isTrying)
        tolerance = self.tolerance(lost: 15)
        tolerance.beginTrial(window: 100 * packet, isInSlowStart: false)
        #expect(tolerance.judge(acked: 0, lost: 40 * packet, now: moment(1050)) == nil)
        #expect(tolerance.judge(acked: 0, lost: packet, now: moment(1050)) == .congestion)
        #expect(tolerance.judge(acked: 1000 * packet, lost: 0, now: moment(1100)) == nil)
    }

    /// With small windows the test shows nothing, unless nobody who heeds loss would go on.
    @Test(arguments: [(24, 5, true), (23, 5, false), (23, 9, true), (4, 7, false)])
    func smallWindows(window: Int, lost: Int, isTried: Bool) {
        var tolerance = tolerance(lost: lost)
        tolerance.beginTrial(window: window * packet, isInSlowStart: false)
        #expect(tolerance.isTrying == isTried)
    }

    @Test func anotherPathBeginsAnew() {
        var tolerance = tolerance(lost: 5)
        tolerance.beginTrial(window: 100 * packet, isInSlowStart: false)
        #expect(judge(&tolerance, lost: 4) == .random)
        tolerance.lost(1000 * packet)
        tolerance.reset()
        #expect(tolerance.share == 0.02 && tolerance.isLossSmall && !tolerance.isTrying)
    }
}
