import SwarmBase
import Testing

@testable import SCTP

@Suite struct TSNTests {
    @Test func unwrapsNextToTheReference() {
        let last = TSN(initial: .max)
        #expect(TSN(0, near: last) == last.next)
        #expect(TSN(0, near: last) > last)
        #expect(TSN(.max, near: last.next) == last)
        #expect(TSN(5, near: last) - last == 6)
        #expect(last.next.wire == 0)
        #expect((last - 2).wire == UInt32.max - 2)
    }

    @Test func serialNumbers() {
        #expect(streamSequence(65_535, precedes: 0))
        #expect(!streamSequence(0, precedes: 65_535))
        #expect(!streamSequence(7, precedes: 7))
        #expect(streamSequence(0, precedes: 32_767))
        #expect(requestSequence(.max, precedes: 0))
    }
}

@Suite struct TSNTrackerTests {
    private let initial: UInt32 = 0xffff_fff0

    @Test func kindsOfArrival() {
        var tracker = TSNTracker(initial: initial)
        let base = tracker.cumulative
        #expect(base.wire == 0xffff_ffef)
        #expect(tracker.arrival(of: base.next, window: 10) == .next)
        #expect(tracker.arrival(of: base, window: 10) == .duplicate)
        #expect(tracker.arrival(of: base + 10, window: 10) == .beyondGap)
        #expect(tracker.arrival(of: base + 11, window: 10) == .refused)
        tracker.record(base + 3)
        #expect(tracker.arrival(of: base + 3, window: 10) == .duplicate)
        #expect(tracker.arrival(of: base + 2, window: 10) == .beyondGap)
        #expect(tracker.hasGaps)
    }

    @Test func sackListsGapsAsOffsetsAndDuplicatesOnce() {
        var tracker = TSNTracker(initial: initial)
        let base = tracker.cumulative
        for offset in [1, 3, 4, 7, 20] { tracker.record(base + offset) }
        tracker.recordDuplicate(base + 3)
        let sack = tracker.makeSack(window: 99, room: 1000)
        #expect(sack.cumulative == (base + 1).wire && sack.window == 99)
        #expect(sack.gaps == [.init(first: 2, last: 3), .init(first: 6, last: 6), .init(first: 19, last: 19)])
        #expect(sack.duplicates == [(base + 3).wire])
        #expect(tracker.makeSack(window: 99, room: 1000).duplicates.isEmpty)
        // As many blocks as fit.
        #expect(tracker.makeSack(window: 99, room: 16 + 8).gaps.count == 2)
        #expect(tracker.makeSack(window: 99, room: 16).gaps.isEmpty)
    }

    @Test func advanceAbsorbsGaps() {
        var tracker = TSNTracker(initial: initial)
        let base = tracker.cumulative
        for offset in [3, 4, 7] { tracker.record(base + offset) }
        tracker.advance(to: base + 2)
        #expect(tracker.cumulative == base + 4)
        tracker.advance(to: base + 1)
        #expect(tracker.cumulative == base + 4)
        tracker.advance(to: base + 6)
        #expect(tracker.cumulative == base + 7 && !tracker.hasGaps)
    }

    @Test func gapsAreBounded() {
        var tracker = TSNTracker(initial: 1)
        let base = tracker.cumulative
        var accepted = 0
        for offset in stride(from: 2, to: 40_000, by: 2)
        where tracker.arrival(of: base + offset, window: 1 << 20) == .beyondGap {
            tracker.record(base + offset)
            accepted += 1
        }
        #expect(accepted == 4096)
        // What joins two gaps is still taken.
        #expect(tracker.arrival(of: base + 3, window: 1 << 20) == .beyondGap)
    }

    /// Against a plain set, in random orders across the wrap.
    @Test(arguments: UInt64(0)..<50)
    func agreesWithASet(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var tracker = TSNTracker(initial: initial)
        let base = tracker.cumulative
        var received: Set<Int> = []
        var cumulative = 0
        for _ in 0..<400 {
            let offset = Int.random(in: max(0, cumulative - 3)...cumulative + 12, using: &random)
            let arrival = tracker.arrival(of: base + offset, window: 1000)
            let isKnown = offset <= cumulative || received.contains(offset)
            #expect((arrival == .duplicate) == isKnown, "seed \(seed)")
            if !isKnown {
                tracker.record(base + offset)
                received.insert(offset)
                while received.contains(cumulative + 1) { cumulative += 1 }
            }
            #expect(tracker.cumulative == base + cumulative, "seed \(seed)")
            var listed: Set<Int> = []
            for gap in tracker.gaps { listed.formUnion((gap.first - base)...(gap.last - base)) }
            #expect(listed == received.filter { $0 > cumulative }, "seed \(seed)")
        }
    }
}
