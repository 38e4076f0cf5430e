import JSON
import SwarmBase
import Testing

@testable import Gun

@Suite struct HAMTests {
    private func entry(_ value: JSONValue?, _ state: JSONValue?) -> GunEntry? {
        guard let value = value?.string.flatMap({ GunValue(json($0)) }),
            let state = state?.string.flatMap({ json($0).number }), state.isFinite
        else { return nil }
        return GunEntry(value, state: state)
    }

    /// All recorded cases. Where the incoming state is not a finite number or the value is illegal, a record must not
    /// even be made; "bad state" is the one group whose recorded outcome is not to be had.
    @Test func recordedCases() throws {
        let cases = try #require(try Vectors.load("ham")["cases"]?.array)
        #expect(cases.count == 1003)
        var decided = 0
        for item in cases {
            let name = "case \(item["n"]?.integer ?? -1)"
            let held = entry(item["kv"], item["ks"])
            let now = try #require(item["now"]?.number)
            let outcome = try #require(item["outcome"]?.string)
            let group = item["group"]?.string
            guard let incoming = entry(item["v"], item["s"]) else {
                #expect(
                    group == "bad state" || group == "bad value" || item["s"]?.string?.contains("e999") == true,
                    "\(name) was not read")
                continue
            }
            #expect(group != "bad value", "\(name) was read")
            decided += 1
            let ours = HAM.decide(incoming: incoming, held: held, wall: now)
            let expected: HAM.Outcome = outcome == "defer" ? .deferred : outcome == "accept" ? .accept : .ignore
            #expect(ours == expected, "\(name) \(group ?? "")")
            let after = ours == .accept ? incoming : held
            #expect(after == entry(item["av"], item["as"]), "\(name): held after")
            if let later = item["clockAfterDelay"]?.number {
                let again = HAM.decide(incoming: incoming, held: held, wall: later)
                let outcome: HAM.Outcome = item["afterDelayOutcome"]?.string == "accept" ? .accept : .deferred
                #expect(again == outcome, "\(name) later")
            }
        }
        #expect(decided > 960)
    }

    @Test func partlyWrongMessagesAreRefusedWhole() throws {
        let cases = try #require(try Vectors.load("ham")["messages"]?.array)
        #expect(cases.count == 11)
        var malformed = 0
        for item in cases {
            let frame = Array(try #require(item["frame"]?.string).utf8)
            let message = try #require(messages(frame).first, "\(item["name"]?.string ?? "")")
            if case .malformed = message.put { malformed += 1 }
            if item["err"]?.string != nil || item["name"]?.string == "bad key last" {
                #expect(message.records.isEmpty, "\(item["name"]?.string ?? "")")
            }
        }
        #expect(malformed == 8)
    }

    @Test func orderOfArrivalDoesNotMatter() {
        let seed: UInt64 = 7
        var random = SeededGenerator(seed: seed)
        let values: [GunValue] = [.null, .bool(true), .number(9), .number(10), .text("a"), .link("s"), .text("")]
        for round in 0..<200 {
            let writes = (0..<12).map { _ in
                GunRecord(
                    soul: "s", key: Bool.random(using: &random) ? "a" : "b",
                    value: values.randomElement(using: &random) ?? .null,
                    state: Double(Int.random(in: 0...3, using: &random)))
            }
            var results: Set<[GunRecord]> = []
            for _ in 0..<4 {
                var memory = GraphMemory(budget: .max)
                memory.hold("s", isComplete: true)
                for write in (writes + writes.prefix(4)).shuffled(using: &random) { _ = memory.merge(write) }
                results.insert(memory.nodes["s"]?.node.records ?? [])
            }
            #expect(results.count == 1, "seed \(seed) round \(round)")
        }
    }
}

@Suite struct StateClockTests {
    @Test func followsTheRecordedClockWhereItIsSound() throws {
        // The first calls of a fresh clock are spelled exactly as recorded.
        let calls = try #require(try Vectors.load("clock")["calls"]?.array)
        var clock = StateClock()
        for call in calls.prefix(8) {
            let wall = try #require(call["wallClock"]?.number)
            let state = clock.next(wall: wall)
            let expected = try #require(call["state"]?.number)
            #expect(abs(state - expected) < 0.0005, "\(call)")
        }
    }

    @Test func isStrictlyIncreasingAndLessThanAMillisecondAhead() {
        var clock = StateClock()
        var last = -Double.infinity
        var wall = 1_900_000_000_000.0
        for call in 0..<7_500 {
            if call.isMultiple(of: 2_500) { wall += 1 }
            let state = clock.next(wall: wall)
            #expect(state > last && state < wall + 1, "call \(call)")
            last = state
        }
        // A small step back does not show, a large one is followed.
        let before = clock.next(wall: 1_900_000_000_100)
        #expect(clock.next(wall: 1_899_999_999_100) > before)
        #expect(clock.next(wall: 1_899_999_999_099) == 1_899_999_999_099)
    }
}
