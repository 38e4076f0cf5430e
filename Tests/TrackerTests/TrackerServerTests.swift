import JSON
import Magnet
import SwarmBase
import Testing
import Tracker

/// Drives one server by hand.
struct ServerBench {
    var server: TrackerServer
    var now = Instant.zero
    var closed: [TrackerLinkID: TrackerCloseReason] = [:]

    init(_ configuration: TrackerServerConfiguration = .init(), seed: UInt64 = 1) {
        server = TrackerServer(configuration: configuration, entropy: .seed(seed))
    }

    static func hash(_ number: Int) -> JSONValue {
        .text(JSONText(latin1: [UInt8](repeating: 0xf0, count: 16) + bigEndian(number)))
    }
    static func peer(_ number: Int) -> JSONValue {
        .text(JSONText(latin1: [UInt8](repeating: 0x2d, count: 16) + bigEndian(number)))
    }
    private static func bigEndian(_ number: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
    }

    static func announce(_ peer: Int, hash: Int = 0, offers: [String] = [], event: String? = nil, left: JSONValue? = 1)
        -> JSONValue
    {
        var message: JSONObject = ["action": "announce", "info_hash": Self.hash(hash), "peer_id": Self.peer(peer)]
        message["numwant"] = .integer(offers.count)
        if let left { message["left"] = left }
        if let event { message["event"] = .string(event) }
        message["offers"] = .array(
            offers.map { ["offer_id": .string($0), "offer": ["type": "offer", "sdp": .string("sdp " + $0)]] })
        return .object(message)
    }

    static func answer(_ peer: Int, to other: Int, offer: String, hash: Int = 0) -> JSONValue {
        [
            "action": "announce", "info_hash": Self.hash(hash), "peer_id": Self.peer(peer),
            "to_peer_id": Self.peer(other),
            "offer_id": .string(offer), "answer": ["type": "answer", "sdp": "answer"],
        ]
    }

    @discardableResult
    mutating func open(_ link: UInt64, from address: String? = nil) -> Bool {
        server.linkOpened(TrackerLinkID(link), from: address.flatMap { IPAddress($0) }, now: now)
    }

    /// Sends one message and returns all that came out: link and message.
    @discardableResult
    mutating func send(_ message: JSONValue, on link: UInt64) throws -> [(UInt64, JSONValue)] {
        try send(message.serialized(), on: link)
    }

    @discardableResult
    mutating func send(_ frame: [UInt8], on link: UInt64) throws -> [(UInt64, JSONValue)] {
        server.receive(frame, on: TrackerLinkID(link), now: now)
        return try drain()
    }

    mutating func drain() throws -> [(UInt64, JSONValue)] {
        var out: [(UInt64, JSONValue)] = []
        while let (link, frame) = server.pollTransmit() { out.append((link.rawValue, try JSONValue(parsing: frame))) }
        while let event = server.pollEvent() {
            if case .close(let link, let reason) = event { closed[link] = reason }
        }
        return out
    }

    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let next = server.nextTimeout, next <= end {
            now = max(now, next)
            server.handleTimeout(now: now)
        }
        now = end
    }
}

@Suite struct TrackerServerTests {
    @Test func onlyTheReceiverMayAnswerAndOnlyOnce() throws {
        var bench = ServerBench()
        for link in 1...3 as ClosedRange<UInt64> {
            bench.open(link)
            try bench.send(ServerBench.announce(Int(link)), on: link)
        }
        let out = try bench.send(ServerBench.announce(1, offers: ["o"]), on: 1)
        #expect(out.count == 2)
        let receiver = try #require(out.last?.0)
        let other: UInt64 = receiver == 2 ? 3 : 2
        #expect(out.last?.1["offer"] == ["type": "offer", "sdp": "sdp o"])
        #expect(try bench.send(ServerBench.answer(Int(other), to: 1, offer: "o"), on: other).isEmpty)
        // In the receiver's name, but from another socket.
        #expect(try bench.send(ServerBench.answer(Int(receiver), to: 1, offer: "o"), on: other).isEmpty)
        #expect(try bench.send(ServerBench.answer(Int(receiver), to: 1, offer: "p"), on: receiver).isEmpty)
        #expect(bench.server.counters.answersRefused == 3)
        let answer = try bench.send(ServerBench.answer(Int(receiver), to: 1, offer: "o"), on: receiver)
        #expect(answer.map(\.0) == [1])
        #expect(answer.first?.1["peer_id"] == ServerBench.peer(Int(receiver)))
        #expect(answer.first?.1["to_peer_id"] == nil)
        #expect(try bench.send(ServerBench.answer(Int(receiver), to: 1, offer: "o"), on: receiver).isEmpty)
    }

