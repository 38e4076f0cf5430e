import JSON
import SwarmBase
import Testing

@testable import Gun

/// What recorded clients asked of a relay, asked of ours: where we keep to rules of our own, the rule stands beside it.
@Suite struct RelayVectorTests {
    private struct Case {
        var name: String
        var frames: [(time: Double, connection: String, direction: String, text: String)]
        var read: JSONValue?
    }

    private func cases(_ group: JSONText) throws -> [Case] {
        let cases = try #require(try Vectors.load("relay")[group]?.array)
        return cases.map { item in
            Case(
                name: item["name"]?.string ?? "",
                frames: (item["frames"]?.array ?? []).compactMap { frame in
                    guard let parts = frame.array, parts.count == 4, let time = parts[0].number,
                        let connection = parts[1].string, let direction = parts[2].string, let text = parts[3].string
                    else { return nil }
                    return (time, connection, direction, text)
                }, read: item["read"])
        }
    }

    // MARK: Lex

    /// What the rules of ours give where they differ from the recording: the plain meaning of every condition (§7.1).
    private let plain: [String: [String]] = [
        "exact lex": ["lx.a1"],
        "prefix, no limit": ["lx.a1", "lx.a2", "lx.a2x", "lx.ab"],
        "prefix, huge limit": ["lx.a1", "lx.a2", "lx.a2x", "lx.ab"],
        "prefix that is itself a key": ["lx2.a", "lx2.a1", "lx2.a2"],
        "prefix and range": ["lx.a1", "lx.a2"],
        "prefix and range, rest of key": [],
        "soul prefix and range": ["chat/1.t", "chat/2.t", "chat/3.t"],
        "soul range": ["chat/2.t", "chat/3.t"],
        "soul prefix no limit": ["chat/1.t", "chat/2.t", "chat/3.t"],
    ]

    @Test(arguments: [true, false]) func lexQueries(hasStorage: Bool) throws {
        var configuration = GunRelayConfiguration()
        configuration.hasStorage = hasStorage
        let all = try cases("lex")
        #expect(all.count == 26)
        var net = RelayHarness(configuration, links: [1])
        net.wall = 1_795_500_000_000
        for frame in all[0].frames where frame.direction == ">" { net.send(frame.text, on: 1) }
        for isWarm in [false, true] {
            for (number, item) in all.dropFirst().enumerated() {
                // Another connection for each, with nothing in memory the first time.
                if !isWarm, hasStorage {
                    let disk = net.disk
                    net = RelayHarness(configuration)
                    net.wall = 1_795_500_000_000
                    net.disk = disk
                }
                let link = LinkID(UInt64(100 + number + (isWarm ? 1000 : 0)))
                net.open(link)
                _ = net.take(link)
                for frame in item.frames where frame.direction == ">" {
                    net.send(isWarm ? frame.text.replacing("{\"#\":\"g", with: "{\"#\":\"h") : frame.text, on: link)
                }
                let answers = net.take(link).filter { $0.answered != nil }
                let got = answers.flatMap(\.records).map { "\($0.soul).\($0.key)" }
                let recorded = item.read?.object?.members.map(\.key.string) ?? []
                let expected = plain[item.name] ?? recorded
                #expect(Set(got) == Set(expected) && got.count == expected.count, "\(item.name), warm: \(isWarm)")
                #expect(!answers.isEmpty, "\(item.name): there is always an answer")
            }
        }
    }

