import SwarmBase
import Testing

@testable import SCTP

@Suite struct CongestionControlTests {
    private let packet = 1188

    private func configuration(_ algorithm: CongestionAlgorithm) -> SCTPConfiguration {
        var configuration = SCTPConfiguration()
        configuration.congestionAlgorithm = algorithm
        return configuration
    }

    private func sample(
        bytes: Int, flight: Int, cumulative: TSN = TSN(initial: 1), next: TSN = TSN(initial: 100),
        roundTrip: Int64? = nil, at milliseconds: Int = 0
    ) -> CongestionControl.Sample {
        CongestionControl.Sample(
            bytes: bytes, flight: flight, cumulative: cumulative, cumulativeAdvanced: true, nextTSN: next,
            roundTrip: roundTrip, now: Instant(nanoseconds: Int64(milliseconds) * .millisecond))
    }

    /// By all the bytes a SACK acknowledges, however many packets those were; not when the window was not in use.
    @Test func slowStartGrowsByBytesWhenTheWindowIsUsed() {
        var control = CongestionControl(SCTPConfiguration())
        #expect(control.window == 10 * packet && control.isInSlowStart)
        control.acknowledged(sample(bytes: packet, flight: 4 * packet))
        #expect(control.window == 10 * packet)
        control.acknowledged(sample(bytes: 8 * packet, flight: 10 * packet))
        #expect(control.window == 18 * packet)
    }

    @Test func newRenoHalvesOncePerRecovery() {
        var control = CongestionControl(configuration(.newReno))
        let end = TSN(initial: 50)
        expectTrue(control.lost(bytes: packet, highestOutstanding: end, now: .zero))
        expectTrue(!control.lost(bytes: packet, highestOutstanding: end + 9, now: .zero))
        #expect(control.window == 5 * packet && control.isInRecovery)
        control.acknowledged(sample(bytes: packet, flight: 5 * packet, cumulative: end - 1))
        #expect(control.isInRecovery && control.window == 5 * packet)
        control.acknowledged(sample(bytes: packet, flight: packet, cumulative: end))
        #expect(!control.isInRecovery)
        expectTrue(control.lost(bytes: packet, highestOutstanding: end + 9, now: .zero))
        // Never below four packets.
        #expect(control.window == 4 * packet)
    }

    @Test func newRenoGrowsByOnePacketPerWindow() {
        var control = CongestionControl(configuration(.newReno))
        _ = control.lost(bytes: packet, highestOutstanding: TSN(initial: 1), now: .zero)
        control.acknowledged(sample(bytes: packet, flight: 1))
        #expect(!control.isInSlowStart && !control.isInRecovery)
        let window = control.window
        for _ in 0..<4 { control.acknowledged(sample(bytes: packet, flight: window)) }
        #expect(control.window == window)
        control.acknowledged(sample(bytes: packet, flight: window))
        #expect(control.window == window + packet)
    }

    /// No queue and little loss: repaired, not answered. The same loss with a queue, or more loss: CUBIC's answer.
    @Test func toleratesRandomLossOnly() {
        func measured(_ roundTrip: Int64) -> CongestionControl {
            var control = CongestionControl(SCTPConfiguration())
            for number in 0..<16 {
                control.acknowledged(
                    sample(bytes: packet, flight: packet, roundTrip: 50 * .millisecond, at: number))
            }
            for number in 16..<32 {
                control.acknowledged(sample(bytes: packet, flight: packet, roundTrip: roundTrip, at: number))
            }
            return control
        }
        var control = measured(51 * .millisecond)
        for _ in 0..<8 { expectTrue(!control.lost(bytes: packet, highestOutstanding: TSN(initial: 90), now: .zero)) }
        #expect(control.window == 10 * packet && control.reductions == 0)
        // The ninth of about forty is too many.
        expectTrue(control.lost(bytes: packet, highestOutstanding: TSN(initial: 90), now: .zero))
        #expect(control.window == 7 * packet && control.isInRecovery)

        control = measured(54 * .millisecond)
        expectTrue(!control.lost(bytes: packet, highestOutstanding: TSN(initial: 90), now: .zero))
        control = measured(54 * .millisecond + 1)
        expectTrue(control.lost(bytes: packet, highestOutstanding: TSN(initial: 90), now: .zero))
        #expect(control.window == 7 * packet)
    }

