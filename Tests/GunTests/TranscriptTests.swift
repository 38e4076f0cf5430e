import JSON
import SwarmBase
import Testing

@testable import Gun

/// Whole recordings, frame by frame: what the clients of them sent is sent to ours, and what ours gives is compared. Where
/// ours follows a rule of its own, the rule stands beside it.
@Suite struct TranscriptTests {
    private typealias Frame = Vectors.Frame

    private func frames(_ scenario: String) throws -> [Frame] { try #require(try Vectors.scenarios()[scenario]) }

    /// Plays the clients of a recording; each frame's answers are there before the next is sent.
    private struct Play {
        var net: RelayHarness
        var links: [String: LinkID] = [:]
        /// What each client was sent after its greeting, in order.
        var heard: [String: [GunMessage]] = [:]

        init(_ frames: [Frame], _ configuration: GunRelayConfiguration = .init()) {
            net = RelayHarness(configuration)
            net.wall =
                frames.filter(\.isToRelay).flatMap { messages($0.bytes) }.flatMap(\.records).map(\.state).max() ?? 0
            for name in Set(frames.map(\.connection)).sorted() {
                links[name] = LinkID(UInt64(links.count + 1))
                net.open(links[name] ?? 0)
                _ = net.take(links[name] ?? 0)
            }
        }

        mutating func send(_ frame: Frame) {
            net.send(frame.bytes, on: links[frame.connection] ?? 0)
            for (name, link) in links {
                heard[name, default: []] += net.take(link).filter { $0.dam == nil }
            }
        }

        mutating func send(_ frames: [Frame]) { for frame in frames where frame.isToRelay { send(frame) } }
    }

    private func isQuestion(_ message: GunMessage) -> Bool { message.dam == nil && message.answered == nil }

    // MARK: A peer has what the relay has not

    @Test func anAnswerOfAnotherPeerFindsTheAsker() throws {
        let frames = try frames("get_peer_has")
        var play = Play(frames)
        play.send(frames)
        // First "not found", then what the other gave, under its id and with its hash, as recorded.
        let recorded = frames.filter { !$0.isToRelay && $0.connection == "A" }.flatMap { messages($0.bytes) }
            .filter { $0.dam == nil }
        let heard = try #require(play.heard["A"])
        #expect(recorded.count == 2 && heard.count == 2)
        #expect(heard[0].answered == recorded[0].answered && heard[0].put == nil)
        #expect(heard[1] == recorded[1])
        #expect(play.net.disk["held"]?["k"]?.value == "from B", "it is kept for the next who asks")
        // Ours asks those who follow the soul or are relays that we chose; B had never spoken of it, so it was not asked.
        #expect(play.heard["B"]?.isEmpty == true)
    }

    @Test func aPeerInTheRouteIsAskedAsRecorded() throws {
        let frames = try frames("get_peer_has")
        var play = Play(frames)
        let b = try #require(play.links["B"])
        play.net.send(getFrame("bFollows", "held"), on: b)
        _ = play.net.take(b)
        play.send(frames)
        let recorded = try #require(
            frames.filter { !$0.isToRelay && $0.connection == "B" }.flatMap { messages($0.bytes) }.first {
                $0.get != nil
            })
        let asked = try #require(play.heard["B"]?.first)
        #expect(asked.id == recorded.id && asked.get == recorded.get && asked.hops == 0)
        #expect(play.heard["A"]?.last?.records.first?.value == "from B")
    }

    // MARK: A relay that floods, and ours

    @Test func whatAFloodingRelayTellsASubscriberOursDoesToo() throws {
        let frames = try frames("flood_no_axe")
        var play = Play(frames)
        play.send(frames)
        func recorded(_ name: String) -> [GunMessage] {
            frames.filter { !$0.isToRelay && $0.connection == name }.flatMap { messages($0.bytes) }.filter {
                $0.dam == nil
            }
        }
        // A: "not found", then both values under the ids of their puts.
        let (ours, theirs) = (try #require(play.heard["A"]), recorded("A"))
        #expect(theirs.count == 3 && ours.count == 3)
        #expect(ours[0].answered == theirs[0].answered && ours[0].put == nil)
        for (our, their) in zip(ours.dropFirst(), theirs.dropFirst()) {
            #expect(our.id == their.id && our.records == their.records)
        }
        // One hop less of acknowledgements is wished for; the share stays as it was heard.
        #expect(ours[2].ok?["@"] == theirs[2].ok?["@"] && ours[2].ok?["/"] == 1)
        // B: both are acknowledged. What it never asked for it is not told, and neither is C.
        let puts = recorded("B").compactMap { $0.ok == nil ? nil : $0.answered }
        #expect(
            puts.count == 2 && play.heard["B"]?.map(\.answered) == puts
                && play.heard["B"]?.allSatisfy { $0.err == nil } == true)
        #expect(play.heard["C"]?.isEmpty == true && !recorded("C").isEmpty)
    }

    /// Flooded, or not: the cases one by one. Ours tells those who asked, of what wins, once its time has come.
    @Test(arguments: [
        ("flood put", ["1"]), ("stale put is flooded too", ["\"new\""]), ("invalid put is not flooded", []),
        ("future put is flooded at once", []), ("ack is routed back", ["1"]), ("get is flooded", ["\"fromB\""]),
    ]) func floodedCases(name: String, told: [String]) throws {
        let frames = try frames("routing_flood: " + name)
        var play = Play(frames + [Frame(time: 0, connection: "A", isToRelay: false, text: "")])
        let isAboutFuture = name.hasPrefix("future")
        if isAboutFuture { play.net.wall -= 3_600_000 }
        let writes = frames.filter(\.isToRelay).flatMap { messages($0.bytes) }
        let soul = writes.flatMap(\.records).first?.soul ?? "f3"
        let a = try #require(play.links["A"])
        if !name.hasPrefix("get") { play.net.send(getFrame("follow", soul), on: a) }
        _ = play.net.take(a)
        play.send(frames)
        #expect(play.heard["A"]?.flatMap(\.records).map { $0.value.json.serialized().string } == told)
        if isAboutFuture {
            play.net.advance(.seconds(3_601))
            #expect(play.net.take(a).flatMap(\.records).count == 1)
        }
        if name.hasPrefix("ack") {
            #expect(play.heard["E"]?.contains { $0.ok?["from"] == "A" } == true)
        }
    }

