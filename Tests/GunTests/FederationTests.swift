import JSON
import SwarmBase
import Testing

@testable import Gun

/// Relays that dial each other, and raw clients, on links that deliver in random order but each in its own.
struct Federation {
    struct Cable: Hashable {
        /// Who dialled, and who was dialled.
        var from: Int
        var to: Int
    }

    var random: SeededGenerator
    var relays: [GunRelay] = []
    var disks: [[Soul: [Key: GunEntry]]]
    var now = Instant.zero
    var wall = 1_800_000_000_000.0
    /// The link numbers of a cable at both its ends, while it is up.
    var cables: [Cable: (near: LinkID, far: LinkID)] = [:]
    /// What a link of a relay leads to: another relay's link, or a client.
    var ends: [Int: [LinkID: (relay: Int, link: LinkID)]] = [:]
    var clients: [Int: (relay: Int, link: LinkID, received: [GunMessage])] = [:]
    var wires: [String: FIFO<(relay: Int, link: LinkID, frame: [UInt8])>] = [:]
    var nextLink: UInt64 = 1
    /// Puts that went from relay to relay, and the records in them.
    var puts = 0
    var records = 0
    /// The log of changes on each relay's disk, and what it knows of its configured relays.
    var logs: [[UInt64: RecordAddress]]
    var marks: [[Int: UInt64]]
    let configuration: GunRelayConfiguration

    init(
        _ count: Int, seed: UInt64, hasStorage: Bool = true, configuration: GunRelayConfiguration = .init()
    ) {
        random = SeededGenerator(seed: seed)
        disks = Array(repeating: [:], count: count)
        logs = Array(repeating: [:], count: count)
        marks = Array(repeating: [:], count: count)
        var configuration = configuration
        configuration.hasStorage = hasStorage
        self.configuration = configuration
        for _ in 0..<count {
            relays.append(GunRelay(configuration: configuration, entropy: .seed(random.next())))
        }
    }

    private mutating func link() -> LinkID {
        defer { nextLink += 1 }
        return LinkID(nextLink)
    }

    /// Lets one relay dial another; the number of the configured peer is the other's own.
    mutating func connect(_ from: Int, _ to: Int) {
        let (near, far) = (link(), link())
        cables[Cable(from: from, to: to)] = (near, far)
        ends[from, default: [:]][near] = (to, far)
        ends[to, default: [:]][far] = (from, near)
        relays[to].linkOpened(far, now: now)
        relays[from].linkOpened(near, peer: to, now: now)
        run()
    }

    /// What is on the cable is lost.
    mutating func cut(_ from: Int, _ to: Int) {
        guard let (near, far) = cables.removeValue(forKey: Cable(from: from, to: to)) else { return }
        ends[from]?[near] = nil
        ends[to]?[far] = nil
        relays[from].linkClosed(near, now: now)
        relays[to].linkClosed(far, now: now)
    }

    mutating func client(_ number: Int, at relay: Int) {
        let link = link()
        clients[number] = (relay, link, [])
        relays[relay].linkOpened(link, now: now)
        run()
    }

    mutating func send(_ frame: [UInt8], from client: Int, isRun: Bool = true) {
        guard let (relay, link, _) = clients[client] else { return }
        relays[relay].receive(frame: frame, on: link, now: now, wall: wall)
        if isRun { run() }
    }

    mutating func take(_ client: Int) -> [GunMessage] {
        defer { clients[client]?.received = [] }
        return clients[client]?.received ?? []
    }

