import CDatagram
import Glibc
public import NIOCore
import NIOPosix
public import SwarmBase

/// The node's one UDP socket.
///
/// Bound to `::` it carries IPv6 and IPv4 (RFC 3493 §3.7; mapped addresses are shown as IPv4); on a host without IPv6
/// it falls back to `0.0.0.0`.
///
/// Datagrams pass the kernel in batches: many messages a system call, and runs of equal-sized ones as one message
/// (UDP_SEGMENT and UDP_GRO) where the kernel can do that. The event loop's channel says when the socket is readable and
/// reads one message; the rest is read here. Sending goes past the channel: that closes itself at the first
/// `ENETUNREACH` or `EPERM`, but for a socket shared by many peers an unreachable one is daily business, so an error
/// costs its datagram only and is counted.
///
/// Where messages go to and fro within microseconds, as on one machine or in one rack, the port does not let its event loop fall
/// asleep between them: see ``UDPPortConfiguration/busyPollingLimit``. Elsewhere, and under load, this never happens.
///
/// A source that sends more than can be worked off waits for itself: see ``UDPPortConfiguration/datagramsPerTurn``.
///
/// Confined to its event loop: make it, call it and let go of it there.
public final class UDPPort {
    public let eventLoop: any EventLoop
    public let configuration: UDPPortConfiguration
    /// Called for each datagram, on the event loop.
    public var onDatagram: (([UInt8], TransportAddress) -> Void)?
    /// Called when a batch of datagrams has been handed out: the moment to send what they caused.
    public var onReadComplete: (() -> Void)?
    /// Called once when the socket is gone, asked for or not.
    public var onClose: (() -> Void)?
    public private(set) var counters = UDPPortCounters()
    /// What the socket is bound to; `nil` before ``bind()`` succeeded and after it closed.
    public private(set) var localAddress: TransportAddress?

    private var channel: (any Channel)?
    private(set) var descriptor: CInt = -1
    private var isIPv6Socket = false
    private var isClosed = false

    private var queue: [Transmit] = []
    private var queueHead = 0
    private var retry: Scheduled<Void>?
    private let outgoing = OutgoingBatch()
    /// Whether the kernel and the interfaces below it cut messages apart.
    private var offloadsSending: Bool
    /// Whether it has done so already: then a refusal is that of one path.
    private var hasOffloaded = false
    /// What the socket was told last; at first the system's setting holds, which lets what is too long be fragmented.
    private var isFragmentationForbidden = false
    /// Index in the queue up to which datagrams go one by one, after a refusal.
    private var singleUntil = 0

    private var incoming: IncomingBatch?
    private var waiting: FairQueue
    private var isInTurn = false
    /// How many datagrams may be handed out in this turn of the loop, and until when.
    private var budget = 0
    private var turnEnd = NIODeadline.distantPast
    private var continuation: Scheduled<Void>?

    /// Raised by whoever gives the event loop something to do from elsewhere, while the port may be polling.
    private let pollingInterrupt: PollingInterrupt
    /// Set by the owner for a turn, or a flush, with messages of a conversation in it: only after such a one the port polls.
    public var isConversing = false
    private var polling: BusyPolling
    private var pollingEnd: NIODeadline?
    private var isPolling = false
    private var turnStart = 0
    private var pollingTimer: LoopTimer?

    /// Makes a port that is not bound yet.
    ///
    /// - Parameter pollingInterrupt: raised by those who give the event loop something to do from other threads.
    public init(
        eventLoop: any EventLoop, configuration: UDPPortConfiguration = .init(),
        pollingInterrupt: PollingInterrupt = PollingInterrupt()
    ) {
        self.eventLoop = eventLoop
        self.pollingInterrupt = pollingInterrupt
        self.configuration = configuration
        offloadsSending = configuration.usesOffload
        waiting = FairQueue(
            limit: configuration.receiveQueueDatagrams, byteLimit: configuration.receiveQueueBytes)
        polling = BusyPolling(limit: configuration.busyPollingLimit.nanosecondsClamped)
        queue.reserveCapacity(64)
    }

    // MARK: Binding

