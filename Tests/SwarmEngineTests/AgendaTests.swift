import SwarmBase
import Testing

@testable import SwarmEngine

/// The heap of deadlines, held against a list.
@Suite struct AgendaTests {
    private final class Item: AgendaItem {
        let number: Int
        init(_ number: Int) { self.number = number }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func itIsAHeap(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let agenda = Agenda<Item>()
        let items = (0..<40).map { Item($0) }
        var deadlines: [Int: Instant] = [:]
        for _ in 0..<2_000 {
            let item = items[Int.random(in: 0..<items.count, using: &random)]
            if Int.random(in: 0..<4, using: &random) == 0 {
                agenda.schedule(item, at: nil)
                deadlines[item.number] = nil
            } else {
                let at = Instant.zero + .milliseconds(Int.random(in: 0..<50, using: &random))
                agenda.schedule(item, at: at)
                deadlines[item.number] = at
            }
            #expect(agenda.next == deadlines.values.min())
            guard Int.random(in: 0..<5, using: &random) == 0 else { continue }
            let now = Instant.zero + .milliseconds(Int.random(in: 0..<50, using: &random))
            while let due = agenda.popDue(now: now) {
                #expect(
                    deadlines[due.number] == deadlines.values.min() && deadlines[due.number].map { $0 <= now } == true)
                deadlines[due.number] = nil
            }
            #expect(deadlines.values.allSatisfy { $0 > now })
        }
    }

    @Test func whatIsTouchedTwiceIsToldOnce() {
        let agenda = Agenda<Item>()
        let item = Item(1)
        agenda.touch(item)
        agenda.touch(item)
        #expect(agenda.popTouched() === item)
        #expect(agenda.popTouched() == nil)
        agenda.schedule(item, at: .zero)
        #expect(agenda.popDue(now: .zero) === item)
        #expect(agenda.popDue(now: .zero) == nil, "once in each turn")
        #expect(agenda.popTouched() === item, "its next deadline is asked for")
    }
}
