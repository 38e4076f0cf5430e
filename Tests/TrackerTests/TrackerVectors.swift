import Foundation
import JSON
import Magnet
import SwarmBase
import Testing
import Tracker

/// Recorded frames: see the file's `about`.
enum Recorded {
    struct Step {
        var link: String
        var direction: String
        var frame: [UInt8]
    }

    /// Parsed once: several tests want it.
    private static let all = Result {
        let url = try #require(Bundle.module.url(forResource: "Resources/tracker", withExtension: "json"))
        return try JSONValue(parsing: Array(Data(contentsOf: url)), limits: .init(bytes: 1 << 22, elements: 1_000_000))
    }

    static func load() throws -> JSONValue { try all.get() }

    static func steps(_ value: JSONValue?) -> [Step] {
        (value?.array ?? []).compactMap { step in
            guard let link = step["link"]?.string, let direction = step["d"]?.string else { return nil }
            return Step(link: link, direction: direction, frame: step["text"]?.text?.utf8 ?? [])
        }
    }

    static func object(_ frame: [UInt8]) throws -> JSONValue { try JSONValue(parsing: frame) }
}

/// Feeds recorded client frames to our server and compares what it says with what the recorded one said.
struct Replay {
    var server: TrackerServer
    var links: [String: TrackerLinkID] = [:]
    var nextLink: UInt64 = 0
    var received: [TrackerLinkID: [JSONValue]] = [:]
    var closed: Set<TrackerLinkID> = []
    var now = Instant.zero

    init(seed: UInt64) { server = TrackerServer(entropy: .seed(seed)) }

    mutating func drain() throws {
        while let (link, frame) = server.pollTransmit() {
            received[link, default: []].append(try Recorded.object(frame))
        }
        while let event = server.pollEvent() {
            if case .close(let link, _) = event { closed.insert(link) }
        }
    }

    mutating func link(_ name: String) -> TrackerLinkID {
        if let link = links[name] { return link }
        nextLink += 1
        let link = TrackerLinkID(nextLink)
        links[name] = link
        _ = server.linkOpened(link, from: nil, now: now)
        return link
    }

    /// What differs, first.
    mutating func run(_ steps: [Recorded.Step], adapt: (JSONValue) throws -> JSONValue = { $0 }) throws -> String? {
        for step in steps {
            now += .milliseconds(20)
            let link = link(step.link)
            switch step.direction {
            case "out":
                server.receive(step.frame, on: link, now: now)
                try drain()
            case "in":
                let expected = try adapt(try Recorded.object(step.frame))
                guard var first = received[link]?.first else { return "nothing instead of \(expected)" }
                if first["failure reason"] != nil { first = ["failure reason": "any"] }
                received[link]?.removeFirst()
                if first != expected { return "\(first) instead of \(expected)" }
            default:
                server.linkClosed(link, now: now)
                links[step.link] = nil
            }
        }
        for (_, rest) in received where !rest.isEmpty { return "more: \(rest[0])" }
        return nil
    }

    /// Receivers are drawn at random: the recorded draw must be possible.
    static func someSeedGives(
        _ steps: [Recorded.Step], seeds: Range<UInt64> = 0..<300, adapt: (JSONValue) -> JSONValue = { $0 }
    ) throws -> String? {
        var difference: String?
        for seed in seeds {
            var replay = Replay(seed: seed)
            difference = try replay.run(steps, adapt: adapt)
            if difference == nil { return nil }
        }
        return difference
    }
}

@Suite struct TrackerServerVectorTests {
    /// Where ours does something else than the reference server, and what that is.
    static let differing = [
        "event 'START'": "an unknown event is a regular announce",
        "left None": "who does not know what is left is no seed",
        "offers [0]": "what is no offer is not forwarded",
        "scrape without info_hash": "swarms are not listed",
    ]

    /// The reference's words for a failure and its minimum interval for scrapes are its own.
    static func adapt(_ message: JSONValue) -> JSONValue {
        guard var object = message.object else { return message }
        if object["failure reason"] != nil { return ["failure reason": "any"] }
        if object["flags"] != nil { object["flags"] = ["min_request_interval": 120] }
        return .object(object)
    }