    /// RFC 9438 to the letter: each loss counts.
    @Test func nothingIsToleratedWithoutLeave() {
        var settings = SCTPConfiguration()
        settings.toleratedLoss = 0
        var control = CongestionControl(settings)
        for number in 0..<32 {
            control.acknowledged(sample(bytes: packet, flight: packet, roundTrip: 50 * .millisecond, at: number))
        }
        expectTrue(control.lost(bytes: packet, highestOutstanding: TSN(initial: 90), now: .zero))
        #expect(control.window == 7 * packet)
        for _ in 0..<9 {
            control.acknowledged(sample(bytes: packet, flight: packet, cumulative: TSN(initial: 91)))
            expectTrue(control.lost(bytes: packet, highestOutstanding: TSN(initial: 90), now: .zero))
        }
        // Never below two packets.
        #expect(control.window == 2 * packet)
    }

    /// RFC 9438 §4.2: back at the plateau after K seconds, flat there, then faster and faster.
    @Test func cubicGrowth() {
        var control = CongestionControl(SCTPConfiguration())
        while control.window < 1000 * packet {
            control.acknowledged(sample(bytes: control.window, flight: control.window))
        }
        let before = Double(control.window) / Double(packet)
        expectTrue(control.lost(bytes: packet, highestOutstanding: TSN(initial: 90), now: .zero))
        #expect(abs(Double(control.window) / Double(packet) - 0.7 * before) < 1)
        // K = ((1 - 0.7) W / 0.4)^(1/3).
        var seconds: [Int: Double] = [:]
        for step in 0..<4000 {
            control.acknowledged(
                sample(
                    bytes: control.window / 20, flight: control.window, cumulative: TSN(initial: 200), at: step * 5))
            if step % 200 == 199 { seconds[(step + 1) / 200] = Double(control.window) / Double(packet) }
        }
        var k = 1.0
        while 0.4 * k * k * k < 0.3 * before { k += 0.01 }
        let plateau = seconds[Int(k.rounded())] ?? 0
        #expect(abs(plateau - before) < before * 0.05)
        #expect((seconds[Int(k) + 6] ?? 0) > before * 1.03)
    }

    @Test func timeoutAndNewPath() {
        var control = CongestionControl(SCTPConfiguration())
        control.timedOut()
        #expect(control.window == packet && control.isInSlowStart)
        control.reset()
        #expect(control.window == 10 * packet)
    }

    @Test(arguments: [true, false])
    func needlessReductionIsTakenBack(byTimeout: Bool) {
        var control = CongestionControl(SCTPConfiguration())
        if byTimeout {
            control.timedOut()
        } else {
            _ = control.lost(bytes: packet, highestOutstanding: TSN(initial: 50), now: .zero)
        }
        let reduced = control.window
        control.retransmitted()
        control.retransmitted()
        control.reportedDuplicates(1)
        #expect(control.window == reduced && reduced < 10 * packet)
        control.reportedDuplicates(1)
        #expect(control.window == 10 * packet && !control.isInRecovery && control.undoneReductions == 1)
    }

    @Test func windowIsBounded() {
        var settings = SCTPConfiguration()
        settings.maxCongestionWindow = 20 * packet
        var control = CongestionControl(settings)
        for _ in 0..<10 { control.acknowledged(sample(bytes: 10 * packet, flight: control.window)) }
        #expect(control.window == 20 * packet)
    }
}

/// Bulk transfers over a narrow link; the figures are goals, the link's headers included.
@Suite struct BottleneckTests {
    private func run(
        _ link: Bottleneck.Link, configuration: SCTPConfiguration = .init(), warm: Duration, time: Duration
    ) -> (bottleneck: Bottleneck, throughput: Double) {
        let bottleneck = Bottleneck(link, seed: 5)
        bottleneck.add(configuration)
        bottleneck.run(for: warm)
        bottleneck.run(for: time)
        return (bottleneck, bottleneck.throughput(0, over: time))
    }

