import JSON
import Magnet
import SwarmBase
import Testing
import Tracker

/// Drives one client by hand: opens what it dials and collects what it says.
struct ClientBench {
    var client: TrackerClient
    var now = Instant.zero
    var socket: TrackerSocket?
    var frames: [JSONValue] = []
    var events: [TrackerClientEvent] = []
    /// How many offers are supplied at once; `nil` leaves the client waiting.
    var supply: Int? = 5
    var opens = true
    var entropy = Entropy.seed(99)
    static let hash = InfoHash(bytes: [UInt8](repeating: 0xf5, count: 20))!

    init(_ configuration: TrackerClientConfiguration = .init(), seed: UInt64 = 1) {
        client = TrackerClient(configuration: configuration, entropy: .seed(seed))
    }

    mutating func pump() throws {
        while true {
            while let frame = client.pollTransmit() { frames.append(try JSONValue(parsing: frame)) }
            guard let event = client.pollEvent() else { return }
            events.append(event)
            switch event {
            case .connect(let opened):
                socket = opened
                if opens { client.socketOpened(opened, now: now) }
            case .wantOffers(let count, let infoHash):
                guard let supply else { break }
                client.supply(offers(min(count, supply)), for: infoHash, now: now)
            default: break
            }
        }
    }

    mutating func offers(_ count: Int) -> [TrackerOffer] {
        (0..<count).map { TrackerOffer(id: .random(using: &entropy), sdp: "v=0 \($0)") }
    }

    mutating func join(wantedOffers: Int? = nil) throws {
        client.join(Self.hash, wantedOffers: wantedOffers, now: now)
        try pump()
    }

    mutating func advance(_ duration: Duration) throws {
        let end = now + duration
        while let next = client.nextTimeout, next <= end {
            now = max(now, next)
            client.handleTimeout(now: now)
            try pump()
        }
        now = end
    }

    mutating func receive(_ message: JSONValue) throws {
        if let socket { client.receive(message.serialized(), on: socket, now: now) }
        try pump()
    }

    mutating func reply(interval: JSONValue = 120, complete: Int = 0, incomplete: Int = 3) throws {
        try receive([
            "action": "announce", "info_hash": hashText, "interval": interval, "complete": .integer(complete),
            "incomplete": .integer(incomplete),
        ])
    }

    mutating func close() throws {
        if let socket { client.socketClosed(socket, now: now) }
        try pump()
    }

    var hashText: JSONValue { .text(JSONText(latin1: Self.hash.bytes)) }

    static func other(_ number: UInt8) -> JSONValue { .text(JSONText(latin1: [UInt8](repeating: number, count: 20))) }

    func offer(_ id: JSONText, from peer: UInt8 = 7) -> JSONValue {
        [
            "action": "announce", "info_hash": hashText, "peer_id": Self.other(peer), "offer_id": .text(id),
            "offer": ["type": "offer", "sdp": "their sdp"],
        ]
    }

    func answer(_ id: JSONValue?, from peer: UInt8 = 7) -> JSONValue {
        [
            "action": "announce", "info_hash": hashText, "peer_id": Self.other(peer), "offer_id": id ?? nil,
            "answer": ["type": "answer", "sdp": "their answer"],
        ]
    }

    func count(_ isCounted: (TrackerClientEvent) -> Bool) -> Int { events.count(where: isCounted) }
    var expired: Int { count { if case .offerExpired = $0 { true } else { false } } }
    var dials: Int { count { if case .connect = $0 { true } else { false } } }
}

