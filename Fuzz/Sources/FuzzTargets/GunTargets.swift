import Gun
import JSON
import SwarmBase

private let wallStart = 1_800_000_000_000.0

/// A query made of the script's bytes: a key, a node, or ranges of keys or souls with whatever bounds and limit.
private func query(_ script: inout FuzzInput, _ number: Int) -> [UInt8] {
    let names = ["a", "ab", "b", "soul", "k0", "k1", "k9", "~", ""]
    func lex() -> String {
        var members: [String] = []
        let which = script.byte()
        for (bit, name) in ["=", "*", ">", "<"].enumerated() where which & 1 << UInt8(bit) != 0 {
            members.append("\"\(name)\":\"\(names[script.choice(names.count)])\"")
        }
        if which & 16 != 0 { members.append("\"-\":1") }
        return "{\(members.joined(separator: ","))}"
    }
    let kind = script.choice(4)
    let soul = kind == 3 ? lex() : "\"\(names[script.choice(names.count)])\""
    let key = kind == 0 ? "" : ",\".\":\(kind == 1 ? "\"\(names[script.choice(names.count)])\"" : lex())"
    let limit = script.choice(2) == 0 ? "" : ",\"%\":\(script.byte())"
    let hash = script.choice(4) == 0 ? ",\"##\":\(script.byte())" : ""
    return Array("{\"#\":\"q\(number)\",\"get\":{\"#\":\(soul)\(key)\(limit)}\(hash)}".utf8)
}

/// Many short keys of one node, so that there is something to answer in slices.
private func put(_ script: inout FuzzInput, _ number: Int, wall: Double) -> [UInt8] {
    let soul = ["a", "ab", "soul", "room<?3"][script.choice(4)]
    let count = 1 + script.choice(24)
    let state = wall - 2_000 + Double(script.byte()) * 16
    let keys = (0..<count).map { "k\($0)" }
    let states = keys.map { "\"\($0)\":\(state)" }.joined(separator: ",")
    let values = keys.map { "\"\($0)\":\(number)" }.joined(separator: ",")
    return Array(
        "{\"#\":\"p\(number)\",\"put\":{\"\(soul)\":{\"_\":{\"#\":\"\(soul)\",\">\":{\(states)}},\(values)}}}".utf8)
}