    @Test(arguments: [(120, true), (121, false)]) func answersHaveTheirTime(_ seconds: Int, _ isDelivered: Bool) throws
    {
        var bench = ServerBench()
        bench.open(1)
        bench.open(2)
        try bench.send(ServerBench.announce(2), on: 2)
        try bench.send(ServerBench.announce(1, offers: ["o"]), on: 1)
        bench.advance(.seconds(seconds))
        #expect(try bench.send(ServerBench.answer(2, to: 1, offer: "o"), on: 2).isEmpty == !isDelivered)
    }

    @Test func anAnswerIsNotForWhoeverTookTheOfferersPlace() throws {
        var bench = ServerBench()
        for link in 1...3 as ClosedRange<UInt64> { bench.open(link) }
        try bench.send(ServerBench.announce(2), on: 2)
        try bench.send(ServerBench.announce(1, offers: ["o"]), on: 1)
        bench.server.linkClosed(TrackerLinkID(1), now: bench.now)
        try bench.send(ServerBench.announce(1), on: 3)
        #expect(try bench.send(ServerBench.answer(2, to: 1, offer: "o"), on: 2).isEmpty)
    }

    @Test func nobodySpeaksForAPeerOfAnotherSocket() throws {
        var bench = ServerBench()
        bench.open(1)
        bench.open(2)
        try bench.send(ServerBench.announce(1), on: 1)
        for event in [nil, "started", "stopped", "completed"] as [String?] {
            let out = try bench.send(ServerBench.announce(1, offers: ["x"], event: event, left: 0), on: 2)
            #expect(out.count == 1)
            #expect(out.first?.1["failure reason"] != nil)
            #expect(out.first?.1["info_hash"] == ServerBench.hash(0))
        }
        #expect(bench.server.counters.takeoversRefused == 4)
        let reply = try bench.send(ServerBench.announce(1), on: 1)
        #expect(reply.first?.1["complete"] == 0 && reply.first?.1["incomplete"] == 1)
        #expect(bench.server.peerCount == 1)
    }

    @Test func aSocketIsOnePeerInASwarm() throws {
        var bench = ServerBench()
        bench.open(1)
        try bench.send(ServerBench.announce(1), on: 1)
        let out = try bench.send(ServerBench.announce(2, offers: ["o"]), on: 1)
        #expect(out.count == 1)
        #expect(out.first?.1["incomplete"] == 1)
        #expect(bench.server.peerCount == 1)
    }

    @Test func offersReachDistinctPeersEquallyOften() throws {
        var counts: [UInt64: Int] = [:]
        var bench = ServerBench()
        for link in 1...10 as ClosedRange<UInt64> {
            bench.open(link)
            try bench.send(ServerBench.announce(Int(link)), on: link)
        }
        for round in 0..<100 {
            bench.advance(.seconds(60))
            for link in 2...10 as ClosedRange<UInt64> { try bench.send(ServerBench.announce(Int(link)), on: link) }
            let out = try bench.send(ServerBench.announce(1, offers: ["a\(round)", "b", "c"]), on: 1).dropFirst()
            #expect(Set(out.map(\.0)).count == 3)
            for (link, _) in out { counts[link, default: 0] += 1 }
        }
        #expect(counts[1] == nil)
        // 300 offers to 9 peers: 33 each; six standard deviations are about 30.
        #expect(counts.count == 9 && counts.values.allSatisfy { $0 > 8 && $0 < 64 })
    }

