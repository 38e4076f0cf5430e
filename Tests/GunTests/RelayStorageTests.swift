import JSON
import SwarmBase
import Testing

@testable import Gun

/// A relay and its disk: what is acknowledged when, and who waits for whom.
@Suite struct RelayStorageTests {
    private let a: LinkID = 1
    private let b: LinkID = 2

    @Test func acknowledgesAfterStorage() {
        var net = RelayHarness(links: [a])
        _ = net.take(a)
        net.send(putFrame("p0", "s", "first", 1, 1), on: a)
        _ = net.take(a)
        net.diskIsSlow = true
        net.send(putFrame("p1", "s", "k", "v", 10), on: a)
        #expect(net.take(a).isEmpty, "the key has to be read first")
        net.wakeDisk()
        #expect(net.take(a).map(\.answered) == ["p1"])
        net.diskIsSlow = true
        net.send(putFrame("p2", "s", "k", "v", 11), on: a)
        #expect(net.take(a).isEmpty)
        // The same again, under way: it is acknowledged when the first is safe, not before.
        net.send(putFrame("p3", "s", "k", "v", 11), on: a)
        #expect(net.take(a).isEmpty)
        net.wakeDisk()
        let answers = net.take(a)
        #expect(answers.map(\.answered) == ["p2", "p3"] && answers.allSatisfy { $0.ok == true && $0.err == nil })
        // What changes nothing is acknowledged too, and so is what is older.
        net.send(putFrame("p4", "s", "k", "v", 11), on: a)
        net.send(putFrame("p5", "s", "k", "old", 9), on: a)
        #expect(net.take(a).map(\.answered) == ["p4", "p5"])
        #expect(net.disk["s"]?["k"] == GunEntry("v", state: 11))
        // The same id is dropped whole.
        net.send(putFrame("p5", "s", "k", "new", 12), on: a)
        #expect(net.take(a).isEmpty && net.relay.counters.duplicateMessages == 1)
    }

    @Test func tellsWhenStorageFails() {
        var net = RelayHarness(links: [a])
        net.send(putFrame("p0", "s", "k", "v", 1), on: a)
        _ = net.take(a)
        net.diskIsSlow = true
        net.send(putFrame("p1", "s", "k", "w", 2), on: a)
        guard case .store(let id, let records) = net.waiting.first else {
            Issue.record("no batch")
            return
        }
        #expect(records.count == 1)
        net.relay.storeFailed(id, now: net.now)
        net.drain()
        let answer = net.take(a)
        #expect(answer.count == 1 && answer[0].answered == "p1" && answer[0].err != nil && answer[0].ok == nil)
        // Twice answered, or never asked: nothing happens.
        net.relay.stored(id, now: net.now)
        net.relay.loaded(LoadID(number: 999), .nothing, now: net.now, wall: net.wall)
        net.drain()
        #expect(net.take(a).isEmpty)
    }

    @Test func groupsWritesWhileABatchIsUnderWay() {
        var configuration = GunRelayConfiguration()
        configuration.batchRecords = 4
        var net = RelayHarness(configuration, links: [a])
        net.send(putFrame("p", "s", "k0", 1, 1), on: a)
        _ = net.take(a)
        net.send(getFrame("g", "s"), on: a)
        net.diskIsSlow = true
        for number in 0..<9 {
            net.send(putFrame("p\(number)", "s", "k0", .number(FiniteNumber(number)), Double(number + 2)), on: a)
        }
        #expect(net.waiting.count == 1)
        let before = net.stores
        net.wakeDisk()
        #expect(net.stores - before == 3, "1, 4 and 4 records")
        #expect(Set(net.take(a).compactMap(\.answered).map(\.description)).isSuperset(of: (0..<9).map { "p\($0)" }))
    }

    @Test func refusesAMalformedPutWhole() {
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("g", "s"), on: b)
        _ = (net.take(a), net.take(b))
        net.send(##"{"#":"m","put":{"s":{"_":{"#":"s",">":{"a":5,"b":5}},"a":1,"b":[1]}}}"##, on: a)
        let answer = net.take(a)
        #expect(answer.count == 1 && answer[0].answered == "m" && answer[0].err != nil)
        #expect(net.take(b).isEmpty && net.disk.isEmpty && net.relay.counters.refusedPuts == 1)
    }

    @Test func theRuleDecidesRecordByRecord() {
        var configuration = GunRelayConfiguration()
        configuration.rule = WriteRule { record, _ in
            if record.key == "bad" { return .refuse("Unverified data.") }
            return record.key == "late" ? .pass : .accept
        }
        var net = RelayHarness(configuration, links: [a, b])
        net.send(getFrame("g1", "s"), on: b)
        _ = (net.take(a), net.take(b))
        let records: [GunRecord] = ["bad", "good", "late"].map { GunRecord(soul: "s", key: $0, value: 1, state: 1) }
        net.send(GunMessage.put("p1", GunGraph(records)).serialized(), on: a)
        #expect(net.take(a).map(\.err) == ["Unverified data."])
        #expect(net.take(b).flatMap(\.records).map(\.key) == ["good"])
        #expect(net.disk["s"]?.keys.sorted() == ["good"])
        net.send(putFrame("p2", "s", "late", 3, 2), on: a)
        let ack = net.take(a)
        #expect(ack.count == 1 && ack[0].answered == "p2" && ack[0].err == nil)
        #expect(net.relay.counters.refusedRecords == 1 && net.relay.counters.passedRecords == 2)
    }

