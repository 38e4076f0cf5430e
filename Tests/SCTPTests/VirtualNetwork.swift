import SwarmBase
import Testing

@testable import SCTP

/// What a link does to packets.
struct Impairment {
    var loss = 0.0
    var duplication = 0.0
    var reordering = 0.0
    var delay = Duration.milliseconds(10)
    /// Bits per second; 0 for no limit. The queue before the limit holds `queuedPackets`.
    var rate = 0.0
    var queuedPackets = 100
    /// The share of packets in which a bit is flipped.
    var corruption = 0.0
    /// Larger packets are lost, unless they may be fragmented.
    var maxPacketSize = Int.max
    var isCut = false
}

/// One packet on its way.
struct Flight {
    var at: Instant
    var order: Int
    var toB: Bool
    var packet: [UInt8]
}

/// Packets in flight, soonest first.
struct FlightQueue {
    private var heap: [Flight] = []

    var next: Instant? { heap.first?.at }

    private static func precedes(_ a: Flight, _ b: Flight) -> Bool { (a.at, a.order) < (b.at, b.order) }

    mutating func push(_ flight: Flight) {
        heap.append(flight)
        var child = heap.count - 1
        while child > 0, Self.precedes(heap[child], heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop(dueAt now: Instant) -> Flight? {
        guard let first = heap.first, first.at <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if Self.precedes(heap[child], heap[least]) { least = child }
            }
            if least == parent { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

/// One direction of a link.
struct Link {
    var impairment: Impairment
    private var freeAt = Instant.zero

    init(_ impairment: Impairment) { self.impairment = impairment }

    /// When a packet of this size arrives; `nil` when it is lost.
    mutating func arrival(
        bytes: Int, forbidsFragmentation: Bool, now: Instant, random: inout SeededGenerator
    ) -> Instant? {
        if impairment.isCut || (forbidsFragmentation && bytes > impairment.maxPacketSize)
            || Double.random(in: 0..<1, using: &random) < impairment.loss
        {
            return nil
        }
        var leaves = now
        if impairment.rate > 0 {
            let time = Duration.nanoseconds(Int64(Double(bytes * 8) / impairment.rate * 1e9))
            freeAt = max(freeAt, now)
            if freeAt - now > time * impairment.queuedPackets { return nil }
            freeAt += time
            leaves = freeAt
        }
        var at = leaves + impairment.delay
        if Double.random(in: 0..<1, using: &random) < impairment.reordering {
            at += impairment.delay * Double.random(in: 0.2..<1.5, using: &random)
        }
        return at
    }
}

/// Two ends of data channels and the network between them, on a virtual clock.
final class ChannelPair {
    var a: DataChannelTransport
    var b: DataChannelTransport
    var now = Instant(nanoseconds: 1_000_000_000)
    var toA: Link
    var toB: Link
    var eventsOfA: [DataChannelEvent] = []
    var eventsOfB: [DataChannelEvent] = []
    /// Every packet handed to the network, for those who look at the wire.
    var packets = 0
    var bytes = 0
    /// Whether B's owner takes its events.
    var readsB = true
    /// Looks at a packet and may drop it: `false` loses it.
    var filter: ((_ toB: Bool, _ packet: [UInt8]) -> Bool)?
    /// Called after each step.
    var check: ((ChannelPair) -> Void)?
    private var flights = FlightQueue()
    private var order = 0
    private var random: SeededGenerator

    init(
        seed: UInt64, _ impairment: Impairment = Impairment(), configuration: SCTPConfiguration = .init(),
        configurationOfB: SCTPConfiguration? = nil, remoteMaxMessageSize: Int = 262_144, initialTSN: UInt32? = nil
    ) {
        var entropy = Entropy.seed(seed)
        random = SeededGenerator(seed: seed ^ 0x5eed)
        let first = initialTSN ?? UInt32(truncatingIfNeeded: entropy.next())
        a = DataChannelTransport(
            association: SCTPAssociation(
                configuration: configuration, initialTSN: first, entropy: entropy.fork()),
            isDTLSClient: true, remoteMaxMessageSize: remoteMaxMessageSize)
        b = DataChannelTransport(
            association: SCTPAssociation(
                configuration: configurationOfB ?? configuration, initialTSN: first &+ 3, entropy: entropy.fork()),
            isDTLSClient: false, remoteMaxMessageSize: remoteMaxMessageSize)
        toA = Link(impairment)
        toB = Link(impairment)
    }

    func impair(_ change: (inout Impairment) -> Void) {
        change(&toA.impairment)
        change(&toB.impairment)
    }

    /// Both ends send INIT, and the network runs until both are connected.
    func connect(within limit: Duration = .seconds(60)) {
        a.connect(now: now)
        b.connect(now: now)
        drain()
        run(for: limit) { $0.eventsOfA.contains(.connected) && $0.eventsOfB.contains(.connected) }
    }

    /// Sends what the ends have to send, and takes their events.
    func drain() {
        while let packet = a.pollTransmit(now: now) {
            transmit(packet, forbidsFragmentation: a.forbidsFragmentation, toB: true)
        }
        while let event = a.pollEvent() { eventsOfA.append(event) }
        while let packet = b.pollTransmit(now: now) {
            transmit(packet, forbidsFragmentation: b.forbidsFragmentation, toB: false)
        }
        while readsB, let event = b.pollEvent() { eventsOfB.append(event) }
    }

    private func transmit(_ packet: [UInt8], forbidsFragmentation: Bool, toB direction: Bool) {
        packets += 1
        bytes += packet.count
        if let filter, !filter(direction, packet) { return }
        var copies = 1
        let impairment = direction ? toB.impairment : toA.impairment
        if Double.random(in: 0..<1, using: &random) < impairment.duplication { copies = 2 }
        for _ in 0..<copies {
            let at =
                direction
                ? toB.arrival(
                    bytes: packet.count, forbidsFragmentation: forbidsFragmentation, now: now, random: &random)
                : toA.arrival(
                    bytes: packet.count, forbidsFragmentation: forbidsFragmentation, now: now, random: &random)
            guard let at else { continue }
            order += 1
            var arriving = packet
            if impairment.corruption > 0, Double.random(in: 0..<1, using: &random) < impairment.corruption {
                arriving[Int.random(in: arriving.indices, using: &random)] ^=
                    1 << UInt8.random(in: 0..<8, using: &random)
            }
            flights.push(Flight(at: at, order: order, toB: direction, packet: arriving))
        }
    }

    /// Runs until `done` or the time is over.
    ///
    /// - Returns: whether `done` was reached.
    @discardableResult
    func run(for limit: Duration, until done: (ChannelPair) -> Bool = { _ in false }) -> Bool {
        let end = now + limit
        drain()
        while !done(self) {
            var next: Instant? = flights.next
            next = .earlier(next, a.nextTimeout)
            next = .earlier(next, b.nextTimeout)
            guard let next, next <= end else {
                now = end
                return done(self)
            }
            now = max(now, next)
            while let flight = flights.pop(dueAt: now) {
                if flight.toB {
                    b.handle(packet: flight.packet, now: now)
                } else {
                    a.handle(packet: flight.packet, now: now)
                }
            }
            if let timeout = a.nextTimeout, timeout <= now { a.handleTimeout(now: now) }
            if let timeout = b.nextTimeout, timeout <= now { b.handleTimeout(now: now) }
            drain()
            check?(self)
        }
        return true
    }

    /// The messages B has received, in order.
    var receivedByB: [[UInt8]] { Self.messages(eventsOfB) }
    /// The messages A has received, in order.
    var receivedByA: [[UInt8]] { Self.messages(eventsOfA) }

    private static func messages(_ events: [DataChannelEvent]) -> [[UInt8]] {
        events.compactMap { if case .message(_, _, let payload) = $0 { payload } else { nil } }
    }
}

/// The value, or a failure: for calls that change what they are made on, which the macro cannot take apart.
func required<T>(_ value: T?, _ location: SourceLocation = #_sourceLocation) throws -> T {
    try #require(value, sourceLocation: location)
}

/// The same for conditions.
func expectTrue(_ value: Bool, _ location: SourceLocation = #_sourceLocation) {
    #expect(value, sourceLocation: location)
}

extension [UInt8] {
    /// Appends a DATA or I-DATA chunk with all of `payload`.
    mutating func append(_ chunk: OutgoingChunk, payload: [UInt8]) {
        var writer = PacketWriter(capacity: 0)
        writer.append(chunk, payload: payload, range: 0..<payload.count)
        append(contentsOf: writer.finish(checksum: false))
    }
}