    private mutating func drain() {
        for relay in relays.indices {
            while let (link, frame) = relays[relay].pollTransmit() {
                if let (other, far) = ends[relay]?[link] {
                    let told = messages(frame).filter { $0.put != nil && $0.answered == nil }
                    puts += told.count
                    records += told.reduce(0) { $0 + $1.records.count }
                    wires["\(relay) \(link)", default: FIFO()].append((other, far, frame))
                } else if let client = clients.first(where: { $0.value.relay == relay && $0.value.link == link })?.key {
                    clients[client]?.received += messages(frame)
                }
            }
            while let event = relays[relay].pollEvent() {
                switch event {
                case .load(let id, let range):
                    let all = GunTests.records(on: disks[relay])
                    relays[relay].loaded(id, range.slice(of: all), now: now, wall: wall)
                case .store(let id, let records):
                    for (place, record) in records.enumerated() {
                        disks[relay][record.soul, default: [:]][record.key] = record.entry
                        if let first = id.firstChange { logs[relay][first + UInt64(place)] = record.address }
                    }
                    relays[relay].stored(id, now: now)
                case .changes(let request): perform(request, at: relay)
                case .close, .pause: break
                }
            }
        }
    }

    private mutating func perform(_ request: ChangeLogRequest, at relay: Int) {
        switch request {
        case .load(let id, let after, let through, let limit):
            let numbers = logs[relay].keys.filter { $0 > after && $0 <= through }.sorted()
            let some = numbers.prefix(limit)
            let records = some.compactMap { logs[relay][$0] }.compactMap { address in
                disks[relay][address.soul]?[address.key].map {
                    GunRecord(soul: address.soul, key: address.key, entry: $0)
                }
            }
            let end = some.count < numbers.count ? some.last ?? through : through
            relays[relay].loadedChanges(id, records, through: end, now: now)
        case .acknowledged(let peer, let change): marks[relay][peer] = change
        case .forget(let through): logs[relay] = logs[relay].filter { $0.key > through }
        }
    }

    /// A relay is started with what its disk has, its configured relays given; its links are gone.
    mutating func restart(_ relay: Int, peers: [Int]) {
        for cable in cables.keys.filter({ $0.from == relay || $0.to == relay }) { cut(cable.from, cable.to) }
        for (client, end) in clients where end.relay == relay { clients[client] = nil }
        relays[relay] = GunRelay(configuration: configuration, entropy: .seed(random.next()))
        let last = max(logs[relay].keys.max() ?? 0, marks[relay].values.max() ?? 0)
        var log = ChangeLog(first: logs[relay].keys.min() ?? last + 1, last: last)
        for peer in peers { log.acknowledged.updateValue(marks[relay][peer], forKey: peer) }
        relays[relay].resume(log)
    }

    /// Until nothing moves any more; a storm does not end within the limit.
    mutating func run(limit: Int = 200_000) {
        for _ in 0..<limit {
            for _ in 0..<4 { drain() }
            let waiting = wires.filter { !$0.value.isEmpty }.keys.sorted()
            guard let wire = waiting.randomElement(using: &random) else { return }
            guard let (relay, link, frame) = wires[wire]?.popFirst(), ends[relay]?[link] != nil else { continue }
            relays[relay].receive(frame: frame, on: link, now: now, wall: wall)
        }
        Issue.record("the relays do not come to rest")
    }

    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let due = relays.compactMap(\.nextTimeout).min(), due <= end {
            wall += (due - now).milliseconds
            now = due
            for relay in relays.indices { relays[relay].handleTimeout(now: now, wall: wall) }
            run()
        }
        wall += (end - now).milliseconds
        now = end
    }
}

@Suite struct FederationTests {
    enum Shape: String, CaseIterable, Sendable {
        case pair, chain, ring, mesh, mutual

        var count: Int {
            switch self {
            case .pair, .mutual: 2
            case .chain: 4
            case .ring, .mesh: 5
            }
        }

        /// Who dials whom.
        var cables: [(Int, Int)] {
            switch self {
            case .pair: [(1, 0)]
            case .mutual: [(0, 1), (1, 0)]
            case .chain: [(1, 0), (2, 1), (3, 2)]
            case .ring: (0..<5).map { ($0, ($0 + 1) % 5) }
            case .mesh: (0..<5).flatMap { from in (0..<5).filter { $0 != from }.map { (from, $0) } }
            }
        }
    }

    private func network(_ shape: Shape, seed: UInt64, hasStorage: Bool = true) -> Federation {
        var net = Federation(shape.count, seed: seed, hasStorage: hasStorage)
        for (from, to) in shape.cables { net.connect(from, to) }
        for relay in 0..<shape.count { net.client(relay, at: relay) }
        return net
    }

