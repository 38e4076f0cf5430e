import Crypto
public import SwarmBase

/// One SCTP association inside a DTLS session: the subset of RFC 9260 that data channels use (RFC 8831 §6), with
/// partial reliability (RFC 3758) and stream reset (RFC 6525). Single-homed; no socket, no clock.
///
/// After any `handle…` or command the owner drains `pollTransmit`, then `pollEvent`, and reads `nextTimeout` again.
public struct SCTPAssociation: ~Copyable, Sendable {
    /// The states of RFC 9260 §4.
    enum State: Equatable, Sendable {
        case closed
        case cookieWait
        case cookieEchoed
        case established
        case shutdownPending
        case shutdownSent
        case shutdownReceived
        case shutdownAckSent
        /// Over; nothing leaves any more but answers to a repeated SHUTDOWN ACK.
        case ended
    }

    let configuration: SCTPConfiguration
    let localTag: UInt32
    let localInitialTSN: UInt32
    let cookieKey: SymmetricKey
    var state = State.closed
    /// Known from COOKIE-ECHOED on.
    var peer: PeerParameters?
    var timers = TimerTable()
    var events = RingBuffer<SCTPEvent>(filler: .connected)

    // Handshake.
    var isInitDue = false
    var isCookieEchoDue = false
    var cookie: [UInt8] = []
    var handshakeInterval: Duration

    // Sending.
    var queue = SendQueue()
    var outstanding: OutstandingData
    var roundTrip: RoundTripEstimator
    var congestion: CongestionControl
    var pacer: Pacer
    /// The window the peer announced last.
    var peerWindow = 0
    /// Packets that may leave regardless of window and pace: a fast retransmission or a probe.
    var forcedPackets = 0
    var probesSinceAck = 0
    var lastExpiry: Instant?
    var isForwardTSNDue = false
    var lastForwardTSN: Instant?
    /// Whole chunks that wait to be bundled.
    var control = RingBuffer<[UInt8]>(filler: [])
    /// Whole packets with a tag of their own.
    var answers = RingBuffer<[UInt8]>(filler: [])
    var shutdownRetransmissions = 0

    // Receiving.
    var tracker: TSNTracker
    var reassembly: Reassembly
    /// Scratch for the messages one packet completes.
    var ready: [ReceivedMessage] = []
    /// Bytes and number of messages handed out and not released.
    var unreadBytes = 0
    var unreadMessages = 0
    var window: Int
    var releasedSinceGrowth = 0
    var advertisedWindow = 0
    var isSackDue = false
    /// DATA came that no SACK has answered.
    var owesSack = false
    var packetsSinceSack = 0
    var didReceiveData = false

    var reset: StreamReset

    /// More than this many control chunks or answers at once are a peer's doing; further ones are dropped.
    static let maxQueuedControl = 32
    /// More stretches of incomplete messages than any path makes.
    static let maxRuns = 1024

    /// Makes an association that waits for the peer's INIT; `connect` sends one of its own.
    public init(configuration: SCTPConfiguration = .init(), entropy: Entropy) {
        var entropy = entropy
        self.init(
            configuration: configuration, initialTSN: UInt32(truncatingIfNeeded: entropy.next()), entropy: entropy)
    }

    /// The same with a given first TSN, for tests of the wrap-around.
    init(configuration: SCTPConfiguration, initialTSN: UInt32, entropy: Entropy) {
        var entropy = entropy
        self.configuration = configuration
        localTag = UInt32.random(in: 1...UInt32.max, using: &entropy)
        localInitialTSN = initialTSN
        cookieKey = SymmetricKey(data: entropy.bytes(32))
        handshakeInterval = configuration.rtoInitial
        outstanding = OutstandingData(initialTSN: initialTSN)
        roundTrip = RoundTripEstimator(configuration)
        congestion = CongestionControl(configuration)
        pacer = Pacer(configuration)
        tracker = TSNTracker(initial: 0)
        reassembly = Reassembly(maxMessageSize: configuration.maxMessageSize)
        window = configuration.receiveWindow
        reset = StreamReset(localInitialTSN: initialTSN)
    }

    // MARK: Commands

    /// Sends an INIT (RFC 9260 §5.1 A). Both sides may do so.
    public mutating func connect(now: Instant) {
        guard state == .closed else { return }
        state = .cookieWait
        isInitDue = true
    }

