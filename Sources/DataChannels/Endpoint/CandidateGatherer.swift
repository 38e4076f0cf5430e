import ICE
import Logging
import NIOCore
import SwarmBase
import SwarmTransport
import WebRTC

/// Finds out under which addresses the endpoint can be reached, and keeps it so: the host's own, what STUN servers see, what
/// TURN servers lend. Every connection is told, those that are there and those that come.
///
/// Confined to its event loop.
final class CandidateGatherer {
    /// A server, as the configuration names it.
    enum Server: Sendable {
        case stun(STUNLocation)
        case turn(TURNLocation, TURNCredentials)

        /// As the configuration may have written it.
        var uri: String {
            switch self {
            case .stun(let location): "\(location)"
            case .turn(let location, _): "\(location)"
            }
        }
    }

    private struct Relay {
        let location: TURNLocation
        let rank: UInt16
        var isSettled = false
    }

    /// The endpoint as a user of its TURN allocations, so that they last as long as it does.
    private static let endpointUser = TURNUser(0)
    /// How long a description may wait for what the servers say.
    private static let timeLimit = Duration.seconds(3)

    private weak var switchboard: Switchboard?
    private let eventLoop: any EventLoop
    private let port: UInt16
    private let boundTo: IPAddress
    private let includesLoopback: Bool
    private let servers: [Server]
    private let events: EndpointEvents
    private let logger: Logger
    private var stun = STUNBindingClient(entropy: .system)
    private var turn = TURNClient(entropy: .system)
    private let streams: StreamTable<TURNServerID>
    private var relays: [TURNServerID: Relay] = [:]
    private var watcher: LocalAddressWatcher?
    private(set) var candidates: [Candidate] = []
    /// Servers that have not answered and have not failed.
    private var unsettled = 0
    private var askedSTUNServers: Set<TransportAddress> = []
    private(set) var isComplete = false
    private var completionDeadline: Instant?
    private var waiters: [EventLoopPromise<Void>] = []

    init(
        switchboard: Switchboard, port: UInt16, boundTo: IPAddress, servers: [Server], events: EndpointEvents
    ) {
        self.switchboard = switchboard
        self.port = port
        self.boundTo = boundTo
        self.servers = servers
        self.events = events
        eventLoop = switchboard.eventLoop
        includesLoopback = switchboard.configuration.includesLoopback
        logger = switchboard.configuration.logger
        streams = StreamTable(eventLoop: eventLoop)
    }

    private var now: Instant { Instant(eventLoop.now) }

    // MARK: The beginning and the end

    func start() {
        streams.onOpen = { [weak self] id in self?.with { $0.turn.streamOpened(id, now: $0.now) } }
        streams.onBytes = { [weak self] id, bytes in self?.with { $0.turn.handle(stream: bytes, from: id, now: $0.now) }
        }
        streams.onClose = { [weak self] id in self?.with { $0.turn.streamClosed(id, now: $0.now) } }
        if boundTo.isUnspecified {
            let watcher = LocalAddressWatcher(eventLoop: eventLoop) { [weak self] addresses in
                self?.with { $0.addressesChanged(addresses) }
            }
            self.watcher = watcher
            setHostAddresses(watcher.addresses)
        } else {
            setHostAddresses([boundTo])
        }
        unsettled = servers.count
        completionDeadline = now + Self.timeLimit
        for (rank, server) in servers.enumerated() { find(server, rank: UInt16(clamping: rank)) }
        completeIfSettled()
    }

    /// Gives back what servers lend.
    func close(now: Instant) {
        watcher?.stop()
        watcher = nil
        turn.forget(Self.endpointUser, now: now)
        for id in turn.servers { turn.removeServer(id, now: now) }
        flush(now: now)
        streams.closeAll()
        complete()
    }

    /// Completes when every server has answered or failed, or has had its time.
    func completion() -> EventLoopFuture<Void> {
        if isComplete { return eventLoop.makeSucceededVoidFuture() }
        let promise = eventLoop.makePromise(of: Void.self)
        waiters.append(promise)
        return promise.futureResult
    }

