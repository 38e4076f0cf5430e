import JSON
import SwarmBase
import Testing

@testable import Gun

/// A client whose links are played by hand.
struct ClientHarness {
    var client: GunClient
    var now = Instant.zero
    var wall = 1_795_400_000_000.0
    var events: [GunClientEvent] = []
    var sent: [LinkID: [GunMessage]] = [:]
    var frames = 0

    init(_ configuration: GunClientConfiguration = GunClientConfiguration(), links: [LinkID] = []) {
        client = GunClient(configuration: configuration, entropy: .seed(5))
        for link in links { open(link) }
    }

    mutating func drain() {
        while let (link, frame) = client.pollTransmit() {
            sent[link, default: []] += messages(frame)
            frames += 1
        }
        while let event = client.pollEvent() { events.append(event) }
    }

    mutating func open(_ link: LinkID) {
        client.linkOpened(link, now: now)
        drain()
    }

    mutating func close(_ link: LinkID) {
        client.linkClosed(link, now: now)
        drain()
    }

    mutating func receive(_ text: String, on link: LinkID) { receive(Array(text.utf8), on: link) }

    mutating func receive(_ frame: [UInt8], on link: LinkID) {
        client.receive(frame: frame, on: link, now: now, wall: wall)
        drain()
    }

    mutating func put(_ soul: Soul, _ key: Key, _ value: GunValue, _ state: Double, durable: Bool = true) -> PutID {
        let id = client.put(soul, [(key, value)], state: state, durable: durable, now: now)
        drain()
        return id
    }

    mutating func subscribe(_ soul: Soul, key: Key? = nil) {
        client.subscribe(soul, key: key, now: now)
        drain()
    }

    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let due = client.nextTimeout, due <= end {
            wall += (due - now).milliseconds
            now = due
            client.handleTimeout(now: now, wall: wall)
            drain()
        }
        wall += (end - now).milliseconds
        now = end
    }

    mutating func take(_ link: LinkID) -> [GunMessage] { sent.removeValue(forKey: link) ?? [] }

    mutating func takeEvents() -> [GunClientEvent] {
        defer { events = [] }
        return events
    }
}

@Suite struct ClientTests {
    private let a: LinkID = 1
    private let b: LinkID = 2

    private func answer(_ id: MessageID?, _ rest: String) -> String {
        ##"{"#":"r\##(id?.description ?? "")","@":"\##(id?.description ?? "")"\##(rest)}"##
    }

    /// The frames a real relay sent to the connection, to a client that asked for the same.
    private func replay(_ scenario: String, to connection: String, subscribing soul: Soul, key: Key? = nil) throws
        -> ClientHarness
    {
        var net = ClientHarness(links: [a])
        net.wall = 1_795_346_790_000
        net.subscribe(soul, key: key)
        for frame in try #require(try Vectors.scenarios()[scenario])
        where frame.connection == connection && !frame.isToRelay { net.receive(frame.bytes, on: a) }
        return net
    }

    private func values(_ events: [GunClientEvent]) -> [GunValue] {
        events.compactMap { if case .changed(_, _, let value, _) = $0 { value } else { nil } }
    }

    @Test func hearsWhatARealRelayPushes() throws {
        var net = try replay("on_live", to: "A", subscribing: "live", key: "v")
        #expect(values(net.takeEvents()) == [1, 2, 3, 105, "after off"])
        #expect(net.take(a).map(\.dam).contains("?"), "the greeting is answered")
        net = try replay("on_live_node", to: "A", subscribing: "room")
        #expect(values(net.takeEvents()) == [1, 2, 3])
        net = try replay("set", to: "B", subscribing: "list")
        #expect(values(net.takeEvents()).count == 3)
        net = try replay("delete", to: "B", subscribing: "del")
        #expect(values(net.takeEvents()) == [.null, .null])
    }

    @Test func aChunkedAnswerThatIsRepeatedGivesEachChangeOnce() throws {
        var net = try replay("get_hit", to: "B", subscribing: "big")
        let values = values(net.takeEvents())
        #expect(values.count == 25 && Set(values).count == 25)
        #expect(net.client.node("big")?.entries.count == 25)
    }

    @Test func anEchoOfOurOwnWriteIsNoChange() throws {
        var net = ClientHarness(links: [a])
        net.wall = 1_795_346_790_000
        net.subscribe("room")
        _ = net.put("room", "c", 3, 1_795_346_753_237)
        for frame in try #require(try Vectors.scenarios()["on_live_node"])
        where frame.connection == "A" && !frame.isToRelay { net.receive(frame.bytes, on: a) }
        #expect(values(net.takeEvents()) == [1, 2])
    }

