import JSON
import SwarmBase
import Testing

@testable import Gun

/// Clients and relays over links that delay, break and come back, on a virtual clock.
struct GunSimulation {
    struct Delivery {
        var toRelay: Bool
        var client: Int
        var relay: Int
        var connection: Int
        var frame: [UInt8]
    }

    enum Step {
        case deliver(Delivery)
        case reconnect(client: Int, relay: Int)
        case diskDone(relay: Int, life: Int, GunRelayEvent)
    }

    var random: SeededGenerator
    var now = Instant.zero
    let wallStart = 1_800_000_000_000.0
    var clients: [GunClient] = []
    var relays: [GunRelay] = []
    var disks: [[Soul: [Key: GunEntry]]]
    /// The number of the connection between each client and relay; `nil` while it is down.
    var connections: [[Int?]]
    var lives: [Int]
    var steps = DeadlineQueue<Step>()
    var nextConnection = 1
    var events: [[GunClientEvent]]
    /// When the last frame of each direction of a connection arrives: a connection keeps the order.
    var lastArrival: [Int: Instant] = [:]
    var acknowledged: [(relay: Int, PutID, client: Int)] = []

    init(seed: UInt64, clients: Int, relays: Int) {
        random = SeededGenerator(seed: seed)
        disks = Array(repeating: [:], count: relays)
        connections = Array(repeating: Array(repeating: nil, count: relays), count: clients)
        lives = Array(repeating: 0, count: relays)
        events = Array(repeating: [], count: clients)
        for _ in 0..<clients { self.clients.append(GunClient(entropy: .seed(random.next()))) }
        for _ in 0..<relays { self.relays.append(GunRelay(entropy: .seed(random.next()))) }
        for client in 0..<clients { for relay in 0..<relays { connect(client, relay) } }
    }

    var wall: Double { wallStart + (now - .zero).milliseconds }

    mutating func connect(_ client: Int, _ relay: Int) {
        guard connections[client][relay] == nil else { return }
        let connection = nextConnection
        nextConnection += 1
        connections[client][relay] = connection
        relays[relay].linkOpened(LinkID(UInt64(connection)), now: now)
        clients[client].linkOpened(LinkID(UInt64(relay)), now: now)
        drain()
    }

    /// Breaks the connection; what is under way is lost.
    mutating func cut(_ client: Int, _ relay: Int, for duration: Duration) {
        guard let connection = connections[client][relay] else { return }
        connections[client][relay] = nil
        relays[relay].linkClosed(LinkID(UInt64(connection)), now: now)
        clients[client].linkClosed(LinkID(UInt64(relay)), now: now)
        steps.add(.reconnect(client: client, relay: relay), at: now + duration)
        drain()
    }

    /// The relay loses all but its disk.
    mutating func restart(_ relay: Int) {
        for client in clients.indices {
            cut(client, relay, for: .milliseconds(Int.random(in: 100...5_000, using: &random)))
        }
        lives[relay] += 1
        relays[relay] = GunRelay(entropy: .seed(random.next()))
    }

    private mutating func transmit(_ delivery: Delivery) {
        let lane = delivery.connection * 2 + (delivery.toRelay ? 0 : 1)
        let arrival = max(now + .milliseconds(Int.random(in: 1...80, using: &random)), lastArrival[lane] ?? .zero)
        lastArrival[lane] = arrival
        steps.add(.deliver(delivery), at: arrival)
    }

    mutating func drain() {
        for client in clients.indices {
            while let (link, frame) = clients[client].pollTransmit() {
                let relay = Int(link.number)
                guard let connection = connections[client][relay] else { continue }
                transmit(Delivery(toRelay: true, client: client, relay: relay, connection: connection, frame: frame))
            }
            while let event = clients[client].pollEvent() {
                events[client].append(event)
                if case .acknowledged(let id, let link) = event { acknowledged.append((Int(link.number), id, client)) }
            }
        }
        for relay in relays.indices {
            while let (link, frame) = relays[relay].pollTransmit() {
                let connection = Int(link.number)
                guard let client = connections.firstIndex(where: { $0[relay] == connection }) else { continue }
                transmit(Delivery(toRelay: false, client: client, relay: relay, connection: connection, frame: frame))
            }
            while let event = relays[relay].pollEvent() {
                let delay = Duration.milliseconds(Int.random(in: 0...30, using: &random))
                steps.add(.diskDone(relay: relay, life: lives[relay], event), at: now + delay)
            }
        }
    }

    mutating func run(until end: Instant) {
        while true {
            var next = steps.nextDeadline
            for client in clients.indices { next = .earlier(next, clients[client].nextTimeout) }
            for relay in relays.indices { next = .earlier(next, relays[relay].nextTimeout) }
            guard let next, next <= end else { break }
            now = max(now, next)
            while let step = steps.popDue(now: now) { perform(step) }
            for client in clients.indices where clients[client].nextTimeout.map({ $0 <= now }) == true {
                clients[client].handleTimeout(now: now, wall: wall)
            }
            for relay in relays.indices where relays[relay].nextTimeout.map({ $0 <= now }) == true {
                relays[relay].handleTimeout(now: now, wall: wall)
            }
            drain()
        }
        now = end
    }