    /// A put at any relay reaches the subscribers at all, once each, and comes to rest.
    @Test(arguments: Shape.allCases, [true, false])
    func aPutReachesSubscribersEverywhereOnce(shape: Shape, hasStorage: Bool) {
        var net = network(shape, seed: 1, hasStorage: hasStorage)
        for client in 0..<shape.count { net.send(getFrame("g\(client)", "s"), from: client) }
        for client in 0..<shape.count { _ = net.take(client) }
        for writer in 0..<shape.count {
            net.puts = 0
            net.send(putFrame("p\(writer)", "s", "k", .number(FiniteNumber(writer)), Double(writer + 1)), from: writer)
            for client in 0..<shape.count {
                let heard = net.take(client)
                if client == writer {
                    #expect(heard.count { $0.answered != nil } == 1, "\(shape): one acknowledgement")
                } else {
                    #expect(heard.count { !$0.records.isEmpty } == 1, "\(shape): from \(writer) to \(client)")
                }
            }
            // Each relay passes a change on once for each cable at most, in each direction.
            #expect(net.puts <= shape.cables.count * 2, "\(shape)")
        }
    }

    @Test func inAMeshEachRelayIsToldOnce() {
        var net = network(.mesh, seed: 3)
        net.puts = 0
        net.send(putFrame("p", "s", "k", 1, 1), from: 0)
        #expect(net.puts == 4)
        #expect(net.disks.allSatisfy { $0["s"]?["k"] != nil })
    }

    /// What one relay does not have is asked of the next, through as many as it takes.
    @Test func aMissTravels() {
        var net = network(.chain, seed: 4)
        net.send(putFrame("p", "far", "k", "v", 1), from: 0)
        #expect(net.disks[3]["far"] == nil, "what nobody follows is not passed down")
        net.send(getFrame("g", "far", "k"), from: 3)
        let answers = net.take(3).filter { $0.answered == "g" }
        #expect(answers.contains { $0.records.first?.value == "v" })
        // From now on it is followed.
        net.send(putFrame("p2", "far", "k", "w", 2), from: 0)
        #expect(net.take(3).flatMap(\.records).map(\.value) == ["w"])
    }

    /// What a relay has is given at once, and what is newer elsewhere comes after it.
    @Test func aStaleHitIsMended() {
        var net = network(.pair, seed: 5)
        net.send(putFrame("p", "s", "k", "old", 1), from: 1)
        net.send(putFrame("p2", "s", "k", "new", 2), from: 0)
        _ = net.take(1)
        net.send(getFrame("g", "s", "k"), from: 1)
        #expect(net.take(1).flatMap(\.records).map(\.value) == ["old", "new"])
    }