    @Test func oneChangeOverTwoLinksIsOneEvent() {
        var net = ClientHarness(links: [a, b])
        net.subscribe("s")
        for link in [a, b, a] { net.receive(putFrame("x\(link)", "s", "k", "v", 5), on: link) }
        net.receive(putFrame("y", "s", "k", "older", 4), on: b)
        net.receive(putFrame("z", "s", "k", "newer", 6), on: b)
        net.receive(putFrame("w", "elsewhere", "k", "v", 6), on: b)
        #expect(net.takeEvents() == [.changed("s", "k", "v", state: 5), .changed("s", "k", "newer", state: 6)])
        #expect(net.client.node("elsewhere") == nil && net.client.counters.unwantedRecords == 1)
        net.client.unsubscribe("s", now: net.now)
        net.receive(putFrame("q", "s", "k", "last", 7), on: b)
        #expect(net.takeEvents().isEmpty)
    }

    @Test func shakesHandsAndIgnoresHeartbeats() {
        var net = ClientHarness(links: [a])
        net.receive(##"{"#":"KkKe7qVCD","dam":"?","pid":"OQ6lDHMu8"}"##, on: a)
        let reply = net.take(a)
        #expect(reply.count == 1 && reply[0].dam == "?" && reply[0].answered == "KkKe7qVCD" && reply[0].pid != nil)
        net.receive("[]", on: a)
        net.receive(##"{"#":"q","dam":"mob","peers":{"http://x/gun":{}}}"##, on: a)
        net.receive(##"{"#":"q2","dam":"?","@":"x","pid":"p"}"##, on: a)
        net.receive("{broken", on: a)
        #expect(net.take(a).isEmpty && net.takeEvents().isEmpty)
    }

    @Test func acknowledgementsAreTranslated() throws {
        var net = ClientHarness(links: [a, b])
        let id = net.put("s", "k", "v", 1)
        let message = try #require(net.take(a).first)
        #expect(net.take(b) == [message] && message.records.count == 1)
        net.receive(answer(message.id, #","ok":true"#), on: a)
        net.receive(answer(message.id, #","ok":{"":1}"#), on: a)
        net.receive(answer(message.id, #","err":"Unverified data.""#), on: b)
        #expect(net.takeEvents() == [.acknowledged(id, a), .refused(id, b, "Unverified data.")])
        net.receive(answer("unknown", #","ok":1"#), on: a)
        let loose = net.put("s", "k2", "v", 1, durable: false)
        let second = try #require(net.take(a).first)
        net.receive(answer(second.id, #","ok":1"#), on: a)
        net.receive(answer(second.id, #","ok":1"#), on: a)
        #expect(net.takeEvents() == [.acknowledged(loose, a)])
        #expect(net.client.outboxCount == 1)
        net.advance(.seconds(61))
        #expect(net.client.outboxCount == 0)
    }

    @Test func whatIsUnacknowledgedIsSentAgainAfterAReconnect() throws {
        var net = ClientHarness()
        net.subscribe("s")
        net.subscribe("t", key: "x")
        let offline = net.put("s", "offline", 1, 1)
        net.open(a)
        var sent = net.take(a)
        #expect(sent.compactMap(\.get) == [.node("s"), .key("t", "x")])
        #expect(sent.flatMap(\.records).map(\.key) == ["offline"] && net.frames == 1, "one batch")
        net.receive(answer(sent.last?.id, #","ok":1"#), on: a)
        #expect(net.takeEvents() == [.acknowledged(offline, a)])
        _ = net.put("s", "cut", 2, 2)
        let loose = net.put("s", "loose", 3, 3, durable: false)
        _ = net.take(a)
        net.close(a)
        net.advance(.seconds(2))
        net.open(a)
        sent = net.take(a)
        #expect(sent.compactMap(\.get).count == 2 && sent.flatMap(\.records).map(\.key) == ["cut"])
        // Another relay gets what the first has acknowledged too, for it may lack it.
        net.open(b)
        #expect(Set(net.take(b).flatMap(\.records).map(\.key)) == ["offline", "cut"])
        #expect(loose > offline)
    }

    @Test func silenceIsNoFailure() throws {
        var net = ClientHarness(links: [a])
        let id = net.put("s", "k", "v", 1)
        let first = try #require(net.take(a).first)
        net.advance(.milliseconds(3_999))
        #expect(net.take(a).isEmpty)
        net.advance(.milliseconds(1))
        let again = net.take(a)
        #expect(again.count == 2 && again[0].records == first.records && again[0].id != first.id)
        #expect(again[1].get == .key("s", "k"))
        // A relay that knew it already says nothing to the put, but gives it back.
        net.receive(answer(again[1].id, ""), on: a)
        #expect(net.takeEvents().isEmpty, "not there yet")
        net.advance(.seconds(8))
        let third = net.take(a)
        net.receive(answer(third[1].id, ##","put":{"s":{"_":{"#":"s",">":{"k":1}},"k":"v"}}"##), on: a)
        #expect(net.takeEvents() == [.acknowledged(id, a)])
        net.advance(.seconds(200))
        #expect(net.take(a).isEmpty && net.client.outboxCount == 0)
    }

    @Test func repetitionsEndButThePutIsKept() {
        var net = ClientHarness(links: [a])
        _ = net.put("s", "k", "v", 1)
        net.advance(.seconds(1_000))
        #expect(net.take(a).count { $0.put != nil } == 4 && net.client.unacknowledgedCount == 1)
        #expect(net.takeEvents().isEmpty && net.client.nextTimeout == nil)
        net.close(a)
        net.open(a)
        #expect(net.take(a).count { $0.put != nil } == 1)
    }

    @Test func newerWritesTakeThePlaceOfOlderOnes() {
        var net = ClientHarness()
        let first = net.client.put("s", [("a", 1), ("b", 1)], state: 1, durable: true, now: net.now)
        let second = net.put("s", "a", 2, 2)
        #expect(net.takeEvents().isEmpty)
        let third = net.put("s", "b", 3, 3)
        #expect(net.takeEvents() == [.superseded(first)])
        // An older write of ours is lost at once, a newer one from outside takes our place.
        let late = net.put("s", "a", 9, 1)
        #expect(net.takeEvents() == [.superseded(late)])
        net.open(a)
        net.subscribe("s")
        net.receive(putFrame("x", "s", "a", "theirs", 4), on: a)
        #expect(net.takeEvents() == [.superseded(second), .changed("s", "a", "theirs", state: 4)])
        #expect(net.client.outboxCount == 1 && third > second)
    }

    @Test func theOutboxIsBounded() {
        var configuration = GunClientConfiguration()
        configuration.outboxPuts = 3
        var net = ClientHarness(configuration)
        let ids = (0..<5).map { net.put("s", Key(stringLiteral: "k\($0)"), 1, 1) }
        #expect(net.takeEvents() == [.dropped(ids[0]), .dropped(ids[1])] && net.client.outboxCount == 3)
        configuration.outboxBytes = 5_000
        net = ClientHarness(configuration)
        for number in 0..<3 {
            _ = net.put("s", Key(stringLiteral: "k\(number)"), .string(String(repeating: "x", count: 2_000)), 1)
        }
        #expect(net.client.outboxCount == 2)
    }

    @Test func futureWritesWaitForTheClock() {
        var net = ClientHarness(links: [a, b])
        net.subscribe("s")
        for link in [a, b] { net.receive(putFrame("x\(link)", "s", "k", "soon", net.wall + 500), on: link) }
        net.receive(putFrame("y", "s", "far", 1, net.wall + 24 * 3600 * 1000 + 1), on: a)
        #expect(net.takeEvents().isEmpty && net.client.counters.droppedRecords == 1)
        net.advance(.milliseconds(499))
        #expect(net.takeEvents().isEmpty)
        net.advance(.milliseconds(1))
        #expect(values(net.takeEvents()) == ["soon"] && net.client.deferredBytes == 0)
    }

    @Test func missingIsToldOnceWhenEveryLinkSaysSo() throws {
        var net = ClientHarness(links: [a, b])
        net.subscribe("s", key: "k")
        let query = try #require(net.take(a).first)
        net.receive(answer(query.id, ""), on: a)
        net.receive(answer(query.id, ""), on: a)
        #expect(net.takeEvents().isEmpty)
        net.receive(answer(query.id, #","put":null"#), on: b)
        #expect(net.takeEvents() == [.missing("s", "k")])
        // A late answer is a change like any other.
        net.receive(answer(query.id, ##","put":{"s":{"_":{"#":"s",">":{"k":5}},"k":"from b"}}"##), on: b)
        #expect(values(net.takeEvents()) == ["from b"])
    }

    @Test func anUnansweredQueryIsAskedAgain() {
        var net = ClientHarness(links: [a])
        net.subscribe("s")
        net.advance(.seconds(4))
        #expect(net.take(a).count == 2)
        net.advance(.seconds(1_000))
        #expect(net.take(a).count == 2 && net.client.nextTimeout == nil)
    }

    @Test func answersWhatARelayPassesOn() throws {
        var net = ClientHarness(links: [a])
        _ = net.put("held", "k", "from B", 1_700_000_000_000)
        _ = net.take(a)
        // As recorded: the relay asks with the id of the asker.
        net.receive(##"{"#":"TNizoNy22","><":"Z2jbSnwxx,Gio88NDe2","get":{"#":"held",".":"k"}}"##, on: a)
        let reply = try #require(net.take(a).first)
        #expect(reply.answered == "TNizoNy22" && reply.hash == 479_660_726)
        #expect(reply.records == [GunRecord(soul: "held", key: "k", value: "from B", state: 1_700_000_000_000)])
        for query in [
            ##"{"#":"TNizoNy22","get":{"#":"held",".":"k"}}"##, ##"{"#":"g2","get":{"#":"held",".":"other"}}"##,
            ##"{"#":"g3","get":{"#":"none"}}"##, ###"{"#":"g4","##":479660726,"get":{"#":"held"}}"###,
            ##"{"#":"g5","get":5}"##,
        ] { net.receive(query, on: a) }
        #expect(net.take(a).isEmpty)
        for number in 0..<200 { net.receive(##"{"#":"n\##(number)","get":{"#":"held"}}"##, on: a) }
        #expect(net.take(a).count == 48, "fifty a second, two of them used")
    }

    @Test func memoryIsBounded() {
        var configuration = GunClientConfiguration()
        configuration.memoryBytes = 50_000
        var net = ClientHarness(configuration, links: [a])
        net.subscribe("ring")
        let text = String(repeating: "x", count: 1_000)
        for number in 0..<300 {
            net.receive(
                putFrame("x\(number)", "ring", Key(stringLiteral: "k\(number)"), .string(text), Double(number)), on: a)
            _ = net.put(Soul(stringLiteral: "own\(number)"), "k", .string(text), 1, durable: false)
        }
        #expect(net.client.memory.cost <= 50_000 && net.client.counters.trimmedKeys > 200)
        #expect(values(net.takeEvents()).count == 300)
        #expect(net.client.entry("ring", "k299") != nil && net.client.entry("ring", "k0") == nil)
    }

    @Test func aBusyLifeLeavesNothingBehind() {
        var net = ClientHarness(links: [a])
        for number in 0..<3_000 {
            _ = net.put(
                "ring", Key(stringLiteral: "k\(number % 16)"), .number(FiniteNumber(number)), Double(number + 1))
            for message in net.take(a) where message.put != nil { net.receive(answer(message.id, #","ok":1"#), on: a) }
            net.advance(.milliseconds(10))
        }
        #expect(net.client.outboxCount == 16)
        net.advance(.seconds(200))
        #expect(net.client.outboxCount == 0 && net.client.outbox.cost == 0 && net.client.outbox.newest.isEmpty)
        #expect(net.client.checks.count == 0)
    }

    @Test func randomFramesNeverTrap() throws {
        let seed: UInt64 = 4242
        var random = SeededGenerator(seed: seed)
        let samples = try Vectors.scenarios().sorted { $0.key < $1.key }.flatMap(\.value).map(\.bytes)
        var net = ClientHarness()
        net.wall = 1_795_346_720_000
        for soul in ["live", "room", "node", "big", "list", "r1"] { net.subscribe(Soul(stringLiteral: soul)) }
        for _ in 0..<3_000 {
            let link = LinkID(UInt64.random(in: 1...3, using: &random))
            switch Int.random(in: 0..<10, using: &random) {
            case 0: net.open(link)
            case 1: net.close(link)
            case 2: net.advance(.milliseconds(Int.random(in: 0...9_000, using: &random)))
            case 3: _ = net.put("live", "v", .number(FiniteNumber(Int.random(in: 0...9, using: &random))), net.wall)
            default:
                var bytes = samples[Int.random(in: 0..<samples.count, using: &random)]
                if Bool.random(using: &random), !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 32...126, using: &random)
                }
                net.receive(bytes, on: link)
            }
        }
        #expect(net.client.counters.acceptedRecords > 10, "seed \(seed)")
    }
}