    @Test func conflictsAreDecidedAgainstStorage() {
        var net = RelayHarness(links: [a])
        net.disk["s"] = ["k": GunEntry("newer", state: 50)]
        _ = net.take(a)
        net.send(putFrame("p", "s", "k", "older", 40), on: a)
        #expect(net.disk["s"]?["k"]?.value == "newer" && net.take(a).map(\.answered) == ["p"] && net.stores == 0)
    }

    @Test func memoryIsBoundedAndNothingIsLost() {
        let seed: UInt64 = 21
        var random = SeededGenerator(seed: seed)
        var configuration = GunRelayConfiguration()
        configuration.memoryBytes = 20_000
        var net = RelayHarness(configuration, links: [a, b])
        var truth: [RecordAddress: GunEntry] = [:]
        for number in 0..<1_500 {
            let soul = Soul(stringLiteral: "s\(Int.random(in: 0..<60, using: &random))")
            let records = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                GunRecord(
                    soul: soul, key: Key(stringLiteral: "k\(Int.random(in: 0..<4, using: &random))"),
                    value: .string(String(repeating: "\(number)", count: 40)),
                    state: Double(Int.random(in: 1...1_000, using: &random)))
            }
            let unique = Dictionary(records.map { ($0.address, $0) }) { first, _ in first }.values.sorted {
                $0.key < $1.key
            }
            for record in unique where HAM.supersedes(record.entry, truth[record.address]) {
                truth[record.address] = record.entry
            }
            if number % 7 == 0 { net.diskIsSlow = true }
            net.send(GunMessage.put(MessageID(JSONText("p\(number)")), GunGraph(unique)).serialized(), on: a)
            if number % 7 == 5 { net.wakeDisk() }
        }
        net.wakeDisk()
        #expect(net.relay.memoryBytes <= 20_000 && net.relay.counters.evictedNodes > 50, "seed \(seed)")
        #expect(net.take(a).compactMap(\.answered).count == 1_500, "seed \(seed)")
        for (address, entry) in truth { #expect(net.disk[address.soul]?[address.key] == entry, "seed \(seed)") }
    }

    @Test func aRelayWithoutStorageAcknowledgesAndAnswers() {
        var configuration = GunRelayConfiguration()
        configuration.hasStorage = false
        var net = RelayHarness(configuration, links: [a])
        _ = net.take(a)
        net.send(putFrame("p", "s", "k", 1, 1), on: a)
        net.send(getFrame("g", "s"), on: a)
        net.send(getFrame("h", "none"), on: a)
        let answers = net.take(a)
        #expect(answers.map(\.answered) == ["p", "g", "h"] && answers[1].records.count == 1 && answers[2].put == nil)
        #expect(net.loads == 0 && net.stores == 0)
    }

    @Test func whenStorageIsBehindThereIsSilence() {
        var configuration = GunRelayConfiguration()
        configuration.waitingForStorage = 2
        var net = RelayHarness(configuration, links: [a])
        _ = net.take(a)
        net.diskIsSlow = true
        for number in 0..<5 { net.send(getFrame("g\(number)", Soul(stringLiteral: "s\(number)")), on: a) }
        net.send(putFrame("p", "s", "k", 1, 1), on: a)
        #expect(net.relay.counters.busyRefusals == 4)
        net.wakeDisk()
        #expect(net.take(a).map(\.answered) == ["g0", "g1"])
    }

    /// One link asks for more than the disk gives; another's question does not wait behind all of that.
    @Test func linksTakeTurnsAtTheDisk() {
        var configuration = GunRelayConfiguration()
        configuration.readsUnderWay = 4
        configuration.waitingForStorage = 400
        var net = RelayHarness(configuration, links: [a, b])
        _ = (net.take(a), net.take(b))
        net.diskIsSlow = true
        for number in 0..<150 { net.send(getFrame("g\(number)", Soul(stringLiteral: "s\(number)")), on: a) }
        func loads() -> Int { net.waiting.count { if case .load = $0 { true } else { false } } }
        #expect(loads() == 4 && net.relay.counters.busyRefusals == 46 && net.relay.counters.pauses > 0)
        let pauses = net.relay.counters.pauses
        net.send(getFrame("h", "other"), on: b)
        net.send(getFrame("h2", "s99"), on: b)
        net.send(putFrame("p", "new", "k", 1, 1), on: b)
        #expect(net.relay.counters.pauses == pauses, "who asks for little is not slowed down")
        var done = 0
        while done < 12, !net.waiting.isEmpty {
            if case .load = net.waiting[0] { done += 1 }
            net.perform(net.waiting.removeFirst())
            net.drain()
        }
        let early = net.take(b).compactMap(\.answered)
        #expect(early.contains("h") && early.contains("h2") && loads() == 4)
        net.wakeDisk()
        #expect((early + net.take(b).compactMap(\.answered)).contains("p"))
        #expect(net.relay.storage.waitingCount == 0 && net.relay.lanes.underWay == 0)
    }
}
