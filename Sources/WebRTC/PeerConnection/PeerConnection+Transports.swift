internal import DTLS
internal import ICE
internal import SCTP
public import SwarmBase

/// What goes in and out, and how the layers move each other.
extension PeerConnection {
    // MARK: Input

    /// Takes a datagram that is for this connection: STUN or DTLS; anything else is dropped.
    ///
    /// - Parameter relay: the relayed address of ours that it came to (`TURNReceived.relay`); `nil` for the shared socket.
    public mutating func handle(
        datagram: [UInt8], from source: TransportAddress, via relay: TransportAddress? = nil, now: Instant
    ) {
        guard state != .closed else { return }
        self.now = now
        switch DatagramKind(datagram) {
        case .stun:
            ice.handle(stun: datagram, from: source, via: relay, now: now)
        case .dtls:
            // Only a peer that has proved its credentials costs us more than this: DTLS needs no cookies then, and a
            // flood of ClientHellos from elsewhere makes neither sessions nor answers (RFC 8827 §6.5).
            guard ice.isValidated(source) else { return }
            if dtls == nil {
                if earlyDatagrams.count < configuration.maximumEarlyDatagrams,
                    datagram.count <= configuration.maximumEarlyDatagramSize
                {
                    earlyDatagrams.append(datagram)
                }
            } else if dtls?.handle(datagram: datagram, now: now) == true {
                // Only what DTLS could open speaks for the path: anyone could send the rest.
                ice.noteReceived(from: source, via: relay, now: now)
            }
        case .channelData, .bencoded, .signaling, .unknown:
            return
        }
        settle()
    }

    /// Runs everything that is due.
    public mutating func handleTimeout(now: Instant) {
        guard state != .closed else { return }
        self.now = now
        ice.handleTimeout(now: now)
        dtls?.handleTimeout(now: now)
        if let due = sctp?.nextTimeout, due <= now { sctp?.handleTimeout(now: now) }
        if let deadline = graceDeadline, deadline <= now {
            end(.pathLost)
            return
        }
        if let deadline = lingerDeadline, deadline <= now {
            part(.local)
            return
        }
        settle()
    }

    /// When `handleTimeout` is to be called; `nil` when there is nothing to wait for.
    ///
    /// It changes nothing; `mutating`, because a connection that is only lent is copied for the call, all of it.
    public var nextTimeout: Instant? {
        mutating get { earliestTimeout() }
    }

    private mutating func earliestTimeout() -> Instant? {
        guard state != .closed else { return parting.isEmpty ? nil : now }
        var next = Instant?.earlier(ice.nextTimeout, graceDeadline)
        next = .earlier(next, lingerDeadline)
        // Optional chaining would consume what cannot be copied; a switch borrows it.
        switch dtls {
        case .some(let transport): next = .earlier(next, transport.nextTimeout)
        case .none: break
        }
        switch sctp {
        case .some(let transport): next = .earlier(next, transport.nextTimeout)
        case .none: break
        }
        return next
    }

    // MARK: Output

    /// The next datagram to send: over the node's socket, or through `TURNClient.send` when it names a relay.
    public mutating func pollTransmit() -> Transmit? {
        if let transmit = parting.popFirst() { return transmit }
        guard state != .closed else { return nil }
        if let transmit = ice.pollTransmit() { return transmit }
        guard let path = ice.sendPath else { return nil }
        if let datagram = dtls?.pollTransmit() { return Transmit(datagram, on: path) }
        guard let datagram = sealNextPacket() else { return nil }
        return Transmit(datagram, on: path, forbidsFragmentation: mustStayWhole)
    }

    /// Whether the packet that was sealed last must not be fragmented.
    private var mustStayWhole: Bool {
        switch sctp {
        case .some(let transport): transport.forbidsFragmentation
        case .none: false
        }
    }

    /// What happened next. Messages that are not asked for stay in SCTP, where they close the receive window.
    public mutating func pollEvent() -> PeerConnectionEvent? {
        while true {
            if let event = events.popFirst() { return event }
            guard state != .closed, !isReadingPaused, let event = sctp?.pollEvent() else { return nil }
            take(event)
        }
    }

    /// How much longer than ChannelData, which the usual packet size leaves room for, a Send indication is: 36 bytes in all
    /// (RFC 8656 §11.1), less the 4 of ChannelData.
    private static let sendIndicationOverhead = 32

    /// One SCTP packet as a datagram. It is sealed only now that it leaves, so that little waits outside of SCTP.
    private mutating func sealNextPacket() -> [UInt8]? {
        guard dtls?.isConnected == true, let packet = sctp?.pollTransmit(now: now) else { return nil }
        // When it fails the session's own event tells why; `settle` acts on it.
        return try? dtls?.seal(packet)
    }

    // MARK: Layers

