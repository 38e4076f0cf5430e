import Gun
import JSON
import Logging
import NIOCore
import SwarmBase
import SwarmTransport
import Tracker

/// Everything of a supernode that lives on its event loop.
final class SupernodeLoop {
    /// How many numbers are tried until one is free for TCP and UDP.
    private static let portAttempts = 32

    private let eventLoop: any EventLoop
    private let configuration: SupernodeConfiguration
    private let store: SQLiteStore?
    /// What an earlier run knew of the DHT.
    private let savedTable: [UInt8]
    private let tls: ServerTLS?
    private let logger: Logger
    private let startedAt: Instant
    let relay: RelayHost
    let tracker: TrackerHost
    private let peers: RelayPeers
    private(set) var stun: STUNHost?
    private(set) var server: HTTPServer?
    private let webFiles = WebFiles()
    private var history = StatusHistory()
    private var sampling: LoopTimer?
    private var isStopped = false

    init(
        eventLoop: any EventLoop, configuration: SupernodeConfiguration, store: SQLiteStore?, log: ChangeLog?,
        savedTable: [UInt8], tls: ServerTLS?, logger: Logger
    ) {
        self.eventLoop = eventLoop
        self.configuration = configuration
        self.store = store
        self.savedTable = savedTable
        self.tls = tls
        self.logger = logger
        startedAt = Instant(eventLoop.now)
        relay = RelayHost(
            eventLoop: eventLoop, configuration: configuration.relay, store: store, peers: configuration.peers,
            log: log,
            logger: logger)
        tracker = TrackerHost(eventLoop: eventLoop, configuration: configuration.tracker)
        peers = RelayPeers(urls: configuration.peers, relay: relay, eventLoop: eventLoop, logger: logger)
    }

    /// Takes the ports.
    ///
    /// - Returns: their number.
    func start() -> EventLoopFuture<UInt16> {
        bind(attemptsLeft: configuration.port == 0 ? Self.portAttempts : 1).map { port in
            self.peers.start()
            self.sampling = LoopTimer(eventLoop: self.eventLoop) { [weak self] in self?.sample() }
            self.sample()
            return port
        }.nonisolated()
    }

    /// UDP first: whoever connects to a TCP port that is given up again would be cut off.
    private func bind(attemptsLeft: Int) -> EventLoopFuture<UInt16>.Isolated {
        let udp = UDPPort(
            eventLoop: eventLoop,
            configuration: UDPPortConfiguration(host: configuration.host, port: configuration.port))
        return udp.bind().assumeIsolated().flatMap { address in
            let server = self.makeServer(port: address.port)
            return server.start().assumeIsolated().flatMapThrowing { _ in
                guard !self.isStopped else {
                    _ = server.stop()
                    throw SupernodeError.alreadyUsed
                }
                self.server = server
                let stun = STUNHost(port: udp, limits: self.configuration.stunRequestsPerSecond)
                self.stun = stun
                if let configuration = self.configuration.dht {
                    let dht = DHTHost(
                        port: udp, configuration: configuration, bootstrap: self.configuration.dhtBootstrap,
                        saved: self.savedTable
                    ) { [store = self.store] in KeptDHTTable.keep($0, in: store) }
                    stun.dht = dht
                    dht.start()
                }
                return address.port
            }.nonisolated()
        }.flatMapError { error in
            udp.close()
            if case HTTPServerError.addressInUse = error, attemptsLeft > 1 {
                return self.bind(attemptsLeft: attemptsLeft - 1).nonisolated()
            }
            return self.eventLoop.makeFailedFuture(Self.supernodeError(error))
        }
    }

    private static func supernodeError(_ error: any Error) -> SupernodeError {
        switch error {
        case let known as SupernodeError: known
        case HTTPServerError.addressInUse(let port), UDPPortError.addressInUse(let port): .portInUse(port)
        default: .cannotBind(String(describing: error))
        }
    }

