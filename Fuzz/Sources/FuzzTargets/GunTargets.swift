import Gun
import JSON
import SwarmBase

private let wallStart = 1_800_000_000_000.0

/// A relay with three links and a disk; a script of frames, each up to a zero byte.
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
    let options = script.byte()
    configuration.hasStorage = options & 1 == 0
    if options & 2 != 0 { configuration.rule = .userSpace(requiresOwner: options & 4 != 0) }
    var relay = GunRelay(configuration: configuration, entropy: .seed(1))
    var now = Instant.zero
    var wall = wallStart
    var disk: [Soul: GunNode] = [:]
    var waiting: [GunRelayEvent] = []
    var isOpen: Set<LinkID> = []

    func perform(_ event: GunRelayEvent, fails: Bool) {
        switch event {
        case .load(let id, let range):
            relay.loaded(id, fails ? .nothing : range.slice(of: disk.values.flatMap(\.records)), now: now, wall: wall)
        case .store(let id, let records):
            if fails { return relay.storeFailed(id, now: now) }
            for record in records {
                disk[record.soul, default: GunNode(soul: record.soul)].entries[record.key] = record.entry
            }
            relay.stored(id, now: now)
        case .pause: break
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
    for _ in 0..<64 where !script.isAtEnd {
        let link = LinkID(UInt64(script.choice(3)))
        if isOpen.insert(link).inserted {
            relay.linkOpened(link, peer: link == 2 ? 0 : nil, now: now)
            try drain()
        }
        switch script.choice(8) {
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
