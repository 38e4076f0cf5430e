import ICE
import Logging
import NIOCore
import NIOPosix
import SCTP
import SwarmBase
import SwarmTransport
import WebRTC

/// The event loop's side of an endpoint: one UDP port, and who a datagram is for.
///
/// Work is done for connections that something has happened to, never for all of them: a datagram, a due deadline or a
/// command *touches* a connection, and at the end of the turn the touched ones are carried on.
///
/// Confined to its event loop.
final class Switchboard {
    let eventLoop: any EventLoop
    let configuration: EndpointConfiguration
    let certificate: EndpointCertificate
    private(set) var connections: [UInt64: Connection] = [:]
    /// Raised by users on other threads.
    let pollingInterrupt: PollingInterrupt
    private let port: UDPPort
    private var router = DatagramRouter<UInt64>()
    /// Who had the last datagram that was not STUN: mostly the next one is for the same connection.
    private var lastSource: TransportAddress?
    private weak var lastConnection: Connection?
    private var deadlines = WakeQueue<Connection>()
    private var timer: LoopTimer?
    private var touched: [Connection] = []
    /// Connections that have more to send than was in order in this turn.
    private var unfinished: [Connection] = []
    private var isFlushing = false
    /// Datagrams are being handed out: at their end comes a flush.
    private var isReading = false
    private var isFlushScheduled = false
    private var nextID: UInt64 = 1
    private(set) var isClosed = false
    var candidates: CandidateGatherer?