    @Test func referenceTranscripts() throws {
        let cases = try #require(try Recorded.load()["reference"]?.array)
        #expect(cases.count > 45)
        for value in cases {
            let name = try #require(value["case"]?.string)
            let seeds: Range<UInt64> = Self.differing[name] == nil ? 0..<300 : 0..<1
            let difference = try Replay.someSeedGives(Recorded.steps(value["steps"]), seeds: seeds, adapt: Self.adapt)
            let comment = Comment(rawValue: "\(name): \(difference ?? "the same")")
            #expect((difference == nil) == (Self.differing[name] == nil), comment)
        }
    }

    @Test func webTorrentPagesMeet() throws {
        // A page without metadata says that null bytes are left; the reference counts it as a seed, ours does not.
        var replies = 0
        var replay = Replay(seed: 1)
        let difference = try replay.run(Recorded.steps(try Recorded.load()["webtorrent"])) { message in
            guard var object = message.object, object["complete"] != nil else { return message }
            replies += 1
            if replies == 3 {
                #expect(object["complete"] == 2)
                object["complete"] = 1
                object["incomplete"] = 1
            }
            return .object(object)
        }
        #expect(difference == nil)
        #expect(replay.server.counters.offersForwarded == 1)
        #expect(replay.server.counters.answersForwarded == 1)
        #expect(replay.server.counters.messagesMalformed == 0)
    }

    @Test func libtorrentSessionsMeet() throws {
        let steps = Recorded.steps(try Recorded.load()["libtorrent"])
        #expect(steps.count > 10)
        let difference = try Replay.someSeedGives(steps)
        #expect(difference == nil)
    }
}

@Suite struct TrackerClientVectorTests {
    /// Runs a client against what the reference server said to a recorded one.
    private func run(_ name: JSONText, link: String) throws -> [TrackerClientEvent] {
        let steps = Recorded.steps(try Recorded.load()[name]).filter { $0.link == link }
        var configuration = TrackerClientConfiguration()
        // libtorrent has 10 offers in each announce.
        configuration.openOffersPerSwarm = 50
        var client = TrackerClient(configuration: configuration, entropy: .seed(3))
        var socket: TrackerSocket?
        var events: [TrackerClientEvent] = []
        var now = Instant.zero
        for step in steps {
            now += .milliseconds(50)
            let frame: JSONValue? = step.frame.isEmpty ? .none : try Recorded.object(step.frame)
            if step.direction == "out", let frame,
                let hash = frame["info_hash"]?.text?.latin1Bytes.flatMap({ InfoHash(bytes: $0) })
            {
                client.join(hash, now: now)
                while let event = client.pollEvent() {
                    if case .connect(let opened) = event {
                        socket = opened
                        client.socketOpened(opened, now: now)
                    }
                }
                let offers = (frame["offers"]?.array ?? []).compactMap { offer in
                    offer["offer_id"]?.text?.latin1Bytes.flatMap { TrackerOfferID(bytes: $0) }
                        .map { TrackerOffer(id: $0, sdp: offer["offer"]?["sdp"]?.string ?? "") }
                }
                if !offers.isEmpty {
                    // Ours keeps more distance between two announces than the recorded client.
                    now += .seconds(10)
                    client.announceSoon(hash, now: now)
                    client.handleTimeout(now: now)
                    client.supply(offers, for: hash, now: now)
                }
            } else if step.direction == "in", let socket {
                client.receive(step.frame, on: socket, now: now)
            }
            while client.pollTransmit() != nil {}
            while let event = client.pollEvent() { events.append(event) }
        }
        #expect(client.counters.ignored == 0)
        return events
    }

    @Test func aSeedGetsTheOffer() throws {
        let events = try run("webtorrent", link: "A")
        let offers = events.compactMap { if case .offer(let signal) = $0 { signal } else { nil } }
        #expect(offers.count == 1)
        #expect(offers.first?.sdp.hasPrefix("v=0\r\n") == true)
        #expect(offers.first?.offerID.bytes?.count == 20)
        #expect(events.contains { if case .announced(_, complete: 1, incomplete: 0) = $0 { true } else { false } })
    }

    @Test func aJoinerGetsTheAnswer() throws {
        for (name, link) in [("webtorrent", "B"), ("libtorrent", "2")] as [(JSONText, String)] {
            let answers = try run(name, link: link).compactMap {
                if case .answer(let signal) = $0 { signal } else { nil }
            }
            #expect(!answers.isEmpty)
            #expect(answers.first?.sdp.contains("a=setup:active") == true)
        }
    }
}
