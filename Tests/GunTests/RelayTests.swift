import JSON
import SwarmBase
import Testing

@testable import Gun

/// A relay with an owner that has a disk, and raw links that keep what they are sent.
struct RelayHarness {
    var relay: GunRelay
    var now = Instant.zero
    var wall = 1_800_000_000_000.0
    var disk: [Soul: [Key: GunEntry]] = [:]
    var received: [LinkID: [GunMessage]] = [:]
    var frames: [LinkID: Int] = [:]
    var closed: [LinkID: GunCloseReason] = [:]
    var paused: [LinkID: Duration] = [:]
    var loads = 0
    var stores = 0
    /// Whether the disk answers at once.
    var diskIsSlow = false
    var waiting: [GunRelayEvent] = []
    /// What was asked of the log of changes.
    var requests: [ChangeLogRequest] = []

    init(_ configuration: GunRelayConfiguration = GunRelayConfiguration(), links: [LinkID] = []) {
        relay = GunRelay(configuration: configuration, entropy: .seed(1))
        for link in links { open(link) }
    }

    mutating func open(_ link: LinkID, from address: IPAddress? = nil, peer: Int? = nil) {
        relay.linkOpened(link, from: address, peer: peer, now: now)
        drain()
    }

    mutating func close(_ link: LinkID) {
        relay.linkClosed(link, now: now)
        drain()
    }

    mutating func send(_ text: String, on link: LinkID) { send(Array(text.utf8), on: link) }

    mutating func send(_ frame: [UInt8], on link: LinkID) {
        relay.receive(frame: frame, on: link, now: now, wall: wall)
        drain()
    }

    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let due = relay.nextTimeout, due <= end {
            wall += (due - now).milliseconds
            now = due
            relay.handleTimeout(now: now, wall: wall)
            drain()
        }
        wall += (end - now).milliseconds
        now = end
    }

    mutating func drain() {
        while true {
            if let (link, frame) = relay.pollTransmit() {
                received[link, default: []] += messages(frame)
                frames[link, default: 0] += 1
            } else if let event = relay.pollEvent() {
                if case .close(let link, let reason) = event {
                    closed[link] = reason
                } else if diskIsSlow {
                    waiting.append(event)
                } else {
                    perform(event)
                }
            } else {
                return
            }
        }
    }

    mutating func perform(_ event: GunRelayEvent) {
        switch event {
        case .load(let id, let range):
            loads += 1
            relay.loaded(id, range.slice(of: records(on: disk)), now: now, wall: wall)
        case .store(let id, let records):
            stores += 1
            for record in records { disk[record.soul, default: [:]][record.key] = record.entry }
            relay.stored(id, now: now)
        case .close: break
        case .changes(let request): requests.append(request)
        case .pause(let link, let duration): paused[link] = duration
        }
    }

    mutating func wakeDisk() {
        diskIsSlow = false
        let events = waiting
        waiting = []
        for event in events { perform(event) }
        drain()
    }

    /// What the link has been sent since it was last asked.
    mutating func take(_ link: LinkID) -> [GunMessage] { received.removeValue(forKey: link) ?? [] }
}

@Suite struct RelayTests {
    private let a: LinkID = 1
    private let b: LinkID = 2
    private let c: LinkID = 3