    /// Queues a message; it may be called before the association is up.
    ///
    /// - Parameters:
    ///   - payload: 1 byte to the limit of `SCTPConfiguration.maxMessageSize`.
    ///   - stream: 0 to the number of streams the peer takes, less one.
    public mutating func send(
        _ payload: [UInt8], payloadProtocol: UInt32, on stream: UInt16, options: SCTPSendOptions = .init(),
        now: Instant
    ) throws(SCTPError) {
        guard queue.bufferedBytes + payload.count <= configuration.maxBufferedBytes || state == .ended else {
            throw .bufferFull
        }
        try enqueue(payload, payloadProtocol: payloadProtocol, on: stream, options: options, now: now)
    }

    /// The same however much waits: for the short messages that set channels up.
    mutating func enqueue(
        _ payload: [UInt8], payloadProtocol: UInt32, on stream: UInt16, options: SCTPSendOptions = .init(),
        now: Instant
    ) throws(SCTPError) {
        switch state {
        case .closed, .cookieWait, .cookieEchoed, .established: break
        case .shutdownPending, .shutdownSent, .shutdownReceived, .shutdownAckSent, .ended: throw .closed
        }
        guard !payload.isEmpty else { throw .emptyMessage }
        guard payload.count <= configuration.maxMessageSize else {
            throw .messageTooLarge(limit: configuration.maxMessageSize)
        }
        guard Int(stream) < usableStreams else { throw .noSuchStream(limit: usableStreams) }
        guard !queue.isClosing(stream) else { throw .streamClosing }
        queue.enqueue(
            payload, payloadProtocol: payloadProtocol, on: stream, isUnordered: options.isUnordered,
            maxRetransmits: options.maxRetransmits, deadline: options.lifetime.map { now + $0 } ?? .distantFuture)
    }

    /// Resets our outgoing streams as soon as what was sent on them has arrived (RFC 6525 §5.1.2). They take no more
    /// messages until `outgoingStreamsReset`.
    ///
    /// - Parameter discarding: whether messages of which nothing was sent are dropped instead of flushed.
    public mutating func resetStreams(_ streams: [UInt16], discarding: Bool = false) {
        guard state != .ended, !streams.isEmpty else { return }
        if let peer, !peer.supportsReconfiguration {
            // Such a peer keeps its streams for ever; at least ours are at an end here.
            for stream in streams { queue.close(stream, discarding: true) }
            events.append(.outgoingStreamsReset(streams))
            events.append(.incomingStreamsReset(streams))
            return
        }
        for stream in streams { queue.close(stream, discarding: discarding) }
        reset.enqueue(streams)
        queue.didDrainClosingStream = true
    }

    /// Ends the association after all data has arrived (RFC 9260 §9.2).
    public mutating func shutdown(now: Instant) {
        switch state {
        case .closed, .cookieWait, .cookieEchoed: abort(now: now)
        case .established: state = .shutdownPending
        case .shutdownPending, .shutdownSent, .shutdownReceived, .shutdownAckSent, .ended: break
        }
    }

    /// Ends the association at once (RFC 9260 §9.1), with the cause "user initiated abort" as browsers send it.
    public mutating func abort(now: Instant) {
        abort(cause: ErrorCause.userInitiatedAbort, text: "", reason: .abortedLocally)
    }

    /// The packets take another path, or the path is back: congestion window, round trip and timeout begin anew, and
    /// whatever waits for the peer is sent again at once.
    public mutating func pathChanged(now: Instant) {
        congestion.reset()
        roundTrip.reset()
        pacer.reset()
        timers[.pacing] = nil
        probesSinceAck = 0
        handshakeInterval = configuration.rtoInitial
        lastExpiry = now
        switch state {
        case .closed, .ended: return
        case .cookieWait: isInitDue = true
        case .cookieEchoed: repeatCookieEcho(now: now)
        case .established, .shutdownPending, .shutdownReceived, .shutdownSent, .shutdownAckSent:
            outstanding.loseAll(queue: &queue, now: now)
            if !outstanding.isEmpty { timers[.retransmission] = now + roundTrip.timeout }
            timers[.tailLossProbe] = nil
            isForwardTSNDue = outstanding.awaitsForwardTSN
            reset.attempts = 0
            reset.isDue = reset.current != nil
            isSackDue = true
            if timers[.shutdown] != nil { timers[.shutdown] = now }
        }
    }

