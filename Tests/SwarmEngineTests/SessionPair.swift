import SwarmBase

@testable import SwarmEngine

/// Two sessions joined by two virtual paths with their own delay, loss and reordering, on a virtual clock.
struct SessionPair {
    struct Packet { var at: Instant; var order: Int; var to: Int; var kind: Carrier; var bytes: [UInt8] }

    var sessions: [Session]
    var now = Instant.zero
    var entropy: Entropy
    var packets: [Packet] = []
    var received: [[Inbound.Message]] = [[], []]
    /// What each side was told of its messages, by number.
    var outcomes: [[UInt64: MessageOutcome]] = [[:], [:]]
    /// What each side was told more than once.
    var toldAgain: [[UInt64]] = [[], []]
    var exchanges: [[Session.Exchange]] = [[], []]
    /// What each side has on disk of what came.
    var notes: [[Lane: InboundNote]] = [[:], [:]]
    var delivered: [[UInt64]] = [[], []]
    var events: [[Session.Event]] = [[], []]
    var dead: Set<Carrier> = []
    var loss = 0.0
    var delay: [Carrier: Duration] = [.connection: .milliseconds(10), .relay: .milliseconds(50)]
    var order = 0
    var durable = [true, true]

    init(seed: UInt64) {
        entropy = .seed(seed)
        sessions = [1, 2].map { Session(configuration: .init(), outbound: Outbound(stream: $0)) }
    }

    private mutating func note(_ outcome: MessageOutcome, of number: UInt64, _ side: Int) {
        if outcomes[side].updateValue(outcome, forKey: number) != nil { toldAgain[side].append(number) }
    }

    /// Both know lanes.
    mutating func knowLanes() {
        for side in 0...1 { sessions[side].setKnowsLanes(true) }
    }

    mutating func open(_ kind: Carrier) {
        for side in 0...1 { sessions[side].pathOpened(kind, now: now) }
    }

    /// The connection ends at both sides, with all that is under way on it.
    mutating func closeConnection() {
        for side in 0...1 { sessions[side].pathClosed(.connection, now: now) }
        packets.removeAll { $0.kind == .connection }
    }

    /// One of twelve things that befall paths, most of them nothing.
    mutating func befall(_ fault: Int, mayClose: Bool) {
        switch fault {
        case 0: dead.formSymmetricDifference([.connection])
        case 1: dead.formSymmetricDifference([.relay])
        case 2 where !sessions[0][.connection].isOpen: open(.connection)
        case 3 where sessions[0][.connection].isOpen && mayClose: closeConnection()
        default: break
        }
    }

    /// Everything is carried again. A reliable channel that lost packets is no longer one: there is a new one, as a new
    /// connection would have.
    mutating func heal() {
        dead = []
        closeConnection()
        open(.connection)
    }

    mutating func drain(_ side: Int) {
        while let event = sessions[side].pollEvent() {
            switch event {
            case .message(let message, _, _): received[side].append(message)
            case .settled(let settled, _):
                if settled.outcome == .delivered { delivered[side].append(settled.number) }
                if let outcome = settled.outcome { note(outcome, of: settled.number, side) }
            case .withdrawn(let withdrawal, _):
                if withdrawal.isExpired { note(.expired, of: withdrawal.entry.number, side) }
            case .outcomesTold(let lane, let stream, let base):
                sessions[side].confirmOutcomes(of: lane, stream: stream, before: base)
            case .exchange(let exchange): exchanges[side].append(exchange)
            case .inboundAdvanced(let lane, let note):
                guard durable[side] else { break }
                notes[side][lane] = note
                sessions[side].commit(lane, note)
            default: events[side].append(event)
            }
        }
        for kind in Carrier.allCases {
            while let packet = sessions[side].pollPacket(on: kind, room: 1 << 18, now: now) {
                order += 1
                if dead.contains(kind) || Double.random(in: 0..<1, using: &entropy) < (kind == .relay ? loss : 0) {
                    continue
                }
                // The relay reorders; the direct path, a reliable channel, does not.
                let jitter: Duration = kind == .relay ? .milliseconds(Int.random(in: 0...20, using: &entropy)) : .zero
                packets.append(
                    Packet(
                        at: now + (delay[kind] ?? .zero) + jitter, order: order, to: 1 - side, kind: kind, bytes: packet
                    ))
            }
        }
    }

    mutating func run(until end: Instant) throws {
        drain(0)
        drain(1)
        while true {
            let timers = sessions.compactMap(\.nextTimeout)
            guard let next = (timers + packets.map(\.at)).min(), next <= end else { break }
            now = max(now, next)
            if let index = packets.indices.min(by: {
                (packets[$0].at, packets[$0].order) < (packets[$1].at, packets[$1].order)
            }),
                packets[index].at <= now
            {
                let packet = packets.remove(at: index)
                if !dead.contains(packet.kind) {
                    sessions[packet.to].receive(try Frame.parse(packet.bytes), on: packet.kind, now: now)
                }
            }
            for side in 0...1 {
                sessions[side].handleTimeout(now: now)
                drain(side)
            }
        }
        now = max(now, end)
    }

    func texts(_ side: Int) -> [String] {
        received[side].map { if case .text(let text) = $0.content { text } else { "?" } }
    }
}