    /// Binds the socket and starts to read.
    ///
    /// - Returns: the bound address with the real port. Fails with ``UDPPortError``.
    public func bind() -> EventLoopFuture<TransportAddress> {
        eventLoop.assertInEventLoop()
        let port = configuration.port
        let first = configuration.host ?? .v6(0, 0)
        let bound = bind(first).flatMapError { error in
            let number = (error as? IOError)?.errnoCode ?? EINVAL
            // No IPv6 in this kernel or namespace shows as EAFNOSUPPORT or EADDRNOTAVAIL on the wildcard.
            guard self.configuration.host == nil, number == EAFNOSUPPORT || number == EADDRNOTAVAIL else {
                return self.eventLoop.makeFailedFuture(error)
            }
            return self.bind(.v4(0)).nonisolated()
        }
        return bound.flatMapErrorThrowing { error in
            if let known = error as? UDPPortError { throw known }
            let number = (error as? IOError)?.errnoCode ?? EINVAL
            throw number == EADDRINUSE ? UDPPortError.addressInUse(port) : .cannotBind(errorNumber: number)
        }.nonisolated()
    }

    private func bind(_ host: IPAddress) -> EventLoopFuture<TransportAddress>.Isolated {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let size = ChannelOptions.Types.SocketOption.Value(clamping: configuration.socketBufferBytes)
        var bootstrap = DatagramBootstrap(group: eventLoop)
            .channelOption(.socketOption(.so_rcvbuf), value: size)
            .channelOption(.socketOption(.so_sndbuf), value: size)
            // The channel reads one message to tell of its being readable; we read the others.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.longestMessage))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DatagramReceiver(port: bound.value))
                }
            }
        if System.supportsUDPReceiveOffload {
            bootstrap = bootstrap.channelOption(.datagramReceiveSegmentSize, value: true)
        }
        if host.isIPv6 {
            bootstrap = bootstrap.channelOption(
                ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only),
                value: host.isUnspecified ? 0 : 1)
        }
        let address = TransportAddress(host, port: configuration.port)
        return eventLoop.makeCompletedFuture { [bootstrap] in bootstrap.bind(to: try SocketAddress(address)) }
            .assumeIsolated().flatMap { $0 }
            .flatMapThrowing { channel in try self.adopt(channel, isIPv6: host.isIPv6) }
    }

    /// The most bytes that UDP carries, and so the most that joined datagrams have together.
    private static let longestMessage = 65_536

    private func adopt(_ channel: any Channel, isIPv6: Bool) throws -> TransportAddress {
        guard !isClosed else {
            channel.close(promise: nil)
            throw UDPPortError.closed
        }
        let handle = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            $0
        }
        guard let handle, let address = channel.localAddress.flatMap({ TransportAddress($0) }) else {
            channel.close(promise: nil)
            throw UDPPortError.cannotBind(errorNumber: EBADF)
        }
        self.channel = channel
        descriptor = handle
        isIPv6Socket = isIPv6
        localAddress = address
        let offloadsReceiving =
            configuration.usesOffload && System.supportsUDPReceiveOffload && swarm_enable_receive_offload(handle) == 0
        incoming = IncomingBatch(
            capacity: offloadsReceiving ? min(configuration.readBatch, 16) : configuration.readBatch,
            slotBytes: offloadsReceiving ? Self.longestMessage : configuration.maximumDatagramBytes)
        return address
    }

    // MARK: Sending

    /// Queues one datagram; it leaves with the next ``flush()``.
    public func send(_ transmit: Transmit) {
        eventLoop.assertInEventLoop()
        guard queue.count - queueHead < configuration.sendQueueDatagrams, descriptor >= 0 else {
            counters.sendDrops += 1
            return
        }
        guard isIPv6Socket || !transmit.destination.address.isIPv6 else {
            counters.sendErrors += 1
            return
        }
        queue.append(transmit)
    }

    /// Sends what is queued. What the socket buffer cannot take now is tried again a millisecond later.
    public func flush() {
        eventLoop.assertInEventLoop()
        guard retry == nil else { return }
        while queueHead < queue.count, descriptor >= 0 {
            guard setFragmentation(forbidden: queue[queueHead].forbidsFragmentation) else {
                // What must not be fragmented does not leave where it could be.
                refused(1, errorNumber: ENOPROTOOPT)
                continue
            }
            outgoing.plan(queue, from: queueHead, offloadingFrom: offloadsSending ? singleUntil : .max)
            let result = outgoing.send(queue, from: queueHead, descriptor: descriptor, isIPv4: !isIPv6Socket)
            if result > 0 {
                counters.sendCalls += 1
                for length in outgoing.runs.prefix(result) { sent(length) }
            } else if -result == Int(EAGAIN) || -result == Int(EWOULDBLOCK) {
                return tryAgain()
            } else {
                refused(outgoing.runs.first ?? 1, errorNumber: CInt(-result))
            }
        }
        let hasSent = queueHead > 0
        queue.removeAll(keepingCapacity: true)
        queueHead = 0
        singleUntil = 0
        if hasSent, !isInTurn { pause(datagrams: 1) }
    }

    /// Says whether the datagrams that leave next may be fragmented. Most ports never need to.
    ///
    /// - Returns: whether the kernel will do so.
    private func setFragmentation(forbidden: Bool) -> Bool {
        guard forbidden != isFragmentationForbidden else { return true }
        let result = swarm_set_fragmentation(descriptor, isIPv6Socket ? 0 : 1, forbidden ? 1 : 0)
        if result == 0 { isFragmentationForbidden = forbidden }
        return result == 0 || !forbidden
    }

    /// The kernel has taken the next so many datagrams as one message.
    private func sent(_ length: Int) {
        for index in queueHead..<queueHead + length { counters.bytesSent += queue[index].payload.count }
        counters.datagramsSent += length
        queueHead += length
        guard length > 1 else { return }
        hasOffloaded = true
        counters.joinedSends += 1
        counters.datagramsSentJoined += length
    }

    /// The kernel refuses the next so many datagrams, put together when they are several.
    private func refused(_ length: Int, errorNumber: CInt) {
        guard length > 1, [EIO, EINVAL, ENOPROTOOPT, EOPNOTSUPP, EMSGSIZE].contains(errorNumber) else {
            counters.sendErrors += length
            queueHead += length
            return
        }
        // EINVAL is what a path with a smaller MTU gives, too: once some have passed, it is not the kernel that cannot.
        counters.offloadRefusals += 1
        if !hasOffloaded || errorNumber == EIO { offloadsSending = false }
        singleUntil = queueHead + length
    }

    private func tryAgain() {
        if queueHead > 1024 {
            queue.removeFirst(queueHead)
            singleUntil = max(0, singleUntil - queueHead)
            queueHead = 0
        }
        retry = eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(1)) { [weak self] () -> Void in
            self?.retry = nil
            self?.flush()
        }
    }

    // MARK: Receiving

    /// The channel has read one message: a turn begins.
    fileprivate func received(_ envelope: AddressedEnvelope<ByteBuffer>) {
        beginTurn()
        guard let source = TransportAddress(envelope.remoteAddress) else { return }
        counters.receiveCalls += 1
        let segments = DatagramSegments(
            length: envelope.data.readableBytes, segmentSize: envelope.metadata?.segmentSize ?? 0)
        let start = envelope.data.readerIndex
        take(segments, from: source) { range in
            envelope.data.getBytes(at: start + range.lowerBound, length: range.count) ?? []
        }
    }

    private func beginTurn() {
        budget = configuration.datagramsPerTurn
        let now = NIODeadline.now()
        turnEnd = now + TimeAmount(configuration.turnDuration)
        turnStart = counters.datagramsReceived
        isInTurn = true
        polling.turnBegan(at: Instant(now).nanoseconds)
    }

    /// Hands out one datagram at the cost of the turn's budget. Looking at the clock costs something, too.
    private func handOut(_ datagram: [UInt8], _ source: TransportAddress) {
        budget -= 1
        if budget & 15 == 0, NIODeadline.now() >= turnEnd { budget = 0 }
        onDatagram?(datagram, source)
    }

    /// Reads what else is there, within the bounds of a turn, and hands it out.
    fileprivate func readRest() {
        var left = configuration.datagramsPerRead
        while left > 0, descriptor >= 0, let incoming {
            // An error that waited in the socket is that of one datagram, and gone once it is read.
            let error = incoming.receive(descriptor: descriptor)
            guard error == 0 else { break }
            counters.receiveCalls += 1
            let before = counters.datagramsReceived
            takeReceived(incoming)
            left -= max(1, counters.datagramsReceived - before)
            if incoming.count < incoming.capacity { break }
        }
        handOutWaiting()
    }

    // MARK: Polling

    /// How long the loop does nothing but poll before it looks at its other work.
    private static let pollingSlice = TimeAmount.microseconds(20)

    /// Everything has been done for now: the loop may sleep, or it polls.
    private func pause(datagrams: Int) {
        guard polling.limit > 0 else { return }
        let isConversing = isConversing
        self.isConversing = false
        let now = NIODeadline.now()
        let mayPoll = polling.pauseBegins(at: Instant(now).nanoseconds, datagrams: datagrams)
        guard mayPoll, isConversing, waiting.isEmpty, retry == nil, !isClosed else {
            pollingEnd = nil
            return
        }
        pollingEnd = now + .nanoseconds(polling.limit)
        guard !isPolling else { return }
        schedulePolling(now)
    }

    private func schedulePolling(_ now: NIODeadline) {
        if pollingTimer == nil { pollingTimer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.poll() } }
        // A moment in the future: the loop looks at its sockets and its tasks before it comes.
        pollingTimer?.schedule(at: Instant(now + .microseconds(1)))
    }

    /// Looks at the socket until something comes, a slice of time is over, or there is other work.
    private func poll() {
        guard !isClosed, let incoming else { return }
        isPolling = true
        defer { isPolling = false }
        var now = NIODeadline.now()
        var sliceEnd = now + Self.pollingSlice
        while let end = pollingEnd, now < end {
            if incoming.receive(descriptor: descriptor, limit: 2) == 0, incoming.count > 0 {
                beginTurn()
                counters.receiveCalls += 1
                let before = counters.datagramsReceived
                takeReceived(incoming)
                counters.datagramsPolled += counters.datagramsReceived - before
                if incoming.count < 2 { handOutWaiting() } else { readRest() }
                // Handlers have their say at once; what tasks have to say comes with the loop's next round.
                now = .now()
                sliceEnd = now
            }
            if now >= sliceEnd || pollingInterrupt.take() {
                if pollingEnd != nil { schedulePolling(now) }
                return
            }
            now = .now()
        }
        pollingEnd = nil
    }

    private func takeReceived(_ incoming: IncomingBatch) {
        for index in 0..<incoming.count {
            guard !incoming.isTruncated(index) else {
                counters.receiveDrops += 1
                continue
            }
            take(incoming.segments(index), from: incoming.source(index)) { incoming.bytes(index, $0) }
        }
    }

    private func take(_ segments: DatagramSegments, from source: TransportAddress, _ bytes: (Range<Int>) -> [UInt8]) {
        let before = counters.datagramsReceived
        for range in segments where !isClosed {
            counters.datagramsReceived += 1
            counters.bytesReceived += range.count
            if range.count > configuration.maximumDatagramBytes {
                counters.receiveDrops += 1
            } else if budget > 0, waiting.isEmpty {
                handOut(bytes(range), source)
            } else if waiting.append(bytes(range), from: source) {
                counters.receiveDrops += 1
            }
        }
        if segments.isJoined {
            counters.joinedReceives += 1
            counters.datagramsReceivedJoined += counters.datagramsReceived - before
        }
    }

    /// Hands out what this turn still may, the sources taking turns; the rest comes with the next turn.
    private func handOutWaiting() {
        while budget > 0, let next = waiting.popFirst() {
            handOut(next.datagram, next.source)
        }
        onReadComplete?()
        isInTurn = false
        pause(datagrams: counters.datagramsReceived - turnStart)
        guard !waiting.isEmpty, continuation == nil, !isClosed else { return }
        // A moment in the future: the loop looks at its other sockets before it comes.
        continuation = eventLoop.assumeIsolated().scheduleTask(in: .microseconds(20)) { [weak self] () -> Void in
            self?.nextTurn()
        }
    }

    private func nextTurn() {
        continuation = nil
        guard !isClosed else { return }
        beginTurn()
        readRest()
    }

    // MARK: The end

    /// Closes the socket; what is queued is dropped. Never fails, and may be called twice.
    @discardableResult
    public func close() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        end()
        guard let channel else { return eventLoop.makeSucceededVoidFuture() }
        channel.close(promise: nil)
        return channel.closeFuture.flatMapErrorThrowing { _ in }
    }

    private func end() {
        isClosed = true
        descriptor = -1
        retry?.cancel()
        retry = nil
        continuation?.cancel()
        continuation = nil
        pollingTimer?.cancel()
        pollingTimer = nil
        pollingEnd = nil
        queue = []
        queueHead = 0
        waiting.removeAll()
        incoming = nil
    }

    fileprivate func closed() {
        end()
        localAddress = nil
        channel = nil
        let callback = onClose
        onClose = nil
        onDatagram = nil
        onReadComplete = nil
        callback?()
    }
}

/// Hands what a channel reads to its port.
private final class DatagramReceiver: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let port: UDPPort

    init(port: UDPPort) { self.port = port }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { port.received(Self.unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) { port.readRest() }

    func channelInactive(context: ChannelHandlerContext) { port.closed() }

    /// A read error is that of one datagram; the channel decides itself whether it can go on.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
