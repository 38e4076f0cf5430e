import Crypto
public import SwarmBase

/// One SCTP association inside a DTLS session: the subset of RFC 9260 that data channels use (RFC 8831 §6), with
/// partial reliability (RFC 3758), stream reset (RFC 6525), message interleaving (RFC 8260) and zero checksums (RFC 9653)
/// where the peer has them too. Single-homed; no socket, no clock.
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

    // Handshake.
    var isInitDue = false
    var isCookieEchoDue = false
    var cookie: [UInt8] = []
    var handshakeInterval: Duration
    /// The owner wants the association to end as soon as it is up and its data has arrived.
    var isShutdownDue = false

    // Configured times, in nanoseconds.
    let sackDelay: Int64
    let peerSackDelay: Int64
    let heartbeatInterval: Int64?

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
    /// Expiries of the retransmission timer since the peer acknowledged anything.
    var expiriesInARow = 0
    var pathMTU: PathMTU
    var unansweredHeartbeats = 0
    var lastReceived = Instant.zero
    /// A path MTU probe that is to leave.
    var duePathProbe: [UInt8]?
    /// Whether the packet that `pollTransmit` gave last must not be fragmented on its way (RFC 8899 §3): it is a probe, or
    /// as large as probes have shown that packets may be.
    public internal(set) var forbidsFragmentation = false
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
    var inbox = Inbox()
    var window: Int
    var maxWindow: Int
    var releasedSinceGrowth = 0
    var advertisedWindow = 0
    /// Below this an advertised window is small: the peer is told when there is that much more.
    var smallWindow = 0
    /// The payload of a chunk, smoothed, in sixteenths of a byte.
    var smoothedPayload: Int
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
        sackDelay = max(0, configuration.sackDelay.nanosecondsClamped)
        peerSackDelay = max(0, configuration.peerSackDelay.nanosecondsClamped)
        heartbeatInterval = configuration.heartbeatInterval.map { max(.millisecond, $0.nanosecondsClamped) }
        outstanding = OutstandingData(initialTSN: initialTSN, packetSize: configuration.maxPacketSize)
        pathMTU = PathMTU(configuration)
        roundTrip = RoundTripEstimator(configuration)
        congestion = CongestionControl(configuration)
        pacer = Pacer(configuration)
        tracker = TSNTracker(initial: 0)
        reassembly = Reassembly(maxMessageSize: configuration.maxMessageSize)
        // A window that the largest message fills would never see its end.
        let least = configuration.maxMessageSize + configuration.maxMessageSize / 4
        window = max(configuration.receiveWindow, least)
        maxWindow = max(configuration.maxReceiveWindow, window)
        smoothedPayload = configuration.maxFragment * Self.payloadSmoothing
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
        // A message larger than the buffer goes when nothing else waits.
        let isFull =
            queue.bufferedBytes > 0 && queue.bufferedBytes + payload.count > configuration.maxBufferedBytes
            || queue.waitingMessages >= configuration.maxBufferedMessages
        guard !isFull || state == .ended else { throw .bufferFull }
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
            inbox.append(.outgoingStreamsReset(streams))
            inbox.append(.incomingStreamsReset(streams))
            return
        }
        for stream in streams { queue.close(stream, discarding: discarding) }
        reset.enqueue(streams)
        queue.didDrainClosingStream = true
    }

    /// Ends the association after all data has arrived (RFC 9260 §9.2).
    public mutating func shutdown(now: Instant) {
        switch state {
        // The peer may have read of what was sent with the cookie before its answer is here: the rest follows that.
        case .cookieEchoed where !queue.isEmpty || !outstanding.isEmpty: isShutdownDue = true
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
        outstanding.forgetPath()
        pathMTU.reset()
        duePathProbe = nil
        expiriesInARow = 0
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
            if !outstanding.isEmpty { timers[.retransmission] = now.adding(roundTrip.timeoutNanoseconds) }
            timers[.tailLossProbe] = nil
            timers[.reordering] = nil
            watchPath(now: now)
            isForwardTSNDue = outstanding.awaitsForwardTSN
            reset.attempts = 0
            reset.isDue = reset.current != nil
            isSackDue = true
            if timers[.shutdown] != nil { timers[.shutdown] = now }
        }
    }

    // MARK: Output

    /// The next event.
    public mutating func pollEvent() -> SCTPEvent? {
        if !queue.fallenLow.isEmpty {
            for stream in queue.fallenLow { inbox.append(.bufferedAmountLow(stream)) }
            queue.fallenLow.removeAll(keepingCapacity: true)
        }
        return inbox.popFirst()
    }

    /// Whether there is no event to take.
    @inline(__always)
    var isQuiet: Bool { inbox.isEmpty && queue.fallenLow.isEmpty }

    /// Whether there is an event that is not a binary message.
    @inline(__always)
    var needsAttention: Bool { inbox.needsAttention || !queue.fallenLow.isEmpty }

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

    /// How large packets may be now, in bytes: `maxPacketSize`, or what probes have found to pass.
    public var packetSize: Int { pathMTU.size }

    /// Whether messages interleave (I-DATA, RFC 8260): both sides offered it.
    public var isInterleaving: Bool { queue.isInterleaved }

    /// Whether packets leave without a checksum (RFC 9653): DTLS carries them, and the peer accepts it.
    public var omitsChecksum: Bool { configuration.isOverDTLS && peer?.acceptsZeroChecksum == true }

    /// What a stream gets of the association beside others that have something to send, when messages interleave:
    /// 128 (low) to 1024 (extra high), RFC 8831 §6.4.
    public mutating func setPriority(_ priority: UInt16, of stream: UInt16) {
        queue.setWeight(priority, of: stream)
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
        outstanding = OutstandingData(initialTSN: localInitialTSN, packetSize: configuration.maxPacketSize)
        reassembly = Reassembly(maxMessageSize: configuration.maxMessageSize)
        control.removeAll()
        duePathProbe = nil
        inbox.append(.closed(reason))
    }

    /// Queues a whole packet with a tag of its own.
    mutating func answer(tag: UInt32, _ write: (inout [UInt8]) -> Void) {
        guard answers.count < Self.maxQueuedControl else { return }
        answers.append(sealedPacket(tag: tag, write))
    }

    /// A whole packet of what `write` appends to its header.
    func sealedPacket(tag: UInt32, _ write: (inout [UInt8]) -> Void) -> [UInt8] {
        var packet: [UInt8] = []
        PacketHeader(sourcePort: configuration.port, destinationPort: configuration.port, verificationTag: tag)
            .write(to: &packet)
        write(&packet)
        packet.sealPacket()
        return packet
    }

    /// Queues a chunk to be bundled with what is sent next.
    mutating func enqueueControl(_ type: ChunkType, flags: UInt8 = 0, value: [UInt8] = []) {
        guard control.count < Self.maxQueuedControl else { return }
        var chunk: [UInt8] = []
        chunk.appendChunk(type, flags: flags, value: value)
        control.append(chunk)
    }
}