    @Test func greetsAndShakesHands() {
        var net = RelayHarness(links: [a])
        let greeting = net.take(a)
        #expect(greeting.count == 1 && greeting[0].dam == "?" && greeting[0].pid?.byteCount == 12)
        net.send(##"{"dam":"hi","#":"LaEFUnyal"}"##, on: a)
        net.send(##"{"dam":"?","pid":"sLnnFu4cV","@":"KkKe7qVCD","#":"yWUodBQsT"}"##, on: a)
        #expect(net.take(a).isEmpty)
        net.send(##"{"dam":"?","pid":"sLnnFu4cV","#":"q"}"##, on: a)
        let reply = net.take(a)
        #expect(reply.count == 1 && reply[0].answered == "q" && reply[0].pid == greeting[0].pid)
        let own = greeting[0].pid?.string ?? ""
        net.send(##"{"dam":"?","pid":"\##(own)","#":"r"}"##, on: a)
        #expect(net.closed[a] == .ourselves)
    }

    @Test func heartbeatEveryTwentySeconds() {
        var net = RelayHarness(links: [a])
        let before = net.frames[a]
        net.advance(.milliseconds(19_999))
        #expect(net.frames[a] == before)
        net.advance(.milliseconds(1))
        #expect(net.frames[a] == 2)
        net.advance(.seconds(60))
        #expect(net.frames[a] == 5)
        net.close(a)
        #expect(net.relay.nextTimeout == nil)
    }

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

    @Test func tellsSubscribersAndNobodyElse() {
        var net = RelayHarness(links: [1, 2, 3, 4, 5])
        net.send(getFrame("g1", "r1"), on: 1)
        net.send(getFrame("g2", "r1", "k"), on: 2)
        net.send(getFrame("g3", "r1", "other"), on: 3)
        net.send(getFrame("g5", "r1"), on: 5)
        for link in 1...5 { _ = net.take(LinkID(UInt64(link))) }
        net.send(putFrame("p1", "r1", "k", 1, 10), on: 5)
        net.send(putFrame("p2", "r1", "z", 2, 10), on: 5)
        let pushed = net.take(1)
        #expect(pushed.map(\.id) == ["p1", "p2"])
        #expect(pushed.first?.records == [GunRecord(soul: "r1", key: "k", value: 1, state: 10)])
        #expect(net.take(2).map(\.id) == ["p1"])
        #expect(net.take(3).isEmpty && net.take(4).isEmpty)
        // The writer is subscribed too, and gets acknowledgements only.
        #expect(net.take(5).map(\.answered) == ["p1", "p2"])
        // What changes nothing is not passed on.
        net.send(putFrame("p3", "r1", "k", 1, 10), on: 5)
        net.send(putFrame("p4", "r1", "k", 9, 9), on: 5)
        #expect(net.take(1).isEmpty)
        // Gone is gone, and whoever comes after the last subscriber hears again.
        for link in [1, 2, 3] { net.close(LinkID(UInt64(link))) }
        net.send(putFrame("p5", "r1", "k", 5, 20), on: 5)
        net.send(putFrame("p6", "r1", "k", 6, 21), on: 5)
        net.open(6)
        net.send(getFrame("g6", "r1", "k"), on: 6)
        _ = net.take(6)
        net.send(putFrame("p7", "r1", "k", 7, 22), on: 5)
        #expect(net.take(6).map(\.id) == ["p7"])
    }

    @Test func aPartOfAMessageTravelsUnderAnotherID() throws {
        var net = RelayHarness(links: [a, b, c])
        net.send(getFrame("g1", "s", "x"), on: b)
        net.send(getFrame("g2", "s"), on: c)
        _ = (net.take(a), net.take(b), net.take(c))
        net.send(##"{"#":"m","put":{"s":{"_":{"#":"s",">":{"x":1,"y":1}},"x":1,"y":2}}}"##, on: a)
        let part = try #require(net.take(b).first)
        #expect(part.id != "m" && part.records.map(\.key) == ["x"])
        #expect(net.take(c).first?.id == "m")
        _ = net.take(a)
        // An answer to the part comes back as an answer to the whole.
        net.send(##"{"#":"ans","@":"\##(part.id?.description ?? "")","ok":{"rtc":{"id":"b"}}}"##, on: b)
        let answer = net.take(a)
        #expect(answer.map(\.id) == ["ans"] && answer[0].answered == "m")
        #expect(answer[0].ok == ["rtc": ["id": "b"]])
    }

    @Test func answersFindTheirWayForThirtySeconds() {
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("g", "s"), on: b)
        net.send(putFrame("p", "s", "k", 1, 1), on: a)
        _ = (net.take(a), net.take(b))
        net.advance(.milliseconds(29_999))
        net.send(##"{"#":"a1","@":"p","ok":1}"##, on: b)
        #expect(net.take(a).contains { $0.id == "a1" && $0.answered == "p" })
        // Each answer of the dialogue can be answered in turn.
        net.send(##"{"#":"a2","@":"a1","ok":1}"##, on: a)
        #expect(net.take(b).contains { $0.id == "a2" })
        net.advance(.seconds(31))
        net.send(##"{"#":"a3","@":"p","ok":1}"##, on: b)
        net.send(##"{"#":"a4","@":"never","ok":1}"##, on: b)
        #expect(!net.take(a).contains { $0.id == "a3" || $0.id == "a4" })
    }

    @Test func answersQueries() {
        var net = RelayHarness(links: [a])
        net.disk["s"] = ["k": GunEntry("from disk", state: 5), "j": GunEntry(.null, state: 6)]
        _ = net.take(a)
        net.send(getFrame("g1", "s", "k"), on: a)
        var answer = net.take(a)
        #expect(answer.count == 1 && answer[0].answered == "g1" && answer[0].records.map(\.key) == ["k"])
        net.send(getFrame("g2", "s"), on: a)
        answer = net.take(a)
        #expect(answer.count == 1 && answer[0].records.map(\.key) == ["j", "k"] && net.loads == 2)
        let hash = answer[0].hash
        net.send(getFrame("g3", "s"), on: a)
        #expect(net.take(a).count == 1 && net.loads == 2, "the second time from memory")
        net.send(###"{"#":"g4","##":\###(hash ?? 0),"get":{"#":"s"}}"###, on: a)
        #expect(net.take(a).isEmpty, "the asker has it")
        net.send(getFrame("g5", "s", "none"), on: a)
        net.send(getFrame("g6", "nothing"), on: a)
        net.send(##"{"#":"g7","get":{"#":5}}"##, on: a)
        net.send(##"{"#":"g8","get":{"#":"s",".":{"*":"k"}}}"##, on: a)
        answer = net.take(a)
        #expect(answer.map(\.answered) == ["g5", "g6", "g7", "g8"])
        #expect(answer.prefix(3).allSatisfy { $0.put == nil && $0.err == nil } && answer[3].records.count == 1)
    }

    @Test func longAnswersComeInParts() {
        var configuration = GunRelayConfiguration()
        configuration.answerBytes = 1_000
        var net = RelayHarness(configuration, links: [a])
        for number in 0..<25 {
            net.disk["s", default: [:]][Key(stringLiteral: "k\(number)")] = GunEntry(
                .string(String(repeating: "v", count: 200)), state: 1)
        }
        _ = net.take(a)
        net.send(getFrame("g", "s"), on: a)
        let parts = net.take(a)
        #expect(parts.count > 5)
        #expect(Set(parts.flatMap(\.records).map(\.key)).count == 25)
        for (part, next) in zip(parts, parts.dropFirst()) { #expect(part.hasMore && part.nextPart == next.id) }
        #expect(parts.last?.hasMore == false && parts.allSatisfy { $0.answered == "g" })
    }

    @Test func whatIsMissingIsAskedOfThoseWhoMayHaveIt() {
        var net = RelayHarness(links: [a, b, c])
        net.open(9, peer: 0)
        net.send(getFrame("gb", "s"), on: b)
        for link in [a, b, c, 9] { _ = net.take(link) }
        net.send(getFrame("g", "s", "k"), on: a)
        #expect(net.take(a).map(\.answered) == ["g"], "not found, for the time being")
        #expect(net.take(b).map(\.id) == ["g"] && net.take(9).map(\.id) == ["g"])
        #expect(net.take(c).isEmpty)
        net.send(##"{"#":"ab","@":"g","put":{"s":{"_":{"#":"s",">":{"k":5}},"k":"from b"}}}"##, on: b)
        let answer = net.take(a)
        #expect(answer.map(\.id) == ["ab"] && answer[0].records.count == 1)
        #expect(net.disk["s"]?["k"] == GunEntry("from b", state: 5))
        #expect(net.take(b).isEmpty, "an answer is not acknowledged")
    }

    @Test func futureWritesWait() {
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("g", "s"), on: b)
        _ = (net.take(a), net.take(b))
        net.send(putFrame("p", "s", "k", "later", net.wall + 600), on: a)
        #expect(net.take(a).isEmpty && net.take(b).isEmpty)
        net.advance(.milliseconds(599))
        #expect(net.take(b).isEmpty)
        net.advance(.milliseconds(1))
        #expect(net.take(b).count == 1 && net.take(a).map(\.answered) == ["p"])
        let day = 24 * 3600 * 1000.0
        net.send(putFrame("q", "s", "k", "too late", net.wall + day + 1), on: a)
        #expect(net.take(a).first?.err != nil)
        net.send(putFrame("r", "s", "k", "in a day", net.wall + day), on: a)
        #expect(net.take(a).isEmpty && net.relay.counters.deferredRecords == 2)
    }

    @Test func futureWritesAreBoundedPerLink() {
        var configuration = GunRelayConfiguration()
        configuration.deferredPerLink = 3
        var net = RelayHarness(configuration, links: [a, b])
        _ = (net.take(a), net.take(b))
        for number in 0..<4 { net.send(putFrame("p\(number)", "s", "k", 1, net.wall + 5_000 + Double(number)), on: a) }
        #expect(net.take(a).map(\.err).count { $0 != nil } == 1)
        net.send(putFrame("pb", "s", "k", 1, net.wall + 5_000), on: b)
        #expect(net.take(b).isEmpty)
        net.advance(.seconds(6))
        net.send(putFrame("p9", "s", "k", 1, net.wall + 5_000), on: a)
        #expect(net.take(a).allSatisfy { $0.err == nil })
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

    @Test func aSlowReaderIsClosed() {
        var configuration = GunRelayConfiguration()
        configuration.queuedBytesPerLink = 10_000
        var net = RelayHarness(configuration, links: [a, b, c])
        net.send(getFrame("g1", "s"), on: b)
        net.send(getFrame("g2", "s"), on: c)
        _ = (net.take(b), net.take(c))
        net.relay.linkWritabilityChanged(b, isWritable: false)
        for number in 0..<30 {
            net.send(
                putFrame("p\(number)", "s", "k", .string(String(repeating: "x", count: 1_000)), Double(number)), on: a)
        }
        #expect(net.closed == [b: .slowReader])
        #expect(net.take(b).isEmpty && net.take(c).count == 30 && net.relay.linkCount == 2)
    }

    @Test func aFullSocketKeepsTheOrder() {
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("g1", "s"), on: b)
        _ = net.take(b)
        net.relay.linkWritabilityChanged(b, isWritable: false)
        for number in 0..<5 { net.send(putFrame("p\(number)", "s", "k", 1, Double(number + 1)), on: a) }
        #expect(net.take(b).isEmpty)
        net.relay.linkWritabilityChanged(b, isWritable: true)
        net.drain()
        #expect(net.take(b).map(\.id) == ["p0", "p1", "p2", "p3", "p4"])
    }

    @Test func ratesAreLimited() {
        var configuration = GunRelayConfiguration()
        configuration.messagesPerSecond = 10
        configuration.messageBurst = 5
        var net = RelayHarness(configuration, links: [a])
        _ = net.take(a)
        for number in 0..<5 { net.send(putFrame("p\(number)", "s", "k", 1, Double(number)), on: a) }
        #expect(net.paused.isEmpty)
        // What comes faster is read later, and none of it is lost.
        net.send(putFrame("p5", "s", "k", 1, 5), on: a)
        #expect(net.paused == [a: .milliseconds(100)] && net.take(a).count == 6 && net.relay.counters.pauses == 1)
        net.paused = [:]
        net.advance(.seconds(1))
        net.send(putFrame("q", "s", "k", 1, 100), on: a)
        #expect(net.take(a).contains { $0.answered == "q" } && net.paused.isEmpty)
    }

    @Test func brokenFramesAreAnsweredAndThenEnough() {
        var configuration = GunRelayConfiguration()
        configuration.brokenFrames = 3
        var net = RelayHarness(configuration, links: [a])
        _ = net.take(a)
        for _ in 0..<3 { net.send("{\"get\":", on: a) }
        net.send("hello", on: a)
        let complaints = net.take(a)
        #expect(complaints.count == 3 && complaints.allSatisfy { $0.dam == "!" && $0.err != nil } && net.closed.isEmpty)
        net.send("[{\"get\":", on: a)
        #expect(net.closed == [a: .brokenFrames])
    }

    @Test func subscriptionsAreBounded() {
        var configuration = GunRelayConfiguration()
        configuration.subscriptionsPerLink = 2
        var net = RelayHarness(configuration, links: [a, b])
        for soul in ["s1", "s2", "s3"] { net.send(getFrame("g\(soul)", Soul(stringLiteral: soul)), on: a) }
        #expect(net.take(a).count == 4, "greeting and three answers")
        for soul in ["s1", "s2", "s3"] { net.send(putFrame("p\(soul)", Soul(stringLiteral: soul), "k", 1, 1), on: b) }
        #expect(net.take(a).map(\.id) == ["ps1", "ps2"] && net.relay.subscribedSoulCount == 2)
        net.close(a)
        #expect(net.relay.subscribedSoulCount == 0)
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

    /// Every recorded hostile input: the relay lives, stays silent or complains, and serves the next put.
    @Test func hostileInputs() throws {
        let cases = try #require(try Vectors.load("hostile")["cases"]?.array)
        #expect(cases.count == 117)
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("watch", "witness"), on: b)
        for (number, item) in cases.enumerated() {
            let name = item["name"]?.string ?? ""
            for frame in item["frames"]?.array?.compactMap(\.string) ?? [] { net.send(frame, on: a) }
            _ = (net.take(a), net.take(b))
            net.send(putFrame("w\(number)", "witness", "k", .number(FiniteNumber(number)), Double(number + 1)), on: a)
            #expect(
                net.take(a).contains { $0.answered == MessageID(JSONText("w\(number)")) && $0.ok != nil }, "\(name)")
            #expect(net.take(b).contains { $0.id == MessageID(JSONText("w\(number)")) }, "\(name)")
        }
        #expect(net.closed.isEmpty)
        #expect(net.disk["constructor"]?["a"] != nil && net.disk["__proto__"]?["polluted"] != nil, "plain names")
        #expect(net.disk["inj"] == nil && net.disk["#"] != nil)
    }

    @Test func deepAndLargeInputs() {
        var net = RelayHarness(links: [a])
        let frames = [
            "{\"#\":\"dp1\",\"put\":" + String(repeating: "{\"a\":", count: 100_000),
            String(repeating: "[", count: 100_000), "{\"x\":" + String(repeating: "[", count: 100_000),
            "{\"#\":\"v\",\"put\":{\"s\":{\"_\":{\"#\":\"s\",\">\":{\"v\":1}},\"v\":\""
                + String(repeating: "v", count: 1 << 20) + "\"}}}",
        ]
        for frame in frames { net.send(frame, on: a) }
        net.send("[" + String(repeating: " ", count: 5 << 20) + "]", on: a)
        let keys = (0..<20_000).map { "\"k\($0)\":1" }.joined(separator: ",")
        net.send("{\"#\":\"many\",\"put\":{\"s\":{\"_\":{\"#\":\"s\",\">\":{\(keys)}},\(keys)}}}", on: a)
        let answers = net.take(a)
        #expect(answers.count { $0.dam == "!" } == 4 && answers.count { $0.err != nil && $0.answered != nil } == 2)
        #expect(net.disk.isEmpty && net.relay.linkCount == 1)
    }

    @Test func recordedClientsAreServed() throws {
        let scenarios = try Vectors.scenarios()
        for name in [
            "put", "get_hit", "get_miss", "on_live", "on_live_node", "set", "nested", "delete", "reconnect",
            "get_hit_disk", "lex_api", "browser_localstorage", "user",
        ] {
            let frames = try #require(scenarios[name])
            var net = RelayHarness()
            net.wall = 1_795_500_000_000
            var links: [String: LinkID] = [:]
            var expected: [LinkID: Set<MessageID>] = [:]
            for frame in frames where frame.isToRelay {
                let link = links[frame.connection] ?? LinkID(UInt64(links.count + 1))
                if links[frame.connection] == nil {
                    links[frame.connection] = link
                    net.open(link)
                }
                for message in messages(frame.bytes) where message.dam == nil && message.answered == nil {
                    if let id = message.id { expected[link, default: []].insert(id) }
                }
                net.send(frame.bytes, on: link)
            }
            for (link, ids) in expected {
                let answered = Set(net.take(link).compactMap(\.answered))
                #expect(answered.isSuperset(of: ids), "\(name) \(link)")
            }
        }
    }

    @Test func randomScriptsKeepTheBooks() throws {
        let seed: UInt64 = 99
        var random = SeededGenerator(seed: seed)
        let samples = try Vectors.scenarios().sorted { $0.key < $1.key }.flatMap(\.value).map(\.bytes)
        var configuration = GunRelayConfiguration()
        configuration.memoryBytes = 50_000
        configuration.brokenFrames = 5
        var net = RelayHarness(configuration)
        net.wall = 1_795_346_700_000
        for step in 0..<4_000 {
            let link = LinkID(UInt64.random(in: 1...5, using: &random))
            switch Int.random(in: 0..<12, using: &random) {
            case 0: net.open(link, peer: Bool.random(using: &random) ? Int(link.number) : nil)
            case 1: if step % 3 == 0 { net.close(link) }
            case 2: net.advance(.milliseconds(Int.random(in: 0...4_000, using: &random)))
            case 3: net.diskIsSlow = true
            case 4: net.wakeDisk()
            case 5: net.relay.linkWritabilityChanged(link, isWritable: Bool.random(using: &random))
            default:
                var bytes = samples[Int.random(in: 0..<samples.count, using: &random)]
                if Bool.random(using: &random), !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 32...126, using: &random)
                }
                net.send(bytes, on: link)
            }
        }
        net.wakeDisk()
        net.advance(.seconds(24 * 3600 + 60))
        #expect(net.relay.jobs.isEmpty && net.relay.storage.waitingCount == 0, "seed \(seed)")
        #expect(net.relay.storage.unstoredBytes == 0 && net.relay.deferredBytes == 0, "seed \(seed)")
        for link in 1...5 { net.close(LinkID(UInt64(link))) }
        net.advance(.seconds(20))
        #expect(net.relay.subscribedSoulCount == 0 && net.relay.nextTimeout == nil, "seed \(seed)")
    }
}