    // MARK: Two relays

    /// What came through in the recording when the relays were linked comes through here in all three settings: a relay
    /// of ours dials those that it is given, and keeps the link.
    @Test(arguments: ["linked by nothing", "linked by a message", "flooding"])
    func twoRelays(setting: String) throws {
        let frames = try frames("two_relays: " + setting).filter(\.isToRelay)
        var net = Federation(2, seed: 1)
        net.connect(1, 0)
        net.client(0, at: 0)
        net.client(1, at: 1)
        net.wall = frames.flatMap { messages($0.bytes) }.flatMap(\.records).map(\.state).max() ?? net.wall
        var answered: [MessageID: Int] = [:]
        var told: [Int: [GunValue]] = [:]
        var asked: Set<MessageID> = []
        for frame in frames {
            guard let client = ["A@R1": 0, "B@R2": 1][frame.connection] else { continue }
            for message in messages(frame.bytes) where isQuestion(message) && message.application == nil {
                if let id = message.id { asked.insert(id) }
            }
            net.send(frame.bytes, from: client)
            for client in 0...1 {
                for message in net.take(client) {
                    if let id = message.answered { answered[id, default: 0] += 1 }
                    told[client, default: []] += message.records.map(\.value)
                }
            }
        }
        #expect(asked.count == 6 && asked.allSatisfy { answered[$0, default: 0] >= 1 })
        // x1: A at R1 hears B at R2; x2: B hears A; x3: a miss at R2 is answered through R1. Each once.
        #expect(told[0] == ["fromB"] && told[1] == ["fromA", "v3"])
        #expect(net.disks[0] == net.disks[1].merging(net.disks[0]) { $1 })
    }

    // MARK: A relay without storage

    @Test func withoutStorageThereIsAnAnswerAllTheSame() throws {
        var configuration = GunRelayConfiguration()
        configuration.hasStorage = false
        let all = try ["put", "get hit", "get miss", "lex"].map { try frames("relay_no_store: " + $0) }
        var play = Play(all.flatMap(\.self), configuration)
        play.send(all.flatMap(\.self))
        let heard = try #require(play.heard["A"])
        let sent = all.flatMap(\.self).filter(\.isToRelay).flatMap { messages($0.bytes) }
        #expect(heard.map(\.answered) == sent.map(\.id), "one each, where the recorded one was silent but for the hit")
        let recorded = try #require(all[1].filter { !$0.isToRelay }.flatMap { messages($0.bytes) }.first)
        #expect(heard[0].ok != nil && heard[1].put == recorded.put && heard[1].hash == recorded.hash)
        #expect(heard[2].put == nil && heard[3].records.map(\.key) == ["k"])
    }

    // MARK: Lex through the API, and a browser's storage

    @Test func lexQueriesOfTheAPI() throws {
        let frames = try frames("lex_api")
        var play = Play(frames)
        play.send(frames)
        // The plain meaning: all that match, where the recorded relay gives the first when no limit is named.
        func keys(_ name: String, _ id: MessageID) -> Set<Key> {
            Set(play.heard[name]?.filter { $0.answered == id }.flatMap(\.records).map(\.key) ?? [])
        }
        #expect(keys("B", "S6VWUzg5d") == ["a1", "a2"])
        #expect(keys("C", "fJEppJfz9") == ["a2", "b1", "b2"])
        #expect(keys("D", "UyQQWtCH6") == ["b1", "b2"] && keys("D", "f9Ehqvj63") == ["b1", "b2"])
    }

    @Test func aBrowserThatStoresIsServedAndItsAcknowledgementsFindTheWriter() throws {
        let frames = try frames("browser_localstorage")
        var play = Play(frames)
        // A's acknowledgements name the id under which it heard the write; ours passes it on under the writer's own.
        var writes: [MessageID: MessageID] = [:]
        for message in frames.filter({ !$0.isToRelay && $0.connection == "A" }).flatMap({ messages($0.bytes) }) {
            guard let heard = message.records.first, let id = message.id else { continue }
            let written = frames.filter { $0.isToRelay && $0.connection == "B" }.flatMap { messages($0.bytes) }
            writes[id] = written.first { $0.records.first == heard }?.id
        }
        var acknowledged = 0
        for frame in frames where frame.isToRelay {
            var text = frame.text
            for (recorded, ours) in writes { text = text.replacing("\"@\":\"\(recorded)\"", with: "\"@\":\"\(ours)\"") }
            play.send(Frame(time: frame.time, connection: frame.connection, isToRelay: true, text: text))
            if frame.connection == "A", text.contains("\"ok\":{\"\":1}") { acknowledged += 1 }
        }
        let writerHeard = try #require(play.heard["B"])
        #expect(acknowledged > 0 && writerHeard.count { $0.ok?.object?[""] == 1 } == acknowledged)
        #expect(play.heard["A"]?.contains { $0.answered == "8E84omgr7" && $0.ok != nil } == true)
        #expect(play.net.disk["ls"]?["k"]?.value == "v")
    }
}