@Suite struct TrackerClientTests {
    @Test func theFirstAnnounceHasAllFields() throws {
        var bench = ClientBench()
        try bench.join()
        #expect(bench.frames.count == 1)
        let frame = try #require(bench.frames.first)
        #expect(frame["action"] == "announce" && frame["event"] == "started" && frame["numwant"] == 5)
        #expect(frame["uploaded"] == 0 && frame["downloaded"] == 0 && frame["left"] == 1)
        #expect(frame["info_hash"]?.text?.latin1Bytes == ClientBench.hash.bytes)
        #expect(frame["peer_id"]?.text?.latin1Bytes == bench.client.peerID.bytes)
        let offers = try #require(frame["offers"]?.array)
        #expect(offers.count == 5 && Set(offers.compactMap { $0["offer_id"]?.text }).count == 5)
        #expect(
            offers.allSatisfy {
                $0["offer_id"]?.text?.latin1Bytes?.count == 20 && $0["offer"]?["type"] == "offer"
                    && $0["offer"]?["sdp"]?.text != nil
            })
        try bench.reply()
        try bench.advance(.seconds(20))
        #expect(bench.frames.count == 2 && bench.frames[1]["event"] == nil)
    }

    /// The times of all announces in the first ten minutes.
    private func schedule(incomplete: Int, interval: JSONValue = 120, exchange: Bool) throws -> [Double] {
        var bench = ClientBench()
        var times: [Double] = []
        try bench.join()
        while bench.now < .zero + .seconds(600) {
            if times.count < bench.frames.count {
                times.append((bench.now - .zero).milliseconds / 1000)
                try bench.reply(interval: interval, incomplete: incomplete)
                if exchange, times.count == 1 { try bench.receive(bench.offer("x")) }
            }
            bench.client.noteTraffic(on: try #require(bench.socket), now: bench.now)
            try bench.advance(.seconds(1))
        }
        return times
    }

    @Test func aloneItRepeatsOnceThenKeepsTheInterval() throws {
        let times = try schedule(incomplete: 1, exchange: false)
        #expect(times[0] == 0 && times[1] == 15)
        for (a, b) in zip(times.dropFirst(), times.dropFirst(2)) { #expect((108...121).contains(b - a)) }
    }

    @Test func amongSilentPeersItRepeatsMoreOften() throws {
        let times = try schedule(incomplete: 4, exchange: false)
        #expect(times.prefix(4) == [0, 15, 45, 105])
        #expect((108...121).contains(times[4] - times[3]))
    }

    @Test func afterAnExchangeItKeepsTheInterval() throws {
        let times = try schedule(incomplete: 4, exchange: true)
        #expect((108...121).contains(times[1]))
    }

    @Test(
        arguments: [
            (JSONValue.number(0), 13.5...16), (1, 13.5...16), (1e300, 270...301), (100, 90...101), ("x", 27...31),
        ] as [(JSONValue, ClosedRange<Double>)])
    func intervalsAreClamped(_ interval: JSONValue, _ range: ClosedRange<Double>) throws {
        let times = try schedule(incomplete: 4, interval: interval, exchange: true)
        #expect(range.contains(times[1]))
    }

    @Test func anAnnounceWaitsForItsOffersButNotForever() throws {
        var bench = ClientBench()
        bench.supply = nil
        try bench.join()
        try bench.advance(.milliseconds(2999))
        #expect(bench.frames.isEmpty)
        try bench.advance(.milliseconds(1))
        #expect(bench.frames.count == 1 && bench.frames[0]["offers"] == [])
        // What comes late goes out at once.
        bench.client.supply(bench.offers(2), for: ClientBench.hash, now: bench.now)
        try bench.pump()
        #expect(bench.frames.count == 2 && bench.frames[1]["offers"]?.array?.count == 2)
        // What was not asked for does not.
        bench.client.supply(bench.offers(2), for: ClientBench.hash, now: bench.now)
        try bench.pump()
        #expect(bench.frames.count == 2 && bench.expired == 2)
    }

    @Test func theFirstAnswerCounts() throws {
        var bench = ClientBench()
        try bench.join()
        let ids = (bench.frames.first?["offers"]?.array ?? []).map { $0["offer_id"] }
        try bench.receive(bench.answer(ids[0]))
        try bench.receive(bench.answer(ids[0], from: 8))
        try bench.receive(bench.answer("unknown"))
        #expect(bench.count { if case .answer = $0 { true } else { false } } == 1)
        try bench.advance(.seconds(59))
        try bench.receive(bench.answer(ids[1]))
        #expect(bench.client.counters.answersReceived == 2 && bench.expired == 0)
        try bench.advance(.seconds(1))
        #expect(bench.expired == 3)
        try bench.receive(bench.answer(ids[2]))
        #expect(bench.client.counters.answersReceived == 2)
    }

    @Test func offersAreAnsweredOnceAndInTime() throws {
        var bench = ClientBench()
        try bench.join()
        try bench.receive(bench.offer("one"))
        try bench.receive(bench.offer("one"))
        let signals = bench.events.compactMap { if case .offer(let signal) = $0 { signal } else { nil } }
        #expect(signals.count == 1)
        let signal = try #require(signals.first)
        let before = bench.frames.count
        #expect(
            bench.client.answer(
                "our answer", to: signal.peerID, offerID: signal.offerID, in: signal.infoHash, now: bench.now) == true)
        #expect(
            bench.client.answer(
                "our answer", to: signal.peerID, offerID: signal.offerID, in: signal.infoHash, now: bench.now) == false)
        try bench.pump()
        #expect(bench.frames.count == before + 1)
        let frame = bench.frames[before]
        #expect(frame["to_peer_id"] == ClientBench.other(7) && frame["offer_id"] == "one")
        #expect(frame["answer"] == ["type": "answer", "sdp": "our answer"] && frame["event"] == nil)
        // After the socket has gone there is nobody to answer to.
        try bench.receive(bench.offer("two"))
        try bench.close()
        let late = try #require(TrackerOfferID(bytes: Array("two".utf8)))
        #expect(
            bench.client.answer("a", to: signal.peerID, offerID: late, in: signal.infoHash, now: bench.now) == false)
    }

    @Test func messagesThatAreNotForUsAreIgnored() throws {
        var bench = ClientBench()
        try bench.join()
        let mine = JSONValue.text(JSONText(latin1: bench.client.peerID.bytes))
        var own = try #require(bench.offer("x").object)
        own["peer_id"] = mine
        var foreign = try #require(bench.offer("x").object)
        foreign["info_hash"] = ClientBench.other(1)
        var large = try #require(bench.offer("x").object)
        large["offer"] = ["type": "offer", "sdp": .string(String(repeating: "a", count: 16385))]
        for message in [
            .object(own), .object(foreign), .object(large), [], "x", ["action": "x"], ["action": "announce"],
        ] as [JSONValue] {
            try bench.receive(message)
        }
        #expect(bench.client.counters.ignored == 7)
        #expect(bench.client.counters.offersReceived == 0)
        try bench.receive(["failure reason": "no", "info_hash": bench.hashText])
        #expect(bench.events.contains(.warning("no")))
        #expect(bench.client.isConnected)
    }

    @Test func floodsOfOffersAreCut() throws {
        var bench = ClientBench()
        try bench.join()
        for number in 0..<500 { try bench.receive(bench.offer(JSONText("o\(number)"))) }
        #expect(bench.client.counters.offersReceived == 60)
        try bench.advance(.seconds(5))
        for number in 500..<600 { try bench.receive(bench.offer(JSONText("o\(number)"))) }
        #expect(bench.client.counters.offersReceived == 65)
    }

    @Test(arguments: 0..<5 as Range<UInt64>) func reconnectsWithBackoff(_ seed: UInt64) throws {
        var bench = ClientBench(seed: seed)
        bench.opens = false
        try bench.join()
        for attempt in 0..<12 {
            try bench.close()
            let delay = try #require(bench.client.nextTimeout) - bench.now
            #expect(delay < min(.seconds(5 << attempt), .seconds(300)), "seed \(seed)")
            try bench.advance(delay)
            #expect(bench.dials == attempt + 2)
        }
        // A socket that stays up resets it.
        bench.opens = true
        try bench.close()
        try bench.advance(.seconds(300))
        #expect(bench.client.isConnected)
        try bench.reply()
        try bench.advance(.seconds(59))
        try bench.reply()
        try bench.advance(.seconds(10))
        try bench.close()
        #expect(try #require(bench.client.nextTimeout) - bench.now < .seconds(5))
    }

    @Test func aNewSocketMeansANewPeerAndStartedAgain() throws {
        var bench = ClientBench()
        try bench.join()
        let first = bench.client.peerID
        let old = bench.socket
        try bench.close()
        #expect(bench.expired == 5)
        try bench.advance(.seconds(6))
        #expect(bench.client.isConnected && bench.client.peerID != first)
        #expect(bench.frames.count == 2 && bench.frames[1]["event"] == "started")
        // News of the old socket change nothing.
        if let old {
            bench.client.socketClosed(old, now: bench.now)
            bench.client.receive(bench.offer("x").serialized(), on: old, now: bench.now)
        }
        #expect(bench.client.isConnected && bench.client.counters.offersReceived == 0)
    }

    @Test func aTrackerThatClosesOnEveryAnnounceIsLeftAlone() throws {
        var bench = ClientBench()
        try bench.join()
        for _ in 0..<2 {
            try bench.close()
            try bench.advance(.seconds(20))
        }
        #expect(bench.dials == 3)
        // The third close comes 20 s later than the announce: that one does not count.
        bench = ClientBench()
        try bench.join()
        for round in 0..<3 {
            try bench.close()
            if round < 2 {
                let due = try #require(bench.client.nextTimeout)
                try bench.advance(due - bench.now)
            }
        }
        #expect(bench.events.contains(.incompatible(retryAfter: .seconds(3600))))
        try bench.advance(.seconds(3599))
        #expect(bench.dials == 3)
        try bench.advance(.seconds(1))
        #expect(bench.dials == 4)
        // One reply clears it of suspicion.
        try bench.reply()
        for _ in 0..<2 {
            try bench.close()
            let due = try #require(bench.client.nextTimeout)
            try bench.advance(due - bench.now)
        }
        #expect(bench.dials == 6)
    }

    @Test func aSilentSocketIsPingedThenDropped() throws {
        var bench = ClientBench()
        try bench.join(wantedOffers: 0)
        #expect(bench.frames.first?["offers"] == [] && bench.frames.first?["numwant"] == 0)
        let socket = try #require(bench.socket)
        try bench.advance(.seconds(59))
        #expect(!bench.events.contains(.ping(socket)))
        try bench.advance(.seconds(1))
        #expect(bench.events.contains(.ping(socket)))
        bench.client.noteTraffic(on: socket, now: bench.now)
        try bench.advance(.seconds(149))
        #expect(!bench.events.contains(.disconnect(socket)))
        try bench.advance(.seconds(1))
        #expect(bench.events.contains(.disconnect(socket)))
    }

    @Test func aDialThatTakesTooLongIsGivenUp() throws {
        var bench = ClientBench()
        bench.opens = false
        try bench.join()
        let socket = try #require(bench.socket)
        try bench.advance(.seconds(20))
        #expect(bench.events.contains(.disconnect(socket)))
        bench.client.socketOpened(socket, now: bench.now)
        #expect(!bench.client.isConnected)
    }

    @Test func leavingSaysStopped() throws {
        var bench = ClientBench()
        try bench.join()
        let second = try #require(InfoHash(bytes: [UInt8](repeating: 1, count: 20)))
        bench.client.join(second, now: bench.now)
        try bench.pump()
        #expect(bench.frames.count == 2)
        bench.client.leave(ClientBench.hash, now: bench.now)
        try bench.pump()
        #expect(bench.frames.count == 3 && bench.frames[2]["event"] == "stopped" && bench.frames[2]["offers"] == nil)
        #expect(bench.expired == 5 && bench.client.isConnected)
        bench.client.stop(now: bench.now)
        try bench.pump()
        #expect(bench.frames.count == 4 && bench.frames[3]["event"] == "stopped")
        #expect(bench.expired == 10 && bench.client.nextTimeout == nil)
        #expect(bench.events.contains(.disconnect(try #require(bench.socket))))
    }

    @Test func swarmsAndMessagesAreBounded() throws {
        var configuration = TrackerClientConfiguration()
        configuration.maximumSwarms = 2
        var bench = ClientBench(configuration)
        for number in 0..<3 as Range<UInt8> {
            let hash = try #require(InfoHash(bytes: [UInt8](repeating: number, count: 20)))
            #expect(bench.client.join(hash, now: bench.now) == (number < 2))
        }
        bench = ClientBench()
        bench.supply = nil
        try bench.join()
        var offers = bench.offers(5)
        for index in offers.indices { offers[index].sdp = String(repeating: "\u{1}", count: 4000) }
        offers[4].sdp = String(repeating: "a", count: 16385)
        // Escaped, each of the four takes 24,000 bytes: two fit into 64 KiB.
        bench.client.supply(offers, for: ClientBench.hash, now: bench.now)
        try bench.pump()
        #expect(bench.frames.first?["offers"]?.array?.count == 2 && bench.expired == 3)
        #expect((bench.frames.first?.serialized().count ?? 0) < 65536)
    }

    @Test func aNetworkChangeDialsAtOnce() throws {
        var bench = ClientBench()
        try bench.join()
        let old = try #require(bench.socket)
        bench.client.networkChanged(now: bench.now)
        try bench.pump()
        #expect(bench.events.contains(.disconnect(old)) && bench.expired == 5 && bench.dials == 2)
        #expect(bench.frames.count == 2 && bench.frames[1]["event"] == "started")
    }

    @Test func announceSoonKeepsItsDistance() throws {
        var bench = ClientBench()
        try bench.join()
        try bench.reply()
        try bench.receive(bench.offer("x"))
        bench.client.announceSoon(ClientBench.hash, now: bench.now)
        try bench.advance(.milliseconds(9999))
        #expect(bench.frames.count == 1)
        try bench.advance(.milliseconds(1))
        #expect(bench.frames.count == 2)
        try bench.advance(.seconds(30))
        bench.client.announceSoon(ClientBench.hash, now: bench.now)
        try bench.pump()
        #expect(bench.frames.count == 3)
    }

    @Test(arguments: 0..<4 as Range<UInt64>) func hostileFrames(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var bench = ClientBench(seed: seed)
        try bench.join()
        let junk: [JSONValue] = [
            nil, true, -1, 1e300, "", "x", [], [:], ClientBench.other(1), bench.hashText,
            .text(JSONText(latin1: 0...255)),
        ]
        let names: [JSONText] = [
            "action", "info_hash", "peer_id", "offer_id", "offer", "answer", "interval", "complete", "incomplete",
            "tracker id", "failure reason", "min interval", "warning message",
        ]
        for round in 0..<1500 {
            var message: JSONObject
            switch round % 3 {
            case 0: message = try #require(bench.offer(JSONText("o\(round)")).object)
            case 1:
                let id = bench.frames.last?["offers"]?.array?.first?["offer_id"]
                message = try #require(bench.answer(id).object)
            default:
                message = [
                    "action": "announce", "info_hash": bench.hashText, "interval": 20, "complete": 1, "incomplete": 1,
                ]
            }
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                message[names.randomElement(using: &generator) ?? "action"] = junk.randomElement(using: &generator)
            }
            var frame = JSONValue.object(message).serialized()
            if Int.random(in: 0..<4, using: &generator) == 0 {
                frame[Int.random(in: 0..<frame.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            if let socket = bench.socket { bench.client.receive(frame, on: socket, now: bench.now) }
            try bench.pump()
            try bench.advance(.milliseconds(Int.random(in: 0...2000, using: &generator)))
            if Int.random(in: 0..<100, using: &generator) == 0 { try bench.close() }
        }
        #expect(bench.client.counters.offersReceived > 50, "seed \(seed)")
        bench.client.stop(now: bench.now)
        try bench.pump()
        #expect(bench.client.nextTimeout == nil)
        // Every offer ends once.
        #expect(
            bench.client.counters.offersSent == bench.client.counters.answersReceived + bench.expired, "seed \(seed)")
    }
}
