import CVirtualClock
import DTLS
import ICE
import SCTP
import SwarmBase
import Testing

@testable import WebRTC

/// Two connections with a seeded virtual network between them. Time is virtual for OpenSSL as well.
struct PeerPair: ~Copyable {
    enum Side { case a, b }

    /// What the network does to datagrams; chances in percent.
    struct Link {
        var latency = Duration.milliseconds(10)
        var jitter = Duration.zero
        var loss = 0
        var duplication = 0
        /// Nothing passes.
        var isCut = false
        /// Nothing passes between the two sockets.
        var isDirectCut = false
    }

    var a: PeerConnection
    var b: PeerConnection
    var link = Link()
    /// Where each side is seen by the other.
    var addressA = TransportAddress(.v4(0x0a00_0001), port: 5001)
    var addressB = TransportAddress(.v4(0x0a00_0002), port: 5002)
    /// The address that a TURN server lends to `a`: what `a` sends by it comes from there, what `b` sends there comes to
    /// `a` by it.
    var relayA: TransportAddress?
    private(set) var largestDatagram = 0
    /// Of those that may be fragmented on their way.
    private(set) var largestFragmentable = 0
    var eventsA: [PeerConnectionEvent] = []
    var eventsB: [PeerConnectionEvent] = []
    private(set) var now = Instant.zero
    private(set) var datagrams = 0
    let certificateA: DTLSCertificate
    let certificateB: DTLSCertificate
    private var generator: SeededGenerator
    /// A binary heap by time, then by order of sending.
    private var inFlight: [Flight] = []
    private var sequence = 0

    private struct Flight {
        var at: Instant
        var order: Int
        var to: Side
        var source: TransportAddress
        var destination: TransportAddress
        var bytes: [UInt8]

        static func < (a: Flight, b: Flight) -> Bool { (a.at, a.order) < (b.at, b.order) }
    }

    static let sharedA = try? DTLSCertificate()
    static let sharedB = try? DTLSCertificate()

    init(
        seed: UInt64 = 1, configurationA: PeerConnectionConfiguration = PeerConnectionConfiguration(),
        configurationB: PeerConnectionConfiguration = PeerConnectionConfiguration()
    ) throws {
        let certificateA = try #require(Self.sharedA)
        let certificateB = try #require(Self.sharedB)
        swarm_virtual_clock_set(1_000_000_000_000)
        a = PeerConnection(
            configuration: configurationA, certificate: certificateA, entropy: .seed(seed), now: .zero)
        b = PeerConnection(
            configuration: configurationB, certificate: certificateB, entropy: .seed(seed &+ 1_000_003), now: .zero)
        self.certificateA = certificateA
        self.certificateB = certificateB
        generator = SeededGenerator(seed: seed)
        a.addLocalCandidate(.host(addressA))
        b.addLocalCandidate(.host(addressB))
    }

    deinit { swarm_virtual_clock_set(-1) }

    // MARK: Signaling

    /// Offer of `a`, answer of `b`, each `delay` on the way.
    mutating func negotiate(restart: Bool = false, delay: Duration = .zero) throws {
        let offer = try a.createOffer(restart: restart, now: now)
        pass(delay)
        let answer = try b.accept(offer: try SessionDescription(kind: .offer, parsing: offer.sdp), now: now)
        pass(delay)
        try a.accept(answer: try SessionDescription(kind: .answer, parsing: answer.sdp), now: now)
        drain()
    }

    private mutating func pass(_ delay: Duration) {
        if delay > .zero { run(for: delay) } else { drain() }
    }

    /// Negotiates and runs until both sides are connected.
    mutating func connect() throws {
        try negotiate()
        run(for: .seconds(30)) { $0.isConnected }
        #expect(isConnected == true)
    }

    var isConnected: Bool { a.state == .connected && b.state == .connected }

    // MARK: The world

    mutating func drain() {
        var moved = true
        while moved {
            moved = false
            while let transmit = a.pollTransmit() {
                put(transmit, from: .a)
                moved = true
            }
            while let transmit = b.pollTransmit() {
                put(transmit, from: .b)
                moved = true
            }
            while let event = a.pollEvent() {
                eventsA.append(event)
                moved = true
            }
            while let event = b.pollEvent() {
                eventsB.append(event)
                moved = true
            }
        }
    }