    @Test func lexAnswersComeInSlicesAndKeepTheirLimits() {
        var configuration = GunRelayConfiguration()
        configuration.sliceRecords = 7
        var net = RelayHarness(configuration, links: [1])
        let keys = (0..<100).map { Key(stringLiteral: "k\($0 + 100)") }
        for key in keys { net.disk["s", default: [:]][key] = GunEntry("123456789", state: 1) }
        _ = net.take(1)
        func ask(_ id: String, _ query: String) -> (keys: [String], parts: [GunMessage]) {
            net.send("{\"#\":\"\(id)\",\"get\":\(query)}", on: 1)
            let parts = net.take(1).filter { $0.answered == MessageID(stringLiteral: id) }
            return (parts.flatMap(\.records).map(\.key.description), parts)
        }
        let some = ask("a", ##"{"#":"s",".":{">":"k120","<":"k150"}}"##)
        #expect(some.keys == (120...150).map { "k\($0)" } && some.parts.count == 5)
        for (part, next) in zip(some.parts, some.parts.dropFirst()) { #expect(part.nextPart == next.id) }
        #expect(some.parts.last?.hasMore == false)
        #expect(ask("b", ##"{"#":"s",".":{"*":"k"},"%":90}"##).keys == (100..<110).map { "k\($0)" })
        #expect(ask("c", ##"{"#":"s",".":{"*":"k","-":1},"%":90}"##).keys.sorted() == (190..<200).map { "k\($0)" })
        #expect(ask("d", ##"{"#":"s",".":{"*":"k15","<":"k154"}}"##).keys == (150...154).map { "k\($0)" })
        #expect(ask("e", ##"{"#":{"*":"s"},"%":18}"##).keys == ["k100", "k101"])
        // A node too long for one slice is answered slice by slice and not held.
        #expect(ask("f", ##"{"#":"s"}"##).keys.count == 100 && net.relay.memoryBytes < 5_000)
        // What is not stored yet is in the answer too.
        net.diskIsSlow = true
        net.send(putFrame("p", "s", "k125", "new", 2), on: 1)
        net.send(##"{"#":"g","get":{"#":"s",".":{">":"k124","<":"k126"}}}"##, on: 1)
        for event in net.waiting { if case .load = event { net.perform(event) } }
        net.waiting.removeAll { if case .load = $0 { true } else { false } }
        net.drain()
        let stillOpen = net.waiting
        net.waiting = stillOpen
        net.wakeDisk()
        let fresh = net.take(1).filter { $0.answered == "g" }.flatMap(\.records)
        #expect(fresh.map(\.value) == ["123456789", "new", "123456789"])
    }

    @Test func aLongAnswerWaitsForItsReader() {
        var configuration = GunRelayConfiguration()
        configuration.sliceRecords = 10
        configuration.answerBytes = 2_000
        configuration.streamsPerLink = 2
        var net = RelayHarness(configuration, links: [1, 2])
        for number in 0..<400 {
            net.disk["s", default: [:]][Key(stringLiteral: "k\(number)")] = GunEntry("some value or other", state: 1)
        }
        _ = net.take(1)
        net.relay.linkWritabilityChanged(1, isWritable: false)
        for number in 0..<4 { net.send(getFrame("g\(number)", "s"), on: 1) }
        #expect(net.relay.queuedBytes < 20_000 && net.relay.counters.busyRefusals == 2)
        net.relay.linkWritabilityChanged(1, isWritable: true)
        net.drain()
        let answers = net.take(1)
        for id in ["g0", "g1"] as [MessageID] {
            #expect(Set(answers.filter { $0.answered == id }.flatMap(\.records).map(\.key)).count == 400)
        }
        #expect(net.relay.storage.waitingCount == 0)
    }

    // MARK: Ids and acknowledgements

    /// How many acknowledgements each put of a case gets, where it is not one. Ours: one for each put that is taken or
    /// changes nothing, `err` for each that is malformed; ids are texts.
    private let acknowledgements: [String: Int] = [
        "same id twice": 1, "no id": 0, "numeric id": 0, "bad graph": 8,
    ]

    @Test func idsAndAcknowledgements() throws {
        for item in try cases("dedup") where item.name != "bad json" {
            var net = RelayHarness()
            net.wall = 1_795_348_000_000
            var links: [String: LinkID] = [:]
            var puts: [MessageID] = []
            var previous = 0.0
            for frame in item.frames {
                net.advance(.milliseconds(max(0, frame.time - previous)))
                previous = max(previous, frame.time)
                guard frame.direction == ">" else { continue }
                let link = links[frame.connection] ?? LinkID(UInt64(links.count + 1))
                if links[frame.connection] == nil {
                    links[frame.connection] = link
                    net.open(link)
                }
                for message in messages(Array(frame.text.utf8)) where message.put != nil && message.answered == nil {
                    if let id = message.id, !puts.contains(id) { puts.append(id) }
                    if let state = message.records.map(\.state).max() { net.wall = max(net.wall, state - 600) }
                }
                net.send(frame.text, on: link)
            }
            net.advance(.seconds(2))
            let answers = links.values.flatMap { net.take($0) }
            for id in puts {
                #expect(answers.count { $0.answered == id } == 1, "\(item.name): one answer for \(id)")
            }
            let faults = answers.count { $0.err != nil && $0.dam == nil }
            #expect(faults == (item.name == "bad graph" ? puts.count : 0), "\(item.name)")
            if let expected = acknowledgements[item.name] { #expect(puts.count == expected, "\(item.name)") }
            #expect(net.closed.isEmpty, "\(item.name)")
        }
    }

    // MARK: Who gets what

    /// The values that each connection is told of, where there are subscriptions. Ours: not the writer, every change, each
    /// at once.
    private let told: [String: [String: [String]]] = [
        "subscription": ["A": ["1", "2"], "B": ["1"], "C": [], "D": [], "E": []],
        "lex subscription": ["A": ["1", "1"], "E": []],
        "echo to writer": ["A": []],
        "coalescing": ["A": (0..<20).map(String.init), "E": []],
        "many keys": ["A": (0..<20).map(String.init), "E": []],
        "a route that was empty for a while": ["A": [], "B": ["3", "4"], "E": []],
        "get is passed on": ["B": [], "C": []],
        "hit is passed on": ["A": [], "E": []],
        "forget suffix": ["A": [], "B": ["1"]],
    ]

    @Test func whoGetsWhat() throws {
        let all = try cases("routing")
        #expect(Set(told.keys).isSubset(of: all.map(\.name)))
        for item in all {
            var net = RelayHarness()
            // All is in the past but what is written at the end.
            let written = item.frames.filter { $0.direction == ">" }.flatMap { messages(Array($0.text.utf8)) }
            net.wall = written.flatMap(\.records).map(\.state).max() ?? net.wall
            var links: [String: LinkID] = [:]
            for name in Set(item.frames.map(\.connection)).union(["A", "B", "C", "E"]).sorted() {
                links[name] = LinkID(UInt64(links.count + 1))
                net.open(links[name] ?? 0)
            }
            for link in links.values { _ = net.take(link) }
            for frame in item.frames {
                guard let link = links[frame.connection] else { continue }
                if frame.direction == "x" { net.close(link) }
                guard frame.direction == ">" else { continue }
                net.send(frame.text, on: link)
            }
            for (name, expected) in told[item.name] ?? [:] {
                let pushed = net.take(links[name] ?? 0).filter { $0.answered == nil }.flatMap(\.records)
                #expect(pushed.map { $0.value.json.serialized().string } == expected, "\(item.name): \(name)")
            }
            if item.name == "unknown top-level" {
                let heard = net.take(links["B"] ?? 0)
                #expect(heard.map(\.id) == ["m92h98lrw"] && heard[0].application?["hello"]?.string == "world")
            }
        }
    }

    // MARK: Answers, applications, souls that forget

    @Test func oneAnswerOfEachContentPasses() {
        var net = RelayHarness(links: [1, 2, 3])
        for link in [2, 3] as [LinkID] { net.send(getFrame("s\(link)", "s"), on: link) }
        for link in [1, 2, 3] as [LinkID] { _ = net.take(link) }
        net.send(getFrame("g", "s", "k"), on: 1)
        _ = net.take(1)
        for link in [2, 3] as [LinkID] {
            let id = "answer\(link.number)"
            net.send(
                ###"{"#":"\###(id)","@":"g","##":77,"put":{"s":{"_":{"#":"s",">":{"k":5}},"k":"v"}}}"###, on: link)
        }
        #expect(net.take(1).map(\.id) == ["answer2"] && net.relay.counters.repeatedAnswers == 1)
    }

    @Test func applicationsTalkWithinBounds() {
        var configuration = GunRelayConfiguration()
        configuration.applicationMessagesPerSecond = 3
        configuration.applicationMessageBytes = 100
        var net = RelayHarness(configuration, links: [1, 2, 3])
        net.send(##"{"dam":"?","pid":"three","#":"q","@":"x"}"##, on: 3)
        for link in [1, 2, 3] as [LinkID] { _ = net.take(link) }
        net.send(##"{"#":"m1","hello":"world","_":5,"><":"three"}"##, on: 1)
        let heard = net.take(2)
        #expect(heard.map(\.id) == ["m1"] && heard[0].application?["_"] == nil && net.take(3).isEmpty)
        net.send("{\"#\":\"m2\",\"long\":\"\(String(repeating: "x", count: 100))\"}", on: 1)
        net.send(##"{"#":"m3","nts":1}"##, on: 1)
        for number in 4..<10 { net.send("{\"#\":\"m\(number)\",\"a\":1}", on: 1) }
        #expect(net.take(2).map(\.id) == ["m4"], "three a second, the long one and the one on time counted")
    }

    @Test func soulsThatForgetDoSo() {
        var net = RelayHarness(links: [1, 2])
        net.send(getFrame("g", "chat<?10"), on: 2)
        _ = (net.take(1), net.take(2))
        net.send(putFrame("p1", "chat<?10", "old", 1, net.wall - 10_001), on: 1)
        net.send(putFrame("p2", "chat<?10", "new", 2, net.wall - 9_999), on: 1)
        #expect(net.take(2).flatMap(\.records).map(\.key) == ["new"])
        #expect(net.take(1).map(\.answered) == ["p1", "p2"] && net.disk["chat<?10"]?.count == 1)
        net.send(putFrame("p3", "chat<?10", "newer", 3, net.wall), on: 1)
        net.advance(.seconds(5))
        #expect(net.relay.memoryBytes > 0 && net.relay.counters.expiredNodes == 0)
        net.advance(.seconds(7))
        #expect(net.relay.memoryBytes == 0 && net.relay.counters.expiredNodes == 1)
        // The disk forgets in its own time; what it still has is not given out.
        net.send(getFrame("g2", "chat<?10"), on: 1)
        #expect(net.take(1).last?.put == nil)
        #expect(Soul("a<?0").lifetime == nil && Soul("a<?x").lifetime == nil && Soul("<?7b").lifetime == 7)
    }

    // MARK: What links from one address share

    @Test func addressesHaveTheirShares() {
        var configuration = GunRelayConfiguration()
        configuration.perAddress.subscriptions = 3
        configuration.perAddress.writtenByteBurst = 1_000
        configuration.perAddress.writtenBytesPerSecond = 1
        configuration.perAddress.messageBurst = 20
        configuration.perAddress.messagesPerSecond = 10
        var net = RelayHarness(configuration)
        let home = IPAddress("2001:db8::1"), neighbour = IPAddress("2001:db8::2"), away = IPAddress("192.0.2.1")
        for (link, address) in [(1, home), (2, neighbour), (3, away), (4, IPAddress("127.0.0.1"))] {
            net.open(LinkID(UInt64(link)), from: address)
            _ = net.take(LinkID(UInt64(link)))
        }
        for number in 0..<4 {
            net.send(getFrame("g\(number)", Soul(stringLiteral: "s\(number)")), on: number % 2 == 0 ? 1 : 2)
        }
        #expect(net.relay.subscribedSoulCount == 3, "an IPv6 network is one address")
        let large = GunValue.string(String(repeating: "x", count: 600))
        net.send(putFrame("p1", "s", "k", large, 1), on: 1)
        net.send(putFrame("p2", "s", "k", large, 2), on: 2)
        net.send(putFrame("p3", "s", "k", large, 3), on: 3)
        #expect(net.take(1).contains { $0.answered == "p1" && $0.err == nil })
        #expect(net.take(2).contains { $0.answered == "p2" && $0.err != nil } && net.relay.counters.quotaRefusals == 1)
        #expect(net.take(3).contains { $0.answered == "p3" && $0.err == nil })
        // To go and come again does not fill the bucket.
        net.close(2)
        net.open(5, from: neighbour)
        net.send(putFrame("p5", "s", "k", large, 5), on: 5)
        #expect(net.take(5).contains { $0.answered == "p5" && $0.err != nil })
        #expect(net.paused.isEmpty)
        for number in 0..<20 { net.send("[]", on: number % 2 == 0 ? 1 : 5) }
        #expect(net.paused.keys.sorted() == [1, 5])
        for number in 0..<100 { net.send(putFrame("l\(number)", "t", "k", large, Double(number)), on: 4) }
        #expect(net.paused[4] == nil && net.relay.counters.quotaRefusals == 2, "the host itself is free")
    }

    @Test func readersThatAreSlowTogetherDoNotFillMemory() {
        var configuration = GunRelayConfiguration()
        configuration.queuedBytes = 50_000
        var net = RelayHarness(configuration, links: [1])
        for link in 2...21 {
            net.open(LinkID(UInt64(link)))
            net.send(getFrame("g\(link)", "s"), on: LinkID(UInt64(link)))
            _ = net.take(LinkID(UInt64(link)))
            if link > 2 { net.relay.linkWritabilityChanged(LinkID(UInt64(link)), isWritable: false) }
        }
        let text = GunValue.string(String(repeating: "x", count: 1_000))
        for number in 0..<50 {
            net.send(putFrame("p\(number)", "s", "k", text, Double(number)), on: 1)
            #expect(net.relay.queuedBytes <= 50_000)
        }
        #expect(net.take(2).count { !$0.records.isEmpty } == 50)
        #expect(net.closed.values.allSatisfy { $0 == .slowReader } && !net.closed.isEmpty && net.closed[2] == nil)
    }

    @Test func messagesThatWaitLeaveTogether() {
        var configuration = GunRelayConfiguration()
        configuration.packedBytes = 1_000
        var net = RelayHarness(configuration, links: [1, 2])
        net.send(getFrame("g", "s"), on: 2)
        _ = net.take(2)
        let before = net.frames[2] ?? 0
        net.relay.linkWritabilityChanged(2, isWritable: false)
        for number in 0..<40 { net.send(putFrame("p\(number)", "s", "k", 1, Double(number)), on: 1) }
        net.relay.linkWritabilityChanged(2, isWritable: true)
        net.drain()
        #expect(net.take(2).map(\.id) == (0..<40).map { MessageID(stringLiteral: "p\($0)") })
        #expect((net.frames[2] ?? 0) - before < 5 && net.relay.queuedBytes == 0)
    }
}
