import CVirtualClock
import SwarmBase
import Testing

@testable import DTLS

/// Two transports with a seeded bad path between them, on virtual time.
struct LossyPair: ~Copyable {
    var client: DTLSTransport
    var server: DTLSTransport
    var clientEvents: [DTLSEvent] = []
    var serverEvents: [DTLSEvent] = []
    var clientReceived: [[UInt8]] = []
    var serverReceived: [[UInt8]] = []
    /// Probabilities in percent.
    var loss = 0
    var duplication = 0
    var reordering = 0
    private(set) var datagrams: [[UInt8]] = []
    private(set) var now = Instant(nanoseconds: 0)
    private var generator: SeededGenerator
    private var inFlight: [(at: Instant, toServer: Bool, bytes: [UInt8])] = []

    init(
        seed: UInt64 = 1, clientExpects: [DTLSFingerprint]? = nil, serverExpects: [DTLSFingerprint]? = nil,
        configuration: DTLSConfiguration = DTLSConfiguration()
    ) throws {
        let one = try DTLSCertificate()
        let two = try DTLSCertificate()
        let client = try DTLSTransport(
            role: .client, certificate: one, expected: clientExpects ?? [two.fingerprint], configuration: configuration)
        let server = try DTLSTransport(
            role: .server, certificate: two, expected: serverExpects ?? [one.fingerprint], configuration: configuration)
        self.client = client
        self.server = server
        generator = SeededGenerator(seed: seed)
        swarm_virtual_clock_set(1_000_000_000_000)
    }

    deinit { swarm_virtual_clock_set(-1) }

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

    private mutating func put(_ bytes: [UInt8], toServer: Bool) {
        datagrams.append(bytes)
        let copies = chance(duplication) ? 2 : 1
        for _ in 0..<copies where !chance(loss) {
            let delay =
                chance(reordering)
                ? Duration.milliseconds(Int.random(in: 11...80, using: &generator)) : .milliseconds(10)
            inFlight.append((now + delay, toServer, bytes))
        }
    }

    mutating func drain() {
        while let bytes = client.pollTransmit() { put(bytes, toServer: true) }
        while let bytes = server.pollTransmit() { put(bytes, toServer: false) }
        while let record = client.pollReceived() { clientReceived.append(record) }
        while let record = server.pollReceived() { serverReceived.append(record) }
        while let event = client.pollEvent() { clientEvents.append(event) }
        while let event = server.pollEvent() { serverEvents.append(event) }
    }

    mutating func start() {
        server.start(now: now)
        client.start(now: now)
        drain()
    }

    /// Runs until nothing is in flight and no timer is set, or `limit` of virtual time has passed.
    mutating func run(for limit: Duration = .seconds(60)) {
        let end = now + limit
        drain()
        while true {
            let arrival = inFlight.map(\.at).min()
            let timer = Instant?.earlier(client.nextTimeout, server.nextTimeout)
            guard let next = Instant?.earlier(arrival, timer), next <= end else { break }
            now = max(now, next)
            swarm_virtual_clock_set(1_000_000_000_000 + now.nanoseconds / 1000)
            if let index = inFlight.firstIndex(where: { $0.at <= now }) {
                let item = inFlight.remove(at: index)
                if item.toServer {
                    server.handle(datagram: item.bytes, now: now)
                } else {
                    client.handle(datagram: item.bytes, now: now)
                }
            } else {
                client.handleTimeout(now: now)
                server.handleTimeout(now: now)
            }
            drain()
        }
    }
}
