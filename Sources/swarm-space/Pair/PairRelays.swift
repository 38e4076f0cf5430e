import ICE
import NIOCore
import SwarmBase
import SwarmTransport

/// A TURN server as `pair` was told of it.
struct PairTURNServer: Sendable {
    var location: TURNLocation
    var server: TURNServer
}

/// The TURN client of `pair`, with the TCP and TLS connections that it needs.
///
/// Confined to its event loop.
final class PairRelays {
    enum Event {
        case candidate(Candidate)
        case lost(TransportAddress)
        /// Something that the user should know.
        case note(String)
    }

    private struct Server {
        let location: TURNLocation
        let rank: UInt16
        var isSettled = false
        var stream: StreamConnection?
    }

    /// Called when a stream has brought or changed something.
    var onInput: (() -> Void)?

    private let eventLoop: any EventLoop
    private let user = TURNUser(0)
    private var client = TURNClient(entropy: .system)
    private var servers: [TURNServerID: Server] = [:]
    private var events: [Event] = []
    /// Messages beyond this are left out: a datagram late by seconds is worth nothing.
    private let maximumStreamBacklog = 1 << 20

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    private var now: Instant { Instant(eventLoop.now) }

    /// Asks a server for an address.
    ///
    /// - Parameter rank: 0 for the one to be tried first.
    func add(_ server: PairTURNServer, rank: UInt16) {
        guard let id = client.addServer(server.server) else { return }
        servers[id] = Server(location: server.location, rank: rank)
        client.retain(id, by: user, now: now)
        carry()
    }

    /// Whether every server has given an address, or has failed to for now.
    var areSettled: Bool { servers.values.allSatisfy(\.isSettled) }

    var nextTimeout: Instant? { client.nextTimeout }

    func handleTimeout() {
        client.handleTimeout(now: now)
        carry()
    }

    func handle(datagram: [UInt8], from source: TransportAddress) -> Bool {
        guard client.handle(datagram: datagram, from: source, now: now) else { return false }
        carry()
        return true
    }

    func send(_ transmit: Transmit) {
        client.send(transmit, for: user, now: now)
        carry()
    }

    func pollTransmit() -> Transmit? { client.pollTransmit() }
    func pollReceived() -> TURNReceived? { client.pollReceived() }
    func pollEvent() -> Event? { events.isEmpty ? nil : events.removeFirst() }

    /// Gives the addresses back.
    func close() {
        onInput = nil
        client.forget(user, now: now)
        carry()
        for server in servers.values { server.stream?.close() }
    }

    /// Carries bytes to the streams, and does what the client asks for.
    private func carry() {
        while let event = client.pollEvent() { take(event) }
        while let (id, bytes) = client.pollStream() {
            guard let stream = servers[id]?.stream, stream.bufferedBytes < maximumStreamBacklog else { continue }
            stream.send(bytes)
        }
    }

    private func take(_ event: TURNEvent) {
        switch event {
        case .allocated(let id, let relayed, let mapped):
            guard let server = servers[id] else { return }
            servers[id]?.isSettled = true
            events.append(
                .candidate(.relayed(relayed, mapped: mapped, server: relayed.address, rank: server.rank)))
            // A mapping of a TCP connection is of no use to anybody else.
            if server.location.carrier == .udp {
                events.append(.candidate(.serverReflexive(mapped, server: relayed.address, rank: server.rank)))
            }
        case .lost(_, let relayed):
            events.append(.lost(relayed))
        case .failed(let id, let reason):
            guard let server = servers[id] else { return }
            servers[id]?.isSettled = true
            events.append(.note("TURN server \(server.location.host):\(server.location.port): \(reason.text)"))
        case .connect(let id, let address):
            connect(id, to: address)
        case .disconnect(let id):
            servers[id]?.stream?.close()
            servers[id]?.stream = nil
        case .peerRefused:
            break
        }
    }

    private func connect(_ id: TURNServerID, to address: TransportAddress) {
        guard let server = servers[id] else { return }
        let stream = StreamConnection(eventLoop: eventLoop)
        servers[id]?.stream = stream
        stream.onOpen = { [weak self] in self?.with { $0.client.streamOpened(id, now: $0.now) } }
        stream.onBytes = { [weak self] bytes in self?.with { $0.client.handle(stream: bytes, from: id, now: $0.now) } }
        stream.onClose = { [weak self] in
            self?.with {
                $0.servers[id]?.stream = nil
                $0.client.streamClosed(id, now: $0.now)
            }
        }
        guard server.location.carrier == .tls else {
            return stream.open(host: "\(address.address)", port: Int(address.port))
        }
        // Reading the system's roots takes long; once is enough, and nothing else happens yet.
        switch ClientTLS.system {
        case .success(let tls): stream.open(host: server.location.host, port: server.location.port, tls: tls)
        case .failure: stream.onClose?()
        }
    }

    private func with(_ change: (PairRelays) -> Void) {
        change(self)
        carry()
        onInput?()
    }
}

extension TURNFailure {
    /// The failure in words.
    var text: String {
        switch self {
        case .unreachable: "does not answer"
        case .disconnected: "cannot be connected to, or hung up"
        case .unauthorized: "refuses the user name or password"
        case .quotaReached: "has given this user all it may have"
        case .insufficientCapacity: "has no address left"
        case .allocationMismatch: "holds another allocation for this port"
        case .refused(let code): "refused (\(code))"
        }
    }
}