    @Test func busyReadersGetNoOffersAndSlowOnesAreClosed() throws {
        var configuration = TrackerServerConfiguration()
        configuration.busyBacklog = 100
        configuration.maximumBacklog = 200
        var bench = ServerBench(configuration)
        bench.open(1)
        bench.open(2)
        try bench.send(ServerBench.announce(2), on: 2)
        for (backlog, offers) in [(100, 1), (101, 0), (200, 0), (0, 1)] {
            bench.server.noteBacklog(backlog, of: TrackerLinkID(2), now: bench.now)
            #expect(try bench.send(ServerBench.announce(1, offers: ["o\(backlog)"]), on: 1).count == 1 + offers)
        }
        bench.server.noteBacklog(201, of: TrackerLinkID(2), now: bench.now)
        _ = try bench.drain()
        #expect(bench.closed == [TrackerLinkID(2): .slowReader])
        #expect(bench.server.peerCount == 1)
    }

    @Test func peersExpireAndSwarmsGoWithThem() throws {
        var bench = ServerBench()
        bench.open(1)
        bench.open(2)
        #expect(bench.server.nextTimeout == nil)
        try bench.send(ServerBench.announce(1), on: 1)
        bench.advance(.seconds(200))
        try bench.send(ServerBench.announce(2, hash: 1), on: 2)
        bench.advance(.seconds(99))
        #expect(bench.server.peerCount == 2)
        bench.advance(.seconds(32))
        #expect(bench.server.peerCount == 1 && bench.server.swarmCount == 1)
        // The socket is still there and may come again.
        #expect(try bench.send(ServerBench.announce(1), on: 1).first?.1["incomplete"] == 1)
        bench.advance(.seconds(1000))
        #expect(bench.server.peerCount == 0 && bench.server.swarmCount == 0 && bench.server.nextTimeout == nil)
        #expect(bench.server.counters.peersExpired == 3)
    }

    @Test func roomIsLimited() throws {
        var configuration = TrackerServerConfiguration()
        configuration.maximumLinks = 6
        configuration.linksPerAddress = 2
        configuration.swarmsPerLink = 2
        configuration.peersPerSwarm = 2
        configuration.maximumPeers = 4
        var bench = ServerBench(configuration)
        #expect(bench.open(1, from: "192.0.2.1") == true)
        #expect(bench.open(2, from: "192.0.2.1") == true)
        #expect(bench.open(3, from: "192.0.2.1") == false)
        #expect(bench.open(3, from: "2001:db8::1") == true)
        #expect(bench.open(4, from: "2001:db8::2") == true)
        #expect(bench.open(5, from: "2001:db8::3") == false)
        #expect(bench.open(5, from: "2001:db8:0:1::3") == true)
        #expect(bench.open(5, from: "2001:db8:0:2::3") == false)
        #expect(bench.open(6) == true)
        #expect(bench.open(7) == false)
        bench.server.linkClosed(TrackerLinkID(2), now: bench.now)
        #expect(bench.open(2, from: "192.0.2.1") == true)

        func isRefused(_ out: [(UInt64, JSONValue)]) -> Bool { out.first?.1["failure reason"] != nil }
        #expect(try !isRefused(bench.send(ServerBench.announce(1, hash: 0), on: 1)))
        #expect(try !isRefused(bench.send(ServerBench.announce(1, hash: 1), on: 1)))
        #expect(try isRefused(bench.send(ServerBench.announce(1, hash: 2), on: 1)))
        #expect(try !isRefused(bench.send(ServerBench.announce(1, hash: 1), on: 1)))
        #expect(try !isRefused(bench.send(ServerBench.announce(2, hash: 0), on: 2)))
        #expect(try isRefused(bench.send(ServerBench.announce(3, hash: 0), on: 3)))
        #expect(try !isRefused(bench.send(ServerBench.announce(3, hash: 3), on: 3)))
        #expect(try isRefused(bench.send(ServerBench.announce(4, hash: 3), on: 4)))
        #expect(try !isRefused(bench.send(ServerBench.announce(1, hash: 1, event: "stopped"), on: 1)))
        #expect(try !isRefused(bench.send(ServerBench.announce(4, hash: 3), on: 4)))
        #expect(bench.server.peerCount == 4)
        #expect(bench.server.counters.peersRefused == 3)
    }

