import SwarmBase
import Testing

@testable import ICE

/// A ``TURNClient`` and a ``TURNServerModel`` with virtual time and a network that may lose and reorder.
struct TURNBench {
    static let socket = TransportAddress(.v4(0xc000_0201), port: 4000)  // 192.0.2.1
    static let peer = TransportAddress(.v4(0xc000_0209), port: 9000)
    static let session = TURNUser(7)

    var client: TURNClient
    var server = TURNServerModel()
    var now = Instant.zero
    var random: SeededGenerator
    /// Chance in percent that a datagram between client and server is lost.
    var loss = 0
    var isServerDead = false
    var events: [TURNEvent] = []
    var received: [TURNReceived] = []
    /// What came to peers, and from which relayed address.
    var atPeers: [(from: TransportAddress, to: TransportAddress, payload: [UInt8])] = []
    /// Bytes that went from and to the client, overheads included.
    var sent: [[UInt8]] = []
    /// Sizes in which a stream is cut; `nil` does not cut.
    var cut: ClosedRange<Int>?
    private var open: Set<TURNServerID> = []
    private var toClient: [(at: Instant, from: TransportAddress, bytes: [UInt8])] = []

    init(seed: UInt64 = 1, configuration: TURNClientConfiguration = .init()) {
        client = TURNClient(configuration: configuration, entropy: .seed(seed))
        random = SeededGenerator(seed: seed)
    }

    static func configuration(
        _ transport: TURNTransport = .udp, families: TURNAddressFamilies = .ipv4, password: String = "pässword"
    ) throws -> TURNServer {
        TURNServer(
            address: TURNServerModel.address, transport: transport,
            credentials: try #require(TURNCredentials(username: "user", password: password)), families: families)
    }

    /// Adds the server and retains it.
    mutating func begin(
        _ transport: TURNTransport = .udp, families: TURNAddressFamilies = .ipv4, password: String = "pässword"
    ) throws -> TURNServerID {
        let id = try #require(
            client.addServer(try Self.configuration(transport, families: families, password: password)))
        client.retain(id, by: Self.session, now: now)
        run(for: .milliseconds(100))
        return id
    }

    mutating func send(
        _ payload: [UInt8], to peer: TransportAddress = Self.peer, via relay: TransportAddress,
        user: TURNUser = Self.session
    ) {
        client.send(Transmit(to: peer, payload: payload, via: relay), for: user, now: now)
        drain()
    }

    mutating func peerSends(_ payload: [UInt8], from peer: TransportAddress = Self.peer, to relay: TransportAddress) {
        put(server.handlePeer(payload, from: peer, to: relay, now: now))
    }

    private mutating func put(_ outputs: [TURNServerModel.Output]) {
        for output in outputs {
            switch output {
            case .client(_, let bytes):
                if Int.random(in: 0..<100, using: &random) < loss { continue }
                toClient.append((now + .milliseconds(10), TURNServerModel.address, bytes))
            case .peer(let from, let to, let payload): atPeers.append((from, to, payload))
            }
        }
    }

    mutating func drain() {
        while let transmit = client.pollTransmit() {
            sent.append(transmit.payload)
            guard !isServerDead, Int.random(in: 0..<100, using: &random) >= loss else { continue }
            put(server.handle(transmit.payload, from: Self.socket, now: now))
        }
        while let (_, bytes) = client.pollStream() {
            sent.append(bytes)
            if !isServerDead { put(server.handle(bytes, from: Self.socket, now: now)) }
        }
        while let datagram = client.pollReceived() { received.append(datagram) }
        while let event = client.pollEvent() {
            events.append(event)
            switch event {
            case .connect(let id, _):
                open.insert(id)
                client.streamOpened(id, now: now)
                drain()
            case .disconnect(let id): open.remove(id)
            default: break
            }
        }
    }

    mutating func run(for duration: Duration) {
        let end = now + duration
        drain()
        var steps = 0
        while let next = Instant?.earlier(client.nextTimeout, toClient.first?.at), next <= end {
            steps = next > now ? 0 : steps + 1
            guard steps < 1000 else {
                Issue.record("time stands still at \(now)")
                return
            }
            now = max(now, next)
            if let first = toClient.first, first.at <= now {
                toClient.removeFirst()
                deliver(first.bytes, from: first.from)
            } else {
                client.handleTimeout(now: now)
            }
            drain()
        }
        now = end
    }

    private mutating func deliver(_ bytes: [UInt8], from source: TransportAddress) {
        guard let id = open.first else {
            _ = client.handle(datagram: bytes, from: source, now: now)
            return
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = cut.map { Int.random(in: $0, using: &random) } ?? rest.count
            client.handle(stream: Array(rest.prefix(count)), from: id, now: now)
            rest = rest.dropFirst(count)
        }
    }

    var relayed: [TransportAddress] {
        events.compactMap { if case .allocated(_, let relayed, _) = $0 { relayed } else { nil } }
    }

    var failures: [TURNFailure] {
        events.compactMap { if case .failed(_, let reason) = $0 { reason } else { nil } }
    }
}
