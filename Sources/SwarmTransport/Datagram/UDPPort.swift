import Glibc
public import NIOCore
import NIOPosix
public import SwarmBase

/// How a ``UDPPort`` is bound.
public struct UDPPortConfiguration: Sendable {
    /// The address to bind; `nil` is every address of the host, IPv6 and IPv4 alike.
    public var host: IPAddress?
    /// The port to bind; 0 takes a free one.
    public var port: UInt16
    /// What the kernel is asked for, for each direction, in bytes; it may give less.
    public var socketBufferBytes = 4 << 20
    /// How many datagrams one system call may read.
    public var readBatch = 32
    /// The longest datagram that can be received; a longer one is cut. No peer protocol here passes 1,500 bytes.
    public var maximumDatagramBytes = 2048
    /// How many datagrams may wait for a full socket buffer; what comes on top is dropped and counted.
    public var sendQueueDatagrams = 4096

    public init(host: IPAddress? = nil, port: UInt16 = 0) {
        self.host = host
        self.port = port
    }
}

/// What a ``UDPPort`` did so far.
public struct UDPPortCounters: Hashable, Sendable {
    public var datagramsReceived = 0
    public var bytesReceived = 0
    public var datagramsSent = 0
    public var bytesSent = 0
    /// Datagrams that the kernel refused: no route, filtered, wrong family. Each is as good as lost on the way.
    public var sendErrors = 0
    /// Datagrams dropped because the send queue was full.
    public var sendDrops = 0

    public init() {}
}

/// The port cannot be used as asked.
public enum UDPPortError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another socket holds the address and port.
    case addressInUse(UInt16)
    /// The host has no such address, or the port needs a right that this process lacks; the system's error number.
    case cannotBind(errorNumber: Int32)
    /// The socket is closed.
    case closed

    public var description: String {
        switch self {
        case .addressInUse(let port): "UDP port \(port) is in use by another program"
        case .cannotBind(let number): "cannot bind the UDP port (error \(number))"
        case .closed: "the UDP port is closed"
        }
    }
}

/// The node's one UDP socket.
///
/// Bound to `::` it carries IPv6 and IPv4 (RFC 3493 §3.7; mapped addresses are shown as IPv4); on a host without IPv6
/// it falls back to `0.0.0.0`. Reading is by the event loop, many datagrams a system call. Sending is by `sendto` on
/// the same descriptor: a channel closes itself at the first `ENETUNREACH` or `EPERM`, but for a socket shared by
/// many peers an unreachable one is daily business, so an error costs that datagram only and is counted.
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
    private var descriptor: CInt = -1
    private var isIPv6Socket = false
    private var isClosed = false
    private var queue: [Transmit] = []
    private var queueHead = 0
    private var retry: Scheduled<Void>?

    /// Makes a port that is not bound yet.
    public init(eventLoop: any EventLoop, configuration: UDPPortConfiguration = .init()) {
        self.eventLoop = eventLoop
        self.configuration = configuration
        queue.reserveCapacity(64)
    }

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
            .channelOption(.datagramVectorReadMessageCount, value: configuration.readBatch)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(
                    capacity: configuration.readBatch * configuration.maximumDatagramBytes)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DatagramReceiver(port: bound.value))
                }
            }
        if host.isIPv6 {
            bootstrap = bootstrap.channelOption(
                ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only),
                value: host.isUnspecified ? 0 : 1)
        }
        return bootstrap.bind(host: host.description, port: Int(configuration.port)).assumeIsolated()
            .flatMapThrowing { channel in try self.adopt(channel, isIPv6: host.isIPv6) }
    }

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
        queue.append(transmit)
    }

    /// Sends what is queued. What the socket buffer cannot take now is tried again a millisecond later.
    public func flush() {
        eventLoop.assertInEventLoop()
        guard retry == nil else { return }
        while queueHead < queue.count {
            guard descriptor >= 0 else { break }
            let transmit = queue[queueHead]
            let error = sendNow(transmit)
            if error == EAGAIN || error == EWOULDBLOCK {
                if queueHead > 1024 {
                    queue.removeFirst(queueHead)
                    queueHead = 0
                }
                retry = eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(1)) { [weak self] () -> Void in
                    self?.retry = nil
                    self?.flush()
                }
                return
            }
            queueHead += 1
            if error == 0 {
                counters.datagramsSent += 1
                counters.bytesSent += transmit.payload.count
            } else {
                counters.sendErrors += 1
            }
        }
        queue.removeAll(keepingCapacity: true)
        queueHead = 0
    }

    /// - Returns: 0, or the system's error number.
    private func sendNow(_ transmit: Transmit) -> CInt {
        if isIPv6Socket {
            var address = transmit.destination.sockaddrIPv6
            return unsafe withUnsafeBytes(of: &address) { unsafe sendNow(transmit.payload, to: $0) }
        }
        guard var address = transmit.destination.sockaddrIPv4 else { return EAFNOSUPPORT }
        return unsafe withUnsafeBytes(of: &address) { unsafe sendNow(transmit.payload, to: $0) }
    }

    /// - Parameter address: a `sockaddr_in` or `sockaddr_in6`, whole.
    private func sendNow(_ payload: [UInt8], to address: UnsafeRawBufferPointer) -> CInt {
        unsafe payload.withUnsafeBytes { bytes in
            while true {
                let sent = unsafe sendto(
                    descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL),
                    address.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(address.count))
                if sent >= 0 { return 0 }
                if errno != EINTR { return errno }
            }
        }
    }

    // MARK: The end

    /// Closes the socket; what is queued is dropped. Never fails, and may be called twice.
    @discardableResult
    public func close() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        isClosed = true
        descriptor = -1
        retry?.cancel()
        retry = nil
        queue = []
        queueHead = 0
        guard let channel else { return eventLoop.makeSucceededVoidFuture() }
        channel.close(promise: nil)
        return channel.closeFuture.flatMapErrorThrowing { _ in }
    }

    fileprivate func received(_ envelope: AddressedEnvelope<ByteBuffer>) {
        guard let source = TransportAddress(envelope.remoteAddress) else { return }
        counters.datagramsReceived += 1
        counters.bytesReceived += envelope.data.readableBytes
        onDatagram?(Array(envelope.data.readableBytesView), source)
    }

    fileprivate func closed() {
        descriptor = -1
        localAddress = nil
        channel = nil
        isClosed = true
        retry?.cancel()
        retry = nil
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

    func channelReadComplete(context: ChannelHandlerContext) { port.onReadComplete?() }

    func channelInactive(context: ChannelHandlerContext) { port.closed() }

    /// A read error is that of one datagram; the channel decides itself whether it can go on.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