    @Test func randomLossIsNoCongestion() {
        let link = Bottleneck.Link(rate: 50e6, buffer: .milliseconds(50), roundTrip: .milliseconds(50), loss: 0.01)
        let (_, throughput) = run(link, warm: .seconds(2), time: .seconds(2))
        #expect(throughput > 36)
        var reno = SCTPConfiguration()
        reno.congestionAlgorithm = .newReno
        #expect(run(link, configuration: reno, warm: .seconds(2), time: .seconds(2)).throughput < 10)
    }

    /// A buffer of half a second is not filled, and the link is used.
    @Test func queueIsBounded() {
        let link = Bottleneck.Link(rate: 10e6, buffer: .milliseconds(500), roundTrip: .milliseconds(30))
        let (bottleneck, throughput) = run(link, warm: .seconds(4), time: .seconds(8))
        #expect(throughput > 8.5)
        #expect(bottleneck.meanQueue < .milliseconds(80))
        #expect(bottleneck.overflows == 0)
        var greedy = SCTPConfiguration()
        greedy.queueLimit = .zero
        #expect(
            run(link, configuration: greedy, warm: .seconds(4), time: .seconds(8)).bottleneck.meanQueue
                > .milliseconds(150))
    }

    /// Hardly any buffer: loss is the only sign, and it stays small.
    @Test func shallowBuffer() {
        let link = Bottleneck.Link(rate: 20e6, buffer: .milliseconds(5), roundTrip: .milliseconds(50))
        let (bottleneck, throughput) = run(link, warm: .seconds(3), time: .seconds(5))
        #expect(throughput > 12)
        #expect(Double(bottleneck.overflows) < 0.03 * Double(bottleneck.packets))
    }

    /// HyStart++: the first seconds do not flood the buffer, and the link is soon in use.
    @Test func slowStartEndsInTime() {
        let link = Bottleneck.Link(rate: 50e6, buffer: .milliseconds(50), roundTrip: .milliseconds(50))
        let (bottleneck, throughput) = run(link, warm: .zero, time: .seconds(2))
        #expect(throughput > 25)
        #expect(Double(bottleneck.overflows) < 0.05 * Double(bottleneck.packets))
    }

    /// Two transfers, also one that comes late or that keeps no bound on its queue: each gets its share.
    @Test(arguments: [(0, false), (3, false), (3, true)])
    func twoShareALink(late: Int, isSecondGreedy: Bool) {
        let bottleneck = Bottleneck(
            Bottleneck.Link(rate: 10e6, buffer: .milliseconds(100), roundTrip: .milliseconds(40)), seed: 6)
        bottleneck.add()
        var second = SCTPConfiguration()
        if isSecondGreedy { second.queueLimit = .zero }
        bottleneck.add(second, startsAt: .seconds(late))
        bottleneck.run(for: .seconds(6))
        bottleneck.run(for: .seconds(20))
        let both = [bottleneck.received(0), bottleneck.received(1)].map(Double.init)
        let least = isSecondGreedy ? 0.2 : 0.3
        #expect(both[0] / (both[0] + both[1]) > least && both[1] / (both[0] + both[1]) > 0.3)
        #expect((both[0] + both[1]) * 8 / 20e6 > 8.5)
    }

    /// Rates, buffers and round trips of many kinds (Mbit/s and ms), the second transfer three seconds late: by Jain's index
    /// (1 is even, 0.5 is one who takes all) each gets its share, and the link is used.
    @Test(arguments: [(1, 100, 50), (5, 50, 20), (5, 100, 50), (10, 50, 50), (20, 100, 20)])
    func twoShareLinksOfManyKinds(rate: Int, buffer: Int, roundTrip: Int) {
        let bottleneck = Bottleneck(
            Bottleneck.Link(
                rate: Double(rate) * 1e6, buffer: .milliseconds(buffer), roundTrip: .milliseconds(roundTrip)), seed: 6)
        bottleneck.add()
        bottleneck.add(startsAt: .seconds(3))
        bottleneck.run(for: .seconds(9))
        bottleneck.run(for: .seconds(12))
        let (one, other) = (bottleneck.throughput(0, over: .seconds(12)), bottleneck.throughput(1, over: .seconds(12)))
        let index = (one + other) * (one + other) / (2 * (one * one + other * other))
        #expect(index > 0.9, "\(one) and \(other) Mbit/s")
        #expect(one + other > 0.88 * Double(rate))
    }
}