    // MARK: Host addresses

    private func setHostAddresses(_ found: [IPAddress]) {
        var addresses = found
        let loopback = IPAddress.v4(0x7f00_0001)
        if includesLoopback, !addresses.contains(loopback) { addresses.append(loopback) }
        // A socket of one family reaches only that one.
        if boundTo == .v4(0) { addresses.removeAll(where: \.isIPv6) }
        let wanted = addresses.map { TransportAddress($0, port: port) }
        for candidate in candidates where candidate.kind == .host && !wanted.contains(candidate.address) {
            take(back: candidate.address)
        }
        for (rank, address) in wanted.enumerated() { add(.host(address, rank: UInt16(clamping: rank))) }
    }

    private func addressesChanged(_ addresses: [IPAddress]) {
        setHostAddresses(addresses)
        // Where the servers see us has changed as well, most likely.
        for candidate in candidates where candidate.kind == .serverReflexive { take(back: candidate.address) }
        stun.refresh(now: now)
        events.report(.addressesChanged(addresses.map(\.description)))
    }

    // MARK: Servers

    private func find(_ server: Server, rank: UInt16) {
        let (host, port): (String, UInt16) =
            switch server {
            case .stun(let location): (location.host, location.port)
            case .turn(let location, _): (location.host, location.port)
            }
        NameResolution.address(of: host, port: port, on: eventLoop).assumeIsolated().whenSuccess {
            [weak self] address in
            self?.with { gatherer in
                if let address {
                    gatherer.found(server, at: address, rank: rank)
                } else {
                    gatherer.settled()
                    gatherer.events.report(.serverFailed(server.uri, "has no address that can be found"))
                }
            }
        }
    }

    private func found(_ server: Server, at address: TransportAddress, rank: UInt16) {
        switch server {
        case .stun:
            guard askedSTUNServers.insert(address).inserted else { return settled() }
            stun.addServer(address, now: now)
            if !stun.serverAddresses.contains(address) { settled() }
        case .turn(let location, let credentials):
            let wanted = ICE.TURNServer(
                address: address, transport: location.transport, credentials: credentials,
                families: .both)
            guard let id = turn.addServer(wanted) else { return settled() }
            relays[id] = Relay(location: location, rank: rank)
            turn.retain(id, by: Self.endpointUser, now: now)
        }
    }

    private func take(_ event: STUNBindingEvent) {
        switch event {
        case .reflexive(let address, let server):
            // One that a server saw before is still in use by those who were told of it, as long as it lasts.
            add(.serverReflexive(address, server: server.address))
            settle(stun: server)
        case .unreachable(let server):
            settle(stun: server)
            events.report(.serverFailed("stun:\(server)", "does not answer"))
        case .mappingChanged(let mapping, _):
            logger.debug("NAT mapping", metadata: ["mapping": "\(mapping)"])
        }
    }

    private func settle(stun server: TransportAddress) {
        if askedSTUNServers.remove(server) != nil { settled() }
    }

    private func take(_ event: TURNEvent) {
        switch event {
        case .allocated(let id, let relayed, let mapped):
            guard let relay = relays[id] else { return }
            add(.relayed(relayed, mapped: mapped, server: relayed.address, rank: relay.rank))
            // A mapping of a TCP connection is of no use to anybody else.
            if relay.location.carrier == .udp {
                add(.serverReflexive(mapped, server: relayed.address, rank: relay.rank))
            }
            settle(turn: id)
        case .lost(_, let relayed):
            take(back: relayed)
        case .failed(let id, let reason):
            settle(turn: id)
            if let relay = relays[id] { events.report(.serverFailed("\(relay.location)", reason.description)) }
        case .connect(let id, let address):
            guard let relay = relays[id] else { return }
            // The certificate names the host, not the address.
            let isTLS = relay.location.carrier == .tls
            streams.open(
                id, host: isTLS ? relay.location.host : "\(address.address)", port: address.port, usesTLS: isTLS)
        case .disconnect(let id):
            streams.close(id)
        case .peerRefused:
            break
        }
    }

