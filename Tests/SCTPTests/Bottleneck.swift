import SwarmBase

@testable import SCTP

/// A narrow link that several bulk transfers share, on a virtual clock: packets wait in one queue with a limit, leave it
/// at the link's rate, and may be lost at random besides. Acknowledgements come back over a wide path.
final class Bottleneck {
    /// What the link is.
    struct Link {
        /// Bits per second.
        var rate: Double
        /// How long a full queue takes to drain.
        var buffer: Duration
        /// There and back, without the queue.
        var roundTrip: Duration
        /// The share of data packets lost at random.
        var loss = 0.0
        /// By how much the delay of single packets varies, at random.
        var jitter = Duration.zero
    }

    private struct Event {
        var at: Instant
        var order: Int
        var flow: Int
        var toB: Bool
        var packet: [UInt8]
    }

    let link: Link
    private(set) var now = Instant.zero
    private var flows: [Int: Box] = [:]
    private var heap: [Event] = []
    private var order = 0
    private var freeAt = Instant.zero
    private var random: SeededGenerator
    private var queueTime: Int64 = 0
    private var queuedPackets = 0
    /// Packets dropped because the queue was full, and at random.
    private(set) var overflows = 0
    private(set) var randomLosses = 0
    private(set) var packets = 0

    /// One transfer.
    private final class Box {
        var a: SCTPAssociation
        var b: SCTPAssociation
        let startsAt: Instant
        var received = 0
        var receivedBefore = 0
        var isStarted = false

        init(configuration: SCTPConfiguration, seed: UInt64, startsAt: Instant) {
            var entropy = Entropy.seed(seed)
            a = SCTPAssociation(configuration: configuration, entropy: entropy.fork())
            b = SCTPAssociation(configuration: configuration, entropy: entropy.fork())
            self.startsAt = startsAt
        }
    }

    init(_ link: Link, seed: UInt64) {
        self.link = link
        random = SeededGenerator(seed: seed)
    }

    /// Adds a transfer that begins at this moment.
    func add(_ configuration: SCTPConfiguration = .init(), startsAt: Duration = .zero) {
        let number = flows.count
        flows[number] = Box(configuration: configuration, seed: UInt64(number) + 77, startsAt: .zero + startsAt)
    }

    /// Runs for a time; what is told afterwards is of this time only.
    func run(for time: Duration) {
        for flow in flows.values { flow.receivedBefore = flow.received }
        queueTime = 0
        queuedPackets = 0
        overflows = 0
        randomLosses = 0
        packets = 0
        let end = now + time
        let numbers = flows.keys.sorted()
        for number in numbers { serve(number) }
        while true {
            var next = heap.first?.at
            for number in numbers {
                guard let flow = flows[number] else { continue }
                next = .earlier(next, flow.isStarted ? flow.a.nextTimeout : flow.startsAt)
                next = .earlier(next, flow.b.nextTimeout)
            }
            guard let next, next <= end else { break }
            now = max(now, next)
            var touched: Set<Int> = []
            while let first = heap.first, first.at <= now {
                let event = pop()
                touched.insert(event.flow)
                guard let flow = flows[event.flow] else { continue }
                if event.toB {
                    flow.b.handle(packet: event.packet, now: now)
                } else {
                    flow.a.handle(packet: event.packet, now: now)
                }
            }
            for number in numbers {
                guard let flow = flows[number] else { continue }
                if !flow.isStarted, flow.startsAt <= now {
                    flow.isStarted = true
                    flow.a.connect(now: now)
                    touched.insert(number)
                }
                if let timeout = flow.a.nextTimeout, timeout <= now {
                    flow.a.handleTimeout(now: now)
                    touched.insert(number)
                }
                if let timeout = flow.b.nextTimeout, timeout <= now {
                    flow.b.handleTimeout(now: now)
                    touched.insert(number)
                }
            }
            for number in touched.sorted() { serve(number) }
        }
        now = end
    }

    private static let message = [UInt8](repeating: 7, count: 16_384)

    private func serve(_ number: Int) {
        guard let flow = flows[number] else { return }
        while flow.isStarted, flow.a.bufferedAmount < 1 << 20 {
            guard (try? flow.a.send(Self.message, payloadProtocol: 53, on: 1, now: now)) != nil else { break }
        }
        while let packet = flow.a.pollTransmit(now: now) { transmit(packet, of: number) }
        while let event = flow.b.pollEvent() {
            guard case .message(_, _, let payload) = event else { continue }
            flow.received += payload.count
            flow.b.release(payload.count, now: now)
        }
        while let packet = flow.b.pollTransmit(now: now) {
            push(Event(at: now + link.roundTrip / 2, order: 0, flow: number, toB: false, packet: packet))
        }
        while flow.a.pollEvent() != nil {}
    }

    private func transmit(_ packet: [UInt8], of number: Int) {
        packets += 1
        if Double.random(in: 0..<1, using: &random) < link.loss {
            randomLosses += 1
            return
        }
        freeAt = max(freeAt, now)
        let waits = freeAt.nanoseconds(since: now)
        if waits > link.buffer.nanosecondsClamped {
            overflows += 1
            return
        }
        queueTime += waits
        queuedPackets += 1
        // The other headers count, too.
        freeAt = freeAt.adding(Int64(Double((packet.count + 65) * 8) / link.rate * 1e9))
        var at = freeAt + link.roundTrip / 2
        if link.jitter > .zero { at += link.jitter * Double.random(in: 0..<1, using: &random) }
        push(Event(at: at, order: 0, flow: number, toB: true, packet: packet))
    }

    private func push(_ event: Event) {
        var event = event
        order += 1
        event.order = order
        heap.append(event)
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func pop() -> Event {
        heap.swapAt(0, heap.count - 1)
        let event = heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, least) {
                least = child
            }
            if least == parent { return event }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        (heap[a].at, heap[a].order) < (heap[b].at, heap[b].order)
    }

    // MARK: What happened

    /// Bytes of messages a flow delivered.
    func received(_ number: Int) -> Int { flows[number].map { $0.received - $0.receivedBefore } ?? 0 }

    /// The same in Mbit/s.
    func throughput(_ number: Int, over time: Duration) -> Double {
        Double(received(number)) * 8 / (time.milliseconds * 1000)
    }

    /// How long packets waited in the queue, on average.
    var meanQueue: Duration { .nanoseconds(queuedPackets > 0 ? queueTime / Int64(queuedPackets) : 0) }

    /// A flow's congestion window, in bytes.
    func window(_ number: Int) -> Int { flows[number]?.a.congestionWindow ?? 0 }

    /// How often a flow reduced its window.
    func reductions(_ number: Int) -> Int { flows[number]?.a.congestion.reductions ?? 0 }
}