/// A relay with four links, one or two of which lead to configured relays, and a disk that answers late, in part or not at
/// all; a script of frames (each up to a zero byte), of queries, of puts, and of what becomes of the disk.
func fuzzGunRelay(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var configuration = GunRelayConfiguration()
    // So small that what is for full tables happens as well.
    configuration.memoryBytes = 16 << 10
    configuration.deferredPerLink = 8
    configuration.subscriptionsPerLink = 16
    configuration.queuedBytesPerLink = 64 << 10
    configuration.waitingForStorage = 8
    configuration.unstoredBytes = 64 << 10
    configuration.rememberedMessages = 32
    configuration.readsUnderWay = 3
    configuration.sliceRecords = 5
    configuration.sliceBytes = 600
    configuration.answerBytes = 300
    configuration.streamsPerLink = 3
    configuration.recordsPerQuery = 40
    configuration.federation.puts = 4
    configuration.federation.recordsPerPut = 3
    configuration.federation.pendingRecords = 6
    configuration.federation.subscriptions = 6
    configuration.federation.hops = 3
    configuration.federation.changes = 24
    let options = script.byte()
    configuration.hasStorage = options & 1 == 0
    if options & 2 != 0 { configuration.rule = .userSpace(requiresOwner: options & 4 != 0) }
    var relay = GunRelay(configuration: configuration, entropy: .seed(1))
    var now = Instant.zero
    var wall = wallStart
    var disk: [Soul: GunNode] = [:]
    var waiting: [GunRelayEvent] = []
    var changes: [UInt64: RecordAddress] = [:]
    let mark = script.byte()
    if options & 8 != 0 {
        relay.resume(ChangeLog(first: 3, last: 7, acknowledged: [0: mark & 1 == 0 ? nil : UInt64(mark >> 4), 1: 5]))
    }
    var isOpen: Set<LinkID> = []

    func perform(_ event: GunRelayEvent, fails: Bool) {
        switch event {
        case .load(let id, let range):
            relay.loaded(id, fails ? .nothing : range.slice(of: disk.values.flatMap(\.records)), now: now, wall: wall)
        case .store(let id, let records):
            if fails { return relay.storeFailed(id, now: now) }
            for (place, record) in records.enumerated() {
                if let first = id.firstChange { changes[first + UInt64(place)] = record.address }
                disk[record.soul, default: GunNode(soul: record.soul)].entries[record.key] = record.entry
            }
            relay.stored(id, now: now)
        case .changes(.load(let id, let after, let through, let limit)):
            let numbers = changes.keys.filter { $0 > after && $0 <= through }.sorted()
            let some = numbers.prefix(limit)
            let records = some.compactMap { number in
                changes[number].flatMap { address in
                    disk[address.soul]?.entries[address.key].map {
                        GunRecord(soul: address.soul, key: address.key, entry: $0)
                    }
                }
            }
            let end = some.count < numbers.count ? some.last ?? through : through
            relay.loadedChanges(id, fails ? [] : records, through: fails ? after : end, now: now)
        case .changes(.forget(let through)): changes = changes.filter { $0.key > through }
        case .changes(.acknowledged), .pause: break
        case .close(let link, _):
            isOpen.remove(link)
        }
    }
    func drain() throws {
        var count = 0
        while count < 100_000 {
            if relay.pollTransmit() != nil {
                count += 1
            } else if let event = relay.pollEvent() {
                count += 1
                if case .close = event { perform(event, fails: false) } else { waiting.append(event) }
            } else {
                break
            }
        }
        try expect(count < 20_000, "one input causes few outputs")
        try expect(relay.memoryBytes <= 1 << 20, "memory stays in its bounds")
    }
    for number in 0..<64 where !script.isAtEnd {
        let link = LinkID(UInt64(script.choice(4)))
        if isOpen.insert(link).inserted {
            relay.linkOpened(link, peer: link.number >= 2 ? Int(link.number) - 2 : nil, now: now)
            try drain()
        }
        switch script.choice(12) {
        case 8, 9: relay.receive(frame: query(&script, number), on: link, now: now, wall: wall)
        case 10, 11: relay.receive(frame: put(&script, number, wall: wall), on: link, now: now, wall: wall)
        case 0...3: relay.receive(frame: script.text(), on: link, now: now, wall: wall)
        case 4:
            let events = waiting
            waiting = []
            let fails = script.choice(4) == 0
            for event in events { perform(event, fails: fails) }
        case 5:
            let step = script.duration()
            now += step
            wall += step.milliseconds
            relay.handleTimeout(now: now, wall: wall)
        case 6: relay.linkWritabilityChanged(link, isWritable: script.choice(2) == 0)
        default:
            relay.linkClosed(link, now: now)
            isOpen.remove(link)
        }
        try drain()
    }
}

/// A client with two links; a script of frames and of what its application does.
func fuzzGunClient(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var configuration = GunClientConfiguration()
    configuration.memoryBytes = 16 << 10
    configuration.outboxPuts = 8
    configuration.sentMessages = 32
    configuration.deferredWrites = 8
    var client = GunClient(configuration: configuration, entropy: .seed(5))
    var now = Instant.zero
    var wall = wallStart
    var isOpen: Set<LinkID> = []
    let souls: [Soul] = ["soul", "other", "third"]
    let keys: [Key] = ["key", "text", "k0"]
    for _ in 0..<64 where !script.isAtEnd {
        let link = LinkID(UInt64(script.choice(2)))
        if isOpen.insert(link).inserted { client.linkOpened(link, now: now) }
        let soul = souls[script.choice(3)]
        let key = keys[script.choice(3)]
        switch script.choice(8) {
        case 0...3: client.receive(frame: script.text(), on: link, now: now, wall: wall)
        case 4: client.subscribe(soul, key: script.choice(2) == 0 ? key : nil, now: now)
        case 5:
            let value = GunValue.text(JSONText(utf8: script.text()))
            let isDurable = script.choice(2) == 0
            client.put(soul, [(key, value)], state: wall + Double(script.byte()), durable: isDurable, now: now)
        case 6:
            let step = script.duration()
            now += step
            wall += step.milliseconds
            client.handleTimeout(now: now, wall: wall)
        default:
            if script.choice(2) == 0 {
                client.unsubscribe(soul, now: now)
            } else {
                client.linkClosed(link, now: now)
                isOpen.remove(link)
            }
        }
        var count = 0
        while client.pollTransmit() != nil { count += 1 }
        while client.pollEvent() != nil { count += 1 }
        try expect(count < 20_000, "one input causes few outputs")
        try expect(client.outboxCount <= 9, "the outbox stays in its bounds")
    }
}
