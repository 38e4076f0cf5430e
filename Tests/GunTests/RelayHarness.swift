import JSON
import SwarmBase
import Testing

@testable import Gun

/// A relay with an owner that has a disk, and raw links that keep what they are sent.
struct RelayHarness {
    var relay: GunRelay
    var now = Instant.zero
    var wall = 1_800_000_000_000.0
    var disk: [Soul: [Key: GunEntry]] = [:]
    var received: [LinkID: [GunMessage]] = [:]
    var frames: [LinkID: Int] = [:]
    var closed: [LinkID: GunCloseReason] = [:]
    var paused: [LinkID: Duration] = [:]
    var loads = 0
    var stores = 0
    /// Whether the disk answers at once.
    var diskIsSlow = false
    var waiting: [GunRelayEvent] = []
    /// What was asked of the log of changes.
    var requests: [ChangeLogRequest] = []

    init(_ configuration: GunRelayConfiguration = GunRelayConfiguration(), links: [LinkID] = []) {
        relay = GunRelay(configuration: configuration, entropy: .seed(1))
        for link in links { open(link) }
    }

    mutating func open(_ link: LinkID, from address: IPAddress? = nil, peer: Int? = nil) {
        relay.linkOpened(link, from: address, peer: peer, now: now)
        drain()
    }

    mutating func close(_ link: LinkID) {
        relay.linkClosed(link, now: now)
        drain()
    }

    mutating func send(_ text: String, on link: LinkID) { send(Array(text.utf8), on: link) }

    mutating func send(_ frame: [UInt8], on link: LinkID) {
        relay.receive(frame: frame, on: link, now: now, wall: wall)
        drain()
    }

    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let due = relay.nextTimeout, due <= end {
            wall += (due - now).milliseconds
            now = due
            relay.handleTimeout(now: now, wall: wall)
            drain()
        }
        wall += (end - now).milliseconds
        now = end
    }

    mutating func drain() {
        while true {
            if let (link, frame) = relay.pollTransmit() {
                received[link, default: []] += messages(frame)
                frames[link, default: 0] += 1
            } else if let event = relay.pollEvent() {
                if case .close(let link, let reason) = event {
                    closed[link] = reason
                } else if diskIsSlow {
                    waiting.append(event)
                } else {
                    perform(event)
                }
            } else {
                return
            }
        }
    }

    mutating func perform(_ event: GunRelayEvent) {
        switch event {
        case .load(let id, let range):
            loads += 1
            relay.loaded(id, range.slice(of: records(on: disk)), now: now, wall: wall)
        case .store(let id, let records):
            stores += 1
            for record in records { disk[record.soul, default: [:]][record.key] = record.entry }
            relay.stored(id, now: now)
        case .close: break
        case .changes(let request): requests.append(request)
        case .pause(let link, let duration): paused[link] = duration
        }
    }

    mutating func wakeDisk() {
        diskIsSlow = false
        let events = waiting
        waiting = []
        for event in events { perform(event) }
        drain()
    }

    /// What the link has been sent since it was last asked.
    mutating func take(_ link: LinkID) -> [GunMessage] { received.removeValue(forKey: link) ?? [] }
}