    private func settle(turn id: TURNServerID) {
        guard relays[id]?.isSettled == false else { return }
        relays[id]?.isSettled = true
        settled()
    }

    private func settled() {
        unsettled -= 1
        completeIfSettled()
    }

    private func completeIfSettled() {
        if unsettled <= 0 { complete() }
    }

    private func complete() {
        guard !isComplete else { return }
        isComplete = true
        completionDeadline = nil
        forEachConnection { connection in
            connection.core.endOfLocalCandidates(now: now)
            connection.report(nil)
        }
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.succeed() }
    }

    // MARK: Candidates

    /// Tells a new connection what is known.
    func introduce(_ connection: Connection) {
        for candidate in candidates { connection.core.addLocalCandidate(candidate) }
        if isComplete { connection.core.endOfLocalCandidates(now: now) }
    }

    private func add(_ candidate: Candidate) {
        guard !candidates.contains(where: { $0.address == candidate.address && $0.kind == candidate.kind }) else {
            return
        }
        candidates.append(candidate)
        forEachConnection { connection in
            connection.core.addLocalCandidate(candidate)
            connection.report(candidate)
        }
    }

    private func take(back address: TransportAddress) {
        candidates.removeAll { $0.address == address }
        forEachConnection { $0.core.removeLocalCandidate(address, now: now) }
    }

    private func forEachConnection(_ body: (Connection) -> Void) {
        guard let switchboard else { return }
        for connection in switchboard.connections.values {
            body(connection)
            switchboard.touch(connection)
        }
    }

    // MARK: The loop

    /// Takes a datagram that a TURN server has sent.
    ///
    /// - Returns: `false` when it is for somebody else.
    func handle(_ datagram: [UInt8], from source: TransportAddress) -> Bool {
        guard !relays.isEmpty, turn.handle(datagram: datagram, from: source, now: now) else { return false }
        receiveRelayed()
        return true
    }

    /// Takes an answer of a STUN server.
    func handle(stun datagram: [UInt8], from source: TransportAddress, now: Instant) {
        stun.handle(stun: datagram, from: source, now: now)
    }

    /// Sends a connection's datagram from a relayed address.
    func relay(_ transmit: Transmit, for connection: UInt64, now: Instant) {
        turn.send(transmit, for: TURNUser(connection), now: now)
    }

    /// A connection is over.
    func forget(_ connection: UInt64, now: Instant) {
        if !relays.isEmpty { turn.forget(TURNUser(connection), now: now) }
    }

    /// When ``handleTimeout(now:)`` is due.
    var nextTimeout: Instant? {
        .earlier(.earlier(stun.nextTimeout, turn.nextTimeout), completionDeadline)
    }

    func handleTimeout(now: Instant) {
        if let due = stun.nextTimeout, due <= now { stun.handleTimeout(now: now) }
        if let due = turn.nextTimeout, due <= now { turn.handleTimeout(now: now) }
        if let due = completionDeadline, due <= now { complete() }
    }

    /// Carries out what the clients want.
    func flush(now: Instant) {
        while let event = stun.pollEvent() { take(event) }
        while let transmit = stun.pollTransmit() { switchboard?.send(transmit) }
        guard !relays.isEmpty else { return }
        receiveRelayed()
        while let event = turn.pollEvent() { take(event) }
        while let transmit = turn.pollTransmit() { switchboard?.send(transmit) }
        while let (id, bytes) = turn.pollStream() { streams.send(bytes, on: id) }
    }

    /// What peers have sent to our relayed addresses.
    private func receiveRelayed() {
        while let received = turn.pollReceived() {
            switchboard?.route(received.payload, from: received.peer, via: received.relay)
        }
    }

    private func with(_ change: (CandidateGatherer) -> Void) {
        change(self)
        switchboard?.flush()
    }
}
