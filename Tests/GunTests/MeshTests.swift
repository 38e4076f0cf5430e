import JSON
import SwarmBase
import Testing

@testable import Gun

@Suite struct MeshTests {
    private func at(_ seconds: Double) -> Instant { .zero + .milliseconds(Int(seconds * 1000)) }

    @Test func recentTableIsBoundedInTime() {
        var table = RecentTable<Int, String>(capacity: 10, lifetime: .seconds(30))
        table.remember(1, "one", now: at(0))
        table.remember(2, "two", now: at(0))
        #expect(table.sight(1, now: at(29.999)) == "one")
        #expect(table.sight(2, now: at(30)) == nil)
        table.remember(3, "three", now: at(31))
        #expect(table.count == 2)
        #expect(table.sight(1, now: at(59)) == "one")
        table.remember(4, "four", now: at(95))
        #expect(table.count == 1)
    }

    @Test func recentTableIsBoundedInNumber() {
        var table = RecentTable<Int, Int>(capacity: 3, lifetime: .seconds(30))
        for number in 1...3 { table.remember(number, number, now: at(0)) }
        #expect(table.sight(1, now: at(1)) == 1)
        table.remember(4, 4, now: at(2))
        #expect(table.count == 3)
        #expect(table.sight(1, now: at(2)) == 1 && table.sight(2, now: at(2)) == nil)
        for number in 5...1_000 { table.remember(number, number, now: at(2)) }
        #expect(table.count == 3)
    }

    @Test func memoryLetsGoOfWhatWasNotUsed() {
        var memory = GraphMemory(budget: 3_000)
        for number in 0..<6 {
            let soul = Soul(stringLiteral: "soul\(number)")
            memory.hold(soul, isComplete: true)
            _ = memory.merge(
                GunRecord(soul: soul, key: "k", value: .text(JSONText(String(repeating: "x", count: 500))), state: 1))
        }
        #expect(memory.cost > 3_000)
        _ = memory.evict { soul, _ in soul == "soul0" }
        #expect(memory.cost <= 3_000 && memory.nodes["soul0"] != nil && memory.nodes["soul1"] == nil)
        let cost = memory.nodes.values.reduce(0) { $0 + $1.cost }
        #expect(cost == memory.cost)
        // Everything pinned: nothing goes, and the call ends.
        _ = memory.merge(
            GunRecord(soul: "soul0", key: "big", value: .text(JSONText(String(repeating: "y", count: 5_000))), state: 2)
        )
        _ = memory.evict { _, _ in true }
        #expect(memory.cost > 3_000)
        #expect(!memory.trim().isEmpty)
        #expect(memory.cost <= 3_000)
    }

    @Test func memoryAddsUp() {
        var random = SeededGenerator(seed: 11)
        var memory = GraphMemory(budget: 20_000)
        for _ in 0..<3_000 {
            let soul = Soul(stringLiteral: "s\(Int.random(in: 0..<40, using: &random))")
            memory.hold(soul, isComplete: false)
            let text = String(repeating: "v", count: Int.random(in: 0..<400, using: &random))
            _ = memory.merge(
                GunRecord(
                    soul: soul, key: Key(stringLiteral: "k\(Int.random(in: 0..<9, using: &random))"),
                    value: .string(text),
                    state: Double(Int.random(in: 0..<50, using: &random))))
            _ = memory.evict { _, _ in false }
            #expect(memory.cost <= 20_000)
        }
        #expect(memory.cost == memory.nodes.values.reduce(0) { $0 + $1.cost })
    }
}