    /// Both sides write while they are apart; when they meet again they hold the same.
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64], [Shape.pair, .ring, .mesh])
    func partitionsHeal(seed: UInt64, shape: Shape) {
        var net = network(shape, seed: seed)
        for client in 0..<shape.count {
            for soul in ["a", "b", "c"] {
                net.send(getFrame("g\(client)\(soul)", Soul(stringLiteral: soul)), from: client)
            }
        }
        var number = 0
        func write(_ net: inout Federation, isRun: Bool) {
            number += 1
            let soul = ["a", "b", "c"].randomElement(using: &net.random) ?? "a"
            let key = Key(stringLiteral: "k\(Int.random(in: 0..<6, using: &net.random))")
            let value = GunValue.number(FiniteNumber(Int.random(in: 0..<100, using: &net.random)))
            let state = Double(Int.random(in: 1...50, using: &net.random))
            let client = Int.random(in: 0..<shape.count, using: &net.random)
            net.send(
                putFrame("w\(number)", Soul(stringLiteral: soul), key, value, state), from: client, isRun: isRun)
        }
        for _ in 0..<6 {
            // Links break with messages on them.
            for _ in 0..<10 { write(&net, isRun: false) }
            for (from, to) in shape.cables where Bool.random(using: &net.random) { net.cut(from, to) }
            for _ in 0..<20 { write(&net, isRun: Bool.random(using: &net.random)) }
            net.run()
            for (from, to) in shape.cables where net.cables[.init(from: from, to: to)] == nil { net.connect(from, to) }
        }
        // A change that comes by two ways is acknowledged on one; for the other silence counts, after the next heartbeat.
        net.advance(.seconds(45))
        for disk in net.disks.dropFirst() { #expect(disk == net.disks[0], "seed \(seed) \(shape)") }
        #expect(net.relays.allSatisfy { $0.pendingFederation == 0 }, "seed \(seed) \(shape)")
    }

    /// A relay that was started anew offers what its disk has; one that answers nothing is not waited for for ever.
    @Test func aRestartedRelayOffersWhatItKeeps() {
        var net = Federation(2, seed: 9)
        for number in 0..<600 {
            net.disks[1][Soul(stringLiteral: "s\(number)")] = ["k": GunEntry(.number(FiniteNumber(number)), state: 1)]
        }
        net.connect(1, 0)
        net.advance(.seconds(1))
        #expect(net.disks[0].count == 600 && net.relays[1].pendingFederation == 0)
    }

    @Test func aRelayThatIsAwayForLongIsOfferedEverything() {
        var configuration = GunRelayConfiguration()
        configuration.federation.pendingRecords = 10
        configuration.federation.puts = 4
        var net = RelayHarness(configuration, links: [1])
        net.open(9, peer: 0)
        net.close(9)
        for number in 0..<30 { net.send(putFrame("p\(number)", Soul(stringLiteral: "s\(number)"), "k", 1, 1), on: 1) }
        #expect(net.relay.pendingFederation <= 10)
        _ = net.take(9)
        net.open(9, peer: 0)
        // It never acknowledges: after a while what was sent counts as taken, as it is there.
        for _ in 0..<30 {
            net.send("[]", on: 9)
            net.advance(.seconds(10))
        }
        let told = Set(net.take(9).flatMap(\.records).map(\.soul))
        #expect(told.count == 30 && net.relay.pendingFederation == 0)
    }

    @Test func aSlowRelayDoesNotFillMemory() {
        var configuration = GunRelayConfiguration()
        configuration.federation.queuedBytes = 10_000
        var net = RelayHarness(configuration, links: [1])
        net.open(9, peer: 0)
        net.relay.linkWritabilityChanged(9, isWritable: false)
        for number in 0..<600 {
            net.send(putFrame("p\(number)", "s", "k", .number(FiniteNumber(number)), Double(number)), on: 1)
        }
        #expect(net.relay.queuedBytes < 20_000 && net.relay.pendingFederation < 300, "one address, noted once")
        net.relay.linkWritabilityChanged(9, isWritable: true)
        net.drain()
        for _ in 0..<6 {
            net.send("[]", on: 9)
            net.advance(.seconds(10))
        }
        #expect(net.take(9).flatMap(\.records).last?.value == .number(599))
    }

    /// What an application answers to a put finds the writer through two relays.
    @Test func answersOfApplicationsTravelThroughRelays() {
        var net = network(.pair, seed: 11)
        net.send(getFrame("g", "/RTC/room<?99", "+"), from: 1)
        _ = net.take(1)
        let state = net.wall
        net.send(putFrame("call", "/RTC/room<?99", "+", "pidA", state), from: 0)
        let heard = net.take(1).first { !$0.records.isEmpty }
        #expect(heard?.id == "call")
        net.send(##"{"#":"offer1","@":"call","ok":{"rtc":{"id":"pidB","offer":1}}}"##.bytes, from: 1)
        #expect(net.take(0).contains { $0.id == "offer1" && $0.answered == "call" })
        net.send(##"{"#":"answer1","@":"offer1","ok":{"rtc":{"id":"pidA","answer":1}}}"##.bytes, from: 0)
        #expect(net.take(1).contains { $0.id == "answer1" && $0.answered == "offer1" })
    }
}

extension String {
    fileprivate var bytes: [UInt8] { Array(utf8) }
}