    private mutating func perform(_ step: Step) {
        switch step {
        case .deliver(let delivery):
            guard connections[delivery.client][delivery.relay] == delivery.connection else { return }
            if delivery.toRelay {
                relays[delivery.relay].receive(
                    frame: delivery.frame, on: LinkID(UInt64(delivery.connection)), now: now, wall: wall)
            } else {
                clients[delivery.client].receive(
                    frame: delivery.frame, on: LinkID(UInt64(delivery.relay)), now: now, wall: wall)
            }
        case .reconnect(let client, let relay):
            connect(client, relay)
        case .diskDone(let relay, let life, let event):
            guard lives[relay] == life else { return }
            switch event {
            case .load(let id, let range):
                relays[relay].loaded(id, range.slice(of: records(on: disks[relay])), now: now, wall: wall)
            case .store(let id, let records):
                for record in records { disks[relay][record.soul, default: [:]][record.key] = record.entry }
                relays[relay].stored(id, now: now)
            case .close, .pause, .changes: break
            }
        }
    }
}

@Suite struct SimulationTests {
    /// Whatever breaks: what was acknowledged is on the disk of the relay that said so, all clients end with the values
    /// that win, on every relay too, and no client hears of a change twice.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func everythingArrivesOnceAndNothingAcknowledgedIsLost(seed: UInt64) {
        var net = GunSimulation(seed: seed, clients: 4, relays: 2)
        var truth: [RecordAddress: GunEntry] = [:]
        var written: [Int: [PutID: [GunRecord]]] = [:]
        var own: [Int: Set<GunRecord>] = [:]
        var checked = 0
        let souls: [Soul] = ["ring", "room"]
        for client in net.clients.indices {
            for soul in souls { net.clients[client].subscribe(soul, now: net.now) }
        }
        net.drain()
        for round in 0..<120 {
            net.run(until: net.now + .milliseconds(Int.random(in: 1...300, using: &net.random)))
            let client = Int.random(in: 0..<4, using: &net.random)
            let soul = souls[Int.random(in: 0..<2, using: &net.random)]
            // States differ between writers, a minute behind the clock or, now and then, a little ahead of it.
            let ahead = round % 10 == 0 ? 700.0 : -60_000
            let state = net.wall + ahead + Double(Int.random(in: -5...5, using: &net.random))
            let values = (0..<Int.random(in: 1...3, using: &net.random)).map { _ in
                (
                    Key(stringLiteral: "k\(Int.random(in: 0..<6, using: &net.random))"),
                    GunValue.string("v\(client)-\(round)")
                )
            }
            let records = values.map { GunRecord(soul: soul, key: $0.0, value: $0.1, state: state) }
            let before = records.map { net.clients[client].entry(soul, $0.key) }
            let id = net.clients[client].put(soul, values, state: state, durable: true, now: net.now)
            for (record, held) in zip(records, before) where HAM.supersedes(record.entry, held) {
                own[client, default: []].insert(record)
                if HAM.supersedes(record.entry, truth[record.address]) { truth[record.address] = record.entry }
                written[client, default: [:]][id, default: []].append(record)
            }
            net.drain()
            switch Int.random(in: 0..<8, using: &net.random) {
            case 0, 1:
                let (c, r) = (Int.random(in: 0..<4, using: &net.random), Int.random(in: 0..<2, using: &net.random))
                net.cut(c, r, for: .milliseconds(Int.random(in: 10...8_000, using: &net.random)))
            case 2 where round % 4 == 0: net.restart(Int.random(in: 0..<2, using: &net.random))
            default: break
            }
            for (relay, id, client) in net.acknowledged {
                for record in written[client]?[id] ?? [] {
                    let stored = net.disks[relay][record.soul]?[record.key]
                    // A key of it that a newer write took over meanwhile is that write's business.
                    if let winner = truth[record.address], HAM.supersedes(winner, record.entry) { continue }
                    checked += 1
                    #expect(!HAM.supersedes(record.entry, stored), "seed \(seed) round \(round): acknowledged and lost")
                }
            }
        }
        #expect(checked > 1_000, "seed \(seed)")
        net.run(until: net.now + .seconds(90))
        for (address, entry) in truth {
            for client in net.clients.indices {
                #expect(
                    net.clients[client].entry(address.soul, address.key) == entry,
                    "seed \(seed) client \(client) \(address)")
            }
            for relay in net.relays.indices {
                #expect(net.disks[relay][address.soul]?[address.key] == entry, "seed \(seed) relay \(relay) \(address)")
            }
        }
        for client in net.clients.indices {
            var last: [RecordAddress: GunEntry] = [:]
            for case .changed(let soul, let key, let value, let state) in net.events[client] {
                let record = GunRecord(soul: soul, key: key, value: value, state: state)
                #expect(HAM.supersedes(record.entry, last[record.address]), "seed \(seed) client \(client): told twice")
                #expect(own[client]?.contains(record) != true, "seed \(seed) client \(client): its own write")
                last[record.address] = record.entry
            }
            #expect(net.clients[client].unacknowledgedCount == 0, "seed \(seed) client \(client)")
        }
        #expect(net.acknowledged.count > 80, "seed \(seed)")
    }

    /// On whole links every write of a ring of distinct keys is heard by every subscriber, exactly once.
    @Test func aRingIsHeardCompletely() {
        var net = GunSimulation(seed: 8, clients: 3, relays: 2)
        for client in net.clients.indices { net.clients[client].subscribe("ring", now: net.now) }
        net.drain()
        net.run(until: net.now + .seconds(1))
        for number in 0..<200 {
            _ = net.clients[0].put(
                "ring", [(Key(stringLiteral: "\(number)"), .string("m\(number)"))],
                state: net.wall - 60_000 + Double(number),
                durable: false, now: net.now)
            net.drain()
            net.run(until: net.now + .milliseconds(number % 3))
        }
        net.run(until: net.now + .seconds(1))
        for client in [1, 2] {
            let heard = net.events[client].compactMap { event -> GunValue? in
                if case .changed(_, _, let value, _) = event { value } else { nil }
            }
            #expect(Set(heard).count == 200 && heard.count == 200)
        }
    }
}