    @Test func messagesAreLimited() throws {
        var configuration = TrackerServerConfiguration()
        configuration.messageBurst = 3
        configuration.messagesPerSecond = 1
        configuration.droppedMessages = 5
        var bench = ServerBench(configuration)
        bench.open(1)
        for _ in 0..<3 { #expect(try bench.send(ServerBench.announce(1), on: 1).count == 1) }
        #expect(try bench.send(ServerBench.announce(1), on: 1).isEmpty)
        bench.now += .seconds(1)
        #expect(try bench.send(ServerBench.announce(1), on: 1).count == 1)
        for _ in 0..<5 { try bench.send(ServerBench.announce(1), on: 1) }
        #expect(bench.closed.isEmpty)
        try bench.send(ServerBench.announce(1), on: 1)
        #expect(bench.closed == [TrackerLinkID(1): .flooding])
        #expect(bench.server.linkCount == 0 && bench.server.peerCount == 0)
    }

    @Test func largeMessagesCloseTheSocket() throws {
        var bench = ServerBench()
        bench.open(1)
        let frame = ServerBench.announce(1).serialized()
        let padding = [UInt8](repeating: 0x20, count: 65536 - frame.count)
        #expect(try bench.send(frame + padding, on: 1).count == 1)
        #expect(try bench.send(frame + padding + [0x20], on: 1).isEmpty)
        #expect(bench.closed == [TrackerLinkID(1): .messageTooLarge])
    }

    @Test func scrapesNameTheirSwarms() throws {
        var configuration = TrackerServerConfiguration()
        configuration.scrapeHashes = 2
        var bench = ServerBench(configuration)
        bench.open(1)
        bench.open(2)
        try bench.send(ServerBench.announce(1), on: 1)
        try bench.send(ServerBench.announce(2), on: 2)
        try bench.send(ServerBench.announce(2, event: "completed"), on: 2)
        let all: JSONValue = ["action": "scrape", "info_hash": [ServerBench.hash(0), 5, ServerBench.hash(1)]]
        let files = try bench.send(all, on: 1).first?.1["files"]
        #expect(files?.object?.count == 1)
        #expect(files?.object?.members.first?.value == ["complete": 1, "incomplete": 1, "downloaded": 1])
        for wrong in [
            ["action": "scrape"], ["action": "scrape", "info_hash": []], ["action": "scrape", "info_hash": 5],
        ] as [JSONValue] {
            #expect(try bench.send(wrong, on: 1).first?.1["failure reason"] != nil)
        }
    }

    @Test func manyMalformedMessagesCloseTheSocket() throws {
        var bench = ServerBench()
        bench.open(1)
        for _ in 0..<50 { #expect(try bench.send(Array("{".utf8), on: 1).count == 1) }
        #expect(bench.closed.isEmpty)
        try bench.send(Array("{".utf8), on: 1)
        #expect(bench.closed == [TrackerLinkID(1): .protocolViolation])
    }

    @Test func oddOffersAreLeftOut() throws {
        var bench = ServerBench()
        bench.open(1)
        bench.open(2)
        try bench.send(ServerBench.announce(2), on: 2)
        let odd: [JSONValue] = [
            nil, 0, [], [:], ["offer_id": "a"], ["offer_id": 5, "offer": ["sdp": "x"]],
            ["offer_id": "", "offer": ["sdp": "x"]],
            ["offer_id": "a", "offer": "x"], ["offer_id": "a", "offer": ["sdp": 5]],
            ["offer_id": .string(String(repeating: "a", count: 129)), "offer": ["sdp": "x"]],
        ]
        var message = try #require(ServerBench.announce(1).object)
        message["offers"] = .array(odd)
        #expect(try bench.send(.object(message), on: 1).count == 1)
        message["offers"] = .array(odd + [["offer_id": "a", "offer": ["sdp": "ciphertext", "x": [1]]]])
        let out = try bench.send(.object(message), on: 1)
        #expect(out.count == 2)
        #expect(out.last?.1["offer"] == ["sdp": "ciphertext", "x": [1]])
    }

    /// Whatever comes in, in whatever order: no trap, and all that is kept stays within its bounds.
    @Test(arguments: 0..<4 as Range<UInt64>) func hostileFrames(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var configuration = TrackerServerConfiguration()
        configuration.messageBurst = 1_000_000
        configuration.malformedMessages = 1_000_000
        configuration.swarmsPerLink = 3
        configuration.peersPerSwarm = 4
        var bench = ServerBench(configuration, seed: seed)
        let junk: [JSONValue] = [
            nil, true, 0, -1, 1e300, 5, "", "x", [], [[]], [:], ["a": 1], .text(JSONText(latin1: 0...255)),
            ServerBench.hash(0), ServerBench.peer(1), [ServerBench.hash(0)], ["type": "offer", "sdp": "s"],
        ]
        let names: [JSONText] = [
            "action", "info_hash", "peer_id", "to_peer_id", "offer_id", "offers", "offer", "answer", "left", "event",
            "numwant",
        ]
        var forwarded: [(UInt64, JSONValue)] = []
        for _ in 0..<2000 {
            var link = UInt64.random(in: 1...8, using: &generator)
            switch Int.random(in: 0..<40, using: &generator) {
            case 0: bench.server.linkClosed(TrackerLinkID(link), now: bench.now)
            case 1: bench.advance(.seconds(Int.random(in: 0...200, using: &generator)))
            default: bench.open(link)
            }
            let isItself = Int.random(in: 0..<5, using: &generator) > 0
            let peer = isItself ? Int(link) : Int.random(in: 0...5, using: &generator)
            let hash = isItself ? 0 : Int.random(in: 0...4, using: &generator)
            var message: JSONObject
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                if let (receiver, offer) = forwarded.popLast(), let offerer = offer["peer_id"] {
                    link = receiver
                    message = try #require(ServerBench.answer(Int(receiver), to: 0, offer: "o").object)
                    message["to_peer_id"] = offerer
                    message["offer_id"] = offer["offer_id"]
                    break
                }
                message = try #require(
                    ServerBench.answer(peer, to: Int.random(in: 1...8, using: &generator), offer: "o", hash: hash)
                        .object)
            case 1: message = ["action": "scrape", "info_hash": ServerBench.hash(hash)]
            default: message = try #require(ServerBench.announce(peer, hash: hash, offers: ["o", "p"]).object)
            }
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                message[names.randomElement(using: &generator) ?? "action"] = junk.randomElement(using: &generator)
            }
            var frame = JSONValue.object(message).serialized()
            if Int.random(in: 0..<5, using: &generator) == 0, !frame.isEmpty {
                frame[Int.random(in: 0..<frame.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            let out = try bench.send(frame, on: link)
            forwarded += out.filter { $0.1["offer"] != nil }
            forwarded.removeFirst(max(0, forwarded.count - 20))
            #expect(out.count <= 3, "seed \(seed)")
            #expect(bench.server.peerCount <= 5 * 4 + 8 * 3, "seed \(seed)")
            #expect(bench.server.swarmCount <= bench.server.peerCount, "seed \(seed)")
        }
        #expect(bench.server.counters.offersForwarded > 100 && bench.server.counters.answersForwarded > 10)
        for link in 1...8 as ClosedRange<UInt64> { bench.server.linkClosed(TrackerLinkID(link), now: bench.now) }
        #expect(
            bench.server.peerCount == 0 && bench.server.swarmCount == 0 && bench.server.linkCount == 0, "seed \(seed)")
    }
}