    private func makeServer(port: UInt16) -> HTTPServer {
        var http = HTTPServerConfiguration(host: configuration.host, port: port, tls: tls)
        http.maximumConnections = configuration.maximumConnections
        http.maximumConnectionsPerAddress = configuration.maximumConnectionsPerAddress
        http.maximumReceivingBytes = configuration.maximumReceivingBytes
        http.webSocket.maximumMessageBytes = configuration.relay.limits.frame.bytes
        // The relay keeps its own queue for each link and says when a reader is too slow; this is the last resort.
        http.webSocket.maximumBufferedBytes = configuration.relay.queuedBytesPerLink
        http.webSocket.pingInterval = .seconds(30) ... .seconds(40)
        return HTTPServer(eventLoop: eventLoop, configuration: http) { [weak self] request in
            self?.answer(request)
        } upgrades: { [weak self] request in
            guard let self else { return .refuse(status: 503) }
            // Exactly `/gun`, with nothing behind it (gun.md §4); a tracker may have any path (webtorrent.md §4.1).
            if request.path == "/gun", request.query == nil { return .accept { self.relay.accept($0) } }
            return .accept { self.tracker.accept($0) }
        }
    }

    // MARK: Routes

    private func answer(_ request: HTTPRequest) -> HTTPResponse? {
        switch request.path {
        case "/status.json":
            return statusResponse(to: request)
        case "/metrics":
            return HTTPResponse(metrics, type: "text/plain; version=0.0.4; charset=utf-8")
        case "/healthz":
            return HTTPResponse(status: relay.isHealthy ? 200 : 503, relay.isHealthy ? "ok\n" : "the store fails\n")
        default:
            return webFiles.response(to: request)
        }
    }

    private func statusResponse(to request: HTTPRequest) -> HTTPResponse {
        switch StatusAccess(token: configuration.statusToken).decide(request) {
        case .granted:
            return HTTPResponse(
                status: 200, headers: [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
                body: statusReport.json.serialized())
        case .tokenNeeded:
            return HTTPResponse(
                status: 401, "The token is needed: Authorization: Bearer TOKEN.\n",
                headers: [("WWW-Authenticate", "Bearer"), ("Cache-Control", "no-store")])
        case .hostOnly:
            return HTTPResponse(
                status: 403, "Shown on this host only: start serve with --status-token to see it from elsewhere.\n",
                headers: [("Cache-Control", "no-store")])
        }
    }

    private var statusReport: StatusReport {
        StatusReport(
            status: status, relay: relay.core.counters, relayMemory: relay.core.memoryBytes,
            tracker: tracker.core.counters, http: server?.counters ?? .init(), residentBytes: ResidentMemory.bytes,
            history: history,
            talkers: relay.connections.map { ("relay", $0) } + tracker.connections.map { ("tracker", $0) },
            now: Instant(eventLoop.now))
    }

    /// Notes the counts of now, and again in a while.
    private func sample() {
        guard !isStopped else { return }
        let now = Instant(eventLoop.now)
        let relay = relay.core.counters
        history.note(
            StatusHistory.Sample(
                at: now, announces: tracker.core.counters.announces, puts: relay.puts,
                bytesReceived: relay.bytesReceived, bytesSent: relay.bytesSent,
                requests: server?.counters.requests ?? 0, connections: server?.connectionCount ?? 0,
                residentBytes: ResidentMemory.bytes))
        sampling?.schedule(at: now + StatusHistory.interval)
    }

    var status: SupernodeStatus {
        SupernodeStatus(
            uptime: Instant(eventLoop.now) - startedAt, gunLinks: relay.core.linkCount,
            subscribedSouls: relay.core.subscribedSoulCount, trackerLinks: tracker.core.linkCount,
            swarms: tracker.core.swarmCount, trackerPeers: tracker.core.peerCount,
            connections: server?.connectionCount ?? 0, stunRequests: stun?.answered ?? 0, isHealthy: relay.isHealthy)
    }

    private var metrics: String {
        MetricsText.write(
            status: status, core: relay.core, expiredInStore: relay.expiredInStore,
            tracker: tracker.core.counters, http: server?.counters ?? .init(), udp: stun?.port.counters ?? .init(),
            stunRefused: stun?.refused ?? 0, dht: stun?.dht?.node, storeFailures: relay.storeFailures)
    }

    // MARK: The end

    /// Closes the connections, then waits for what is on its way to the store.
    ///
    /// - Returns: the store, which is not closed yet: that blocks.
    func stop() -> EventLoopFuture<SQLiteStore?> {
        isStopped = true
        sampling?.cancel()
        peers.stop()
        stun?.dht?.stop()
        stun?.port.close()
        let closed = server?.stop() ?? eventLoop.makeSucceededVoidFuture()
        return closed.assumeIsolated().flatMap { self.relay.stop() }.map {
            self.tracker.stop()
            return self.store
        }.nonisolated()
    }
}