    /// Makes what the peer's first description allows to make.
    mutating func makeTransports(role: DTLSTransport.Role, remote: SessionDescription) {
        guard sctp == nil else { return }
        var settings = configuration.sctp
        settings.port = remote.sctpPort
        settings.isOverDTLS = true
        // To a peer that does not say that it takes more than what passes everywhere, nothing larger than Ethernet's is tried.
        if !remote.takesLargeDatagrams {
            settings.maxProbedPacketSize = settings.maxProbedPacketSize.map { min($0, settings.firstProbedPacketSize) }
        }
        let mayBeRelayed = (ice.localCandidates + remote.candidates).contains { $0.kind == .relayed }
        if mayBeRelayed || configuration.mayBeRelayed {
            settings.maxPacketSize -= Self.sendIndicationOverhead
            settings.firstProbedPacketSize -= Self.sendIndicationOverhead
            // What a server sends on has larger headers than what it got, and may be fragmented: no more than passes anyway.
            settings.maxProbedPacketSize = settings.maxProbedPacketSize.map { min($0, settings.firstProbedPacketSize) }
        }
        sctp = DataChannelTransport(
            configuration: settings, isDTLSClient: role == .client, remoteMaxMessageSize: remote.maxMessageSize,
            entropy: entropy.fork())
        sctpIsStarted = false
        assignChannels()
    }

    /// Begins the handshake as soon as this side can: the server at once, the client with the first valid pair.
    mutating func startDTLS() throws(PeerConnectionError) {
        guard dtls == nil, let role = dtlsRole, let remote = remoteDescription else { return }
        guard role == .server || ice.sendAddress != nil else { return }
        var settings = configuration.dtls
        if let roundTrip = ice.roundTripTime {
            settings.initialRetransmission = max(.milliseconds(100), roundTrip * 2)
        }
        var transport: DTLSTransport
        do {
            transport = try DTLSTransport(
                role: role, certificate: certificate, expected: remote.fingerprints, configuration: settings)
        } catch {
            end(.dtls(error))
            throw .dtls(error)
        }
        transport.start(now: now)
        let early = earlyDatagrams
        earlyDatagrams = []
        for datagram in early { transport.handle(datagram: datagram, now: now) }
        dtls = consume transport
    }

    /// Gives up DTLS and SCTP, and all channels with them; the path stays.
    mutating func resetTransports() {
        closeAllChannels()
        dtls?.close()
        dtls = nil
        sctp = nil
        dtlsRole = nil
    }

    /// Lets every layer act on what the others did, until nothing moves: the end of every input.
    mutating func settle() {
        drainICE()
        guard state != .closed else { return }
        // The error is an event by then.
        try? startDTLS()
        drainDTLS()
        guard state != .closed else { return }
        updateState()
    }

    private mutating func drainICE() {
        while let event = ice.pollEvent() {
            switch event {
            case .validatedRemote(let address):
                events.append(.addressValidated(address))
            case .selectedPairChanged(let path, _):
                if let before = lastPath, before != path { sctp?.pathChanged(now: now) }
                if lastPath != path { events.append(.selectedAddress(path.remote)) }
                lastPath = path
            case .stateChanged(let new):
                let recovered = new == .connected && (lastICEState == .disconnected || lastICEState == .failed)
                lastICEState = new
                if recovered { sctp?.pathChanged(now: now) }
                graceDeadline = new == .failed ? graceDeadline ?? now + configuration.restartGrace : nil
            }
        }
    }

    private mutating func drainDTLS() {
        if dtls?.isConnected == true, !sctpIsStarted {
            sctpIsStarted = true
            sctp?.connect(now: now)
        }
        while let packet = dtls?.pollReceived() { sctp?.handle(packet: packet, now: now) }
        while let event = dtls?.pollEvent() {
            switch event {
            case .connected:
                break
            case .closed:
                // What came before close_notify counts: an ABORT, or the last messages.
                while state != .closed, let event = sctp?.pollEvent() { take(event) }
                if state != .closed { end(.remote) }
                return
            case .failed(let error):
                end(.dtls(error))
                return
            }
        }
    }

    private mutating func updateState() {
        let new: PeerConnectionState
        switch ice.state {
        case .new: new = remoteDescription == nil ? .new : .connecting
        case .checking: new = .connecting
        case .connected: new = dtls?.isConnected == true ? .connected : .connecting
        case .disconnected: new = dtls?.isConnected == true ? .disconnected : .connecting
        case .failed: new = .failed
        case .closed: new = .closed
        }
        guard new != state else { return }
        state = new
        events.append(.stateChanged(new))
    }
}

extension Transmit {
    /// A datagram on a candidate pair.
    init(_ payload: [UInt8], on path: ICEPath, forbidsFragmentation: Bool = false) {
        self.init(
            to: path.remote, payload: payload, via: path.relay, forbidsFragmentation: forbidsFragmentation)
    }
}