    private mutating func put(_ transmit: Transmit, from side: Side) {
        datagrams += 1
        largestDatagram = max(largestDatagram, transmit.payload.count)
        if !transmit.forbidsFragmentation { largestFragmentable = max(largestFragmentable, transmit.payload.count) }
        let isRelayed = transmit.relay != nil || transmit.destination == relayA
        guard !link.isCut, isRelayed || !link.isDirectCut else { return }
        let copies = chance(link.duplication) ? 2 : 1
        for _ in 0..<copies where !chance(link.loss) {
            var delay = link.latency
            if link.jitter > .zero { delay += link.jitter * Double.random(in: 0..<1, using: &generator) }
            sequence += 1
            push(
                Flight(
                    at: now + delay, order: sequence, to: side == .a ? .b : .a,
                    source: transmit.relay ?? (side == .a ? addressA : addressB), destination: transmit.destination,
                    bytes: transmit.payload))
        }
    }

    private mutating func chance(_ percent: Int) -> Bool {
        percent > 0 && Int.random(in: 0..<100, using: &generator) < percent
    }

    private mutating func deliver(_ flight: Flight) {
        if flight.to == .a, let relayA, flight.destination == relayA {
            a.handle(datagram: flight.bytes, from: flight.source, via: relayA, now: now)
            return
        }
        guard flight.destination == (flight.to == .a ? addressA : addressB) else { return }
        switch flight.to {
        case .a: a.handle(datagram: flight.bytes, from: flight.source, now: now)
        case .b: b.handle(datagram: flight.bytes, from: flight.source, now: now)
        }
    }

    /// Runs for a time, or until a condition holds.
    mutating func run(for limit: Duration, until isDone: (borrowing PeerPair) -> Bool = { _ in false }) {
        let end = now + limit
        drain()
        var stalled = 0
        while !isDone(self) {
            let timer = Instant?.earlier(a.nextTimeout, b.nextTimeout)
            guard let next = Instant?.earlier(inFlight.first?.at, timer), next <= end else {
                move(to: end)
                return
            }
            // A timer that is due again and again without time passing is a defect.
            stalled = next <= now ? stalled + 1 : 0
            guard stalled < 200_000 else {
                Issue.record("time stands still at \(now), timers \(String(describing: timer))")
                return
            }
            move(to: max(now, next))
            if let flight = inFlight.first, flight.at <= now {
                pop()
                deliver(flight)
            } else {
                if let due = a.nextTimeout, due <= now { a.handleTimeout(now: now) }
                if let due = b.nextTimeout, due <= now { b.handleTimeout(now: now) }
            }
            drain()
        }
    }

    private mutating func move(to instant: Instant) {
        now = instant
        swarm_virtual_clock_set(1_000_000_000_000 + now.nanoseconds / 1000)
    }

    private mutating func push(_ flight: Flight) {
        inFlight.append(flight)
        var child = inFlight.count - 1
        while child > 0, inFlight[child] < inFlight[(child - 1) / 2] {
            inFlight.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() {
        guard let last = inFlight.popLast(), !inFlight.isEmpty else { return }
        inFlight[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < inFlight.count && inFlight[child] < inFlight[least] {
                least = child
            }
            if least == parent { return }
            inFlight.swapAt(least, parent)
            parent = least
        }
    }
}

extension [PeerConnectionEvent] {
    var states: [PeerConnectionState] {
        compactMap { if case .stateChanged(let state) = $0 { state } else { nil } }
    }

    var messages: [[UInt8]] {
        compactMap { if case .message(_, _, let payload) = $0 { payload } else { nil } }
    }

    var opened: [DataChannelHandle] {
        compactMap { if case .channelOpened(let handle, _, _) = $0 { handle } else { nil } }
    }

    var closed: [DataChannelHandle] {
        compactMap { if case .channelClosed(let handle) = $0 { handle } else { nil } }
    }
}