    init(
        eventLoop: any EventLoop, configuration: EndpointConfiguration, certificate: EndpointCertificate,
        pollingInterrupt: PollingInterrupt
    ) {
        self.eventLoop = eventLoop
        self.pollingInterrupt = pollingInterrupt
        self.configuration = configuration
        self.certificate = certificate
        var settings = UDPPortConfiguration(
            host: configuration.host.flatMap { IPAddress($0) }, port: configuration.port)
        // Where there is one processor only, whoever polls keeps the other side from answering.
        if System.coreCount > 1 { settings.busyPollingLimit = configuration.busyPollingLimit }
        port = UDPPort(eventLoop: eventLoop, configuration: settings, pollingInterrupt: pollingInterrupt)
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.timeout() }
    }

    var now: Instant { Instant(eventLoop.now) }

    /// What passed through the port.
    var counters: UDPPortCounters { port.counters }

    // MARK: The beginning

    /// Binds the port and gathers candidates.
    ///
    /// - Returns: the number of the port; fails with `UDPPortError`.
    func start(servers: [CandidateGatherer.Server], events: EndpointEvents) -> EventLoopFuture<UInt16> {
        eventLoop.assertInEventLoop()
        port.onDatagram = { [weak self] datagram, source in self?.received(datagram, from: source) }
        port.onReadComplete = { [weak self] in self?.flush() }
        return port.bind().assumeIsolated().map { address in
            self.port.onClose = { [weak self] in self?.portClosed() }
            let gatherer = CandidateGatherer(
                switchboard: self, port: address.port, boundTo: address.address, servers: servers, events: events)
            self.candidates = gatherer
            gatherer.start()
            self.flush()
            return address.port
        }.nonisolated()
    }

    // MARK: Connections

    /// Makes a connection that waits for an offer, its own or the peer's.
    func makeConnection() throws(DataChannelsError) -> Connection {
        guard !isClosed else { throw .closed }
        guard connections.count < configuration.maximumConnections else { throw .limitReached }
        var settings = PeerConnectionConfiguration()
        settings.sctp.maxMessageSize = configuration.maximumMessageSize
        settings.sctp.maxProbedPacketSize = SCTPConfiguration.largestUsefulPacketSize
        settings.mayBeRelayed = !configuration.turnServers.isEmpty
        let core = WebRTC.PeerConnection(
            configuration: settings, certificate: certificate.certificate, entropy: .system, now: now)
        let connection = Connection(
            id: nextID, core: core, switchboard: self, eventLoop: eventLoop, configuration: configuration)
        nextID += 1
        connections[connection.id] = connection
        candidates?.introduce(connection)
        touch(connection)
        return connection
    }

    /// Notes that something has happened to a connection; the work is done at the end of the turn.
    func touch(_ connection: Connection) {
        guard !connection.isTouched else { return }
        connection.isTouched = true
        touched.append(connection)
        scheduleFlush()
    }

    private func scheduleFlush() {
        guard !isFlushing, !isReading, !isFlushScheduled else { return }
        isFlushScheduled = true
        eventLoop.assumeIsolated().execute { [weak self] in self?.flush() }
    }

    /// Sends a datagram of a connection: by the socket, or by the TURN server that lends the address it goes out from.
    func send(_ transmit: Transmit, of connection: Connection, now: Instant) {
        if let first = transmit.payload.first, first < 4 {
            router.noteTransmit(transmit.payload, by: connection.id, now: now)
        } else {
            port.isConversing = true
        }
        if transmit.relay == nil {
            port.send(transmit)
        } else {
            candidates?.relay(transmit, for: connection.id, now: now)
        }
    }

    /// Sends a datagram of the endpoint itself.
    func send(_ transmit: Transmit) { port.send(transmit) }

    /// Authenticated STUN for a connection came from an address: DTLS from there is that connection's, too.
    func addressValidated(_ address: TransportAddress, by connection: Connection) {
        lastSource = nil
        guard let older = router.addressValidated(address, by: connection.id).flatMap({ connections[$0] }) else {
            return
        }
        // Two sessions from one address cannot be told apart; the newer one is the one that the peer means.
        older.core.close(now: now)
        touch(older)
    }

    private func remove(_ connection: Connection) {
        guard connections.removeValue(forKey: connection.id) != nil else { return }
        lastSource = nil
        router.remove(connection.id)
        deadlines.remove(connection)
        candidates?.forget(connection.id, now: now)
        connection.finish()
    }

    // MARK: Input

    private func received(_ datagram: [UInt8], from source: TransportAddress) {
        isReading = true
        // A TURN server is no peer, so what comes from one is not in the way of this.
        if source == lastSource, let lastConnection, DatagramKind(datagram) == .dtls {
            lastConnection.handle(datagram, from: source, via: nil, now: now)
            return touch(lastConnection)
        }
        if let candidates, candidates.handle(datagram, from: source) { return }
        route(datagram, from: source, via: nil)
    }

    /// Gives a datagram to whom it is for.
    ///
    /// - Parameter relay: the relayed address of ours that it came to; `nil` for the socket.
    func route(_ datagram: [UInt8], from source: TransportAddress, via relay: TransportAddress?) {
        switch router.route(datagram, from: source) {
        case .connection(let id):
            guard let connection = connections[id] else { return }
            let now = now
            connection.handle(datagram, from: source, via: relay, now: now)
            touch(connection)
            if let first = datagram.first, first < 4 {
                // An address that STUN has just validated counts for the next datagram of the same batch.
                connection.drainEvents()
            } else if relay == nil {
                (lastSource, lastConnection) = (source, connection)
            }
        case .bindingRequest:
            guard configuration.answersBindingRequests, relay == nil,
                let answer = STUNBindingServer.respond(to: datagram, from: source)
            else { return }
            port.send(Transmit(to: source, payload: answer))
        case .stunAnswer:
            candidates?.handle(stun: datagram, from: source, now: now)
        case .channelData, .dht, .signaling, .dropped:
            break
        }
    }

    private func timeout() {
        let now = now
        while let connection = deadlines.popDue(now: now) {
            let due = connection.core.nextTimeout
            if let due, due <= now {
                connection.core.handleTimeout(now: now)
                touch(connection)
            } else {
                // It was noted before something moved it.
                deadlines.wake(connection, at: due)
            }
        }
        candidates?.handleTimeout(now: now)
        // Those whose turn was over.
        let rest = unfinished
        unfinished = []
        for connection in rest { touch(connection) }
        flush()
    }

    // MARK: Output

    /// Carries on all connections that something has happened to, and sends.
    func flush() {
        eventLoop.assertInEventLoop()
        isFlushScheduled = false
        isReading = false
        guard !isFlushing else { return }
        isFlushing = true
        let now = now
        repeat {
            let batch = touched
            touched.removeAll(keepingCapacity: true)
            for connection in batch {
                connection.isTouched = false
                if connection.pump(now: now) { unfinished.append(connection) }
                if connection.mayHaveOtherUfrags {
                    connection.mayHaveOtherUfrags = false
                    router.setUfrags(connection.core.localUfrags, for: connection.id)
                }
                if connection.core.state == .closed {
                    remove(connection)
                } else {
                    deadlines.wake(connection, at: connection.core.nextTimeout)
                }
            }
            // A candidate that was just found, or a datagram out of a relay, touches connections in turn.
            candidates?.flush(now: now)
        } while !touched.isEmpty
        port.flush()
        var next = Instant?.earlier(deadlines.next, candidates?.nextTimeout)
        // A moment in the future: the loop looks at its sockets before it comes.
        if !unfinished.isEmpty { next = .earlier(next, now + .microseconds(5)) }
        timer?.schedule(at: next)
        isFlushing = false
    }

    // MARK: The end

    /// Closes all connections and the port.
    func close() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        guard !isClosed else { return eventLoop.makeSucceededVoidFuture() }
        isClosed = true
        for connection in connections.values {
            connection.core.close(now: now)
            touch(connection)
        }
        candidates?.close(now: now)
        flush()
        timer?.cancel()
        timer = nil
        candidates = nil
        port.onClose = nil
        return port.close()
    }

    /// The system took the socket away: nothing can be sent any more.
    private func portClosed() {
        configuration.logger.error("the UDP port was closed by the system")
        _ = close()
    }
}