    /// The owner has read `bytes` of the messages it was given in `count` messages: the window reopens.
    public mutating func release(_ bytes: Int, messages count: Int = 1, now: Instant) {
        unreadBytes = max(0, unreadBytes - bytes)
        unreadMessages = max(0, unreadMessages - count)
        releasedSinceGrowth += bytes
        if releasedSinceGrowth >= window, unreadBytes == 0, window < configuration.maxReceiveWindow {
            window = min(window * 2, configuration.maxReceiveWindow)
            releasedSinceGrowth = 0
        }
        // RFC 9260 §6.2: the peer is told of a window that was small and is wide again.
        if advertisedWindow < window / 4, freeWindow - advertisedWindow >= window / 4, !isSackDue {
            isSackDue = true
            timers[.delayedSack] = now
        }
    }

    /// The owner holds a message again that it had released.
    mutating func charge(_ bytes: Int) {
        unreadBytes += bytes
        unreadMessages += 1
    }

    // MARK: Output

    /// The next event.
    public mutating func pollEvent() -> SCTPEvent? {
        if !queue.fallenLow.isEmpty {
            for stream in queue.fallenLow { events.append(.bufferedAmountLow(stream)) }
            queue.fallenLow.removeAll(keepingCapacity: true)
        }
        return events.popFirst()
    }

    /// When `handleTimeout` wants to be called.
    public var nextTimeout: Instant? { timers.next }

    // MARK: Properties

    /// Whether data may flow.
    public var isEstablished: Bool { state == .established }

    /// Whether the association is over.
    public var isEnded: Bool { state == .ended }

    /// How many streams may be used: what both sides take; all of ours before the peer has said.
    public var usableStreams: Int {
        Int(min(configuration.maxStreams, peer?.inboundStreams ?? configuration.maxStreams))
    }

    /// Bytes given to `send` on a stream that were not sent once.
    public func bufferedAmount(of stream: UInt16) -> Int { queue.bufferedBytes(of: stream) }

    /// Bytes given to `send` on all streams that were not sent once.
    public var bufferedAmount: Int { queue.bufferedBytes }

    /// At or below how many buffered bytes `bufferedAmountLow` tells of a stream.
    public mutating func setBufferedAmountLowThreshold(_ bytes: Int, of stream: UInt16) {
        queue.setLowThreshold(bytes, of: stream)
    }

    /// The smoothed round-trip time, once measured.
    public var roundTripTime: Duration? { roundTrip.smoothed }

    /// The congestion window in bytes.
    public var congestionWindow: Int { congestion.window }

    /// What the peer may still send.
    var freeWindow: Int {
        guard unreadMessages + reassembly.heldItems < configuration.maxHeldItems else { return 0 }
        return max(0, window - unreadBytes - reassembly.heldBytes)
    }

    // MARK: Ending

    /// Sends ABORT with a cause and is over.
    mutating func abort(cause: UInt16, text: String, reason: SCTPCloseReason) {
        guard state != .ended else { return }
        if let peer {
            var body: [UInt8] = []
            body.appendParameter(cause, value: Array(text.utf8))
            answer(tag: peer.tag) { $0.appendChunk(.abort, value: body) }
        }
        end(reason)
    }

    /// Is over: tells the owner, and gives the memory back.
    mutating func end(_ reason: SCTPCloseReason) {
        guard state != .ended else { return }
        state = .ended
        timers.stopAll()
        queue.removeAll()
        outstanding = OutstandingData(initialTSN: localInitialTSN)
        reassembly = Reassembly(maxMessageSize: configuration.maxMessageSize)
        control.removeAll()
        ready = []
        events.append(.closed(reason))
    }

    /// Queues a whole packet with a tag of its own.
    mutating func answer(tag: UInt32, _ write: (inout [UInt8]) -> Void) {
        guard answers.count < Self.maxQueuedControl else { return }
        var packet: [UInt8] = []
        PacketHeader(sourcePort: configuration.port, destinationPort: configuration.port, verificationTag: tag)
            .write(to: &packet)
        write(&packet)
        packet.sealPacket()
        answers.append(packet)
    }

    /// Queues a chunk to be bundled with what is sent next.
    mutating func enqueueControl(_ type: ChunkType, flags: UInt8 = 0, value: [UInt8] = []) {
        guard control.count < Self.maxQueuedControl else { return }
        var chunk: [UInt8] = []
        chunk.appendChunk(type, flags: flags, value: value)
        control.append(chunk)
    }
}
