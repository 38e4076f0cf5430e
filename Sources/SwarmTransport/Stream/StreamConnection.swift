public import NIOCore
import NIOPosix
import NIOSSL

/// A TCP connection that a client makes, with TLS if wanted: bytes in, bytes out.
///
/// Confined to its event loop: make it, call it and let go of it there.
public final class StreamConnection {
    public let eventLoop: any EventLoop
    /// Called once when bytes may be sent; those that are sent before the TLS handshake is done wait for it. Never from
    /// within ``open(host:port:tls:)``.
    public var onOpen: (() -> Void)?
    /// Called for bytes as they come, cut anywhere.
    public var onBytes: (([UInt8]) -> Void)?
    /// Called when everything that has come by now was handed out: the moment to send what it caused.
    public var onReadComplete: (() -> Void)?
    /// Called once when it could not be made or has ended, except after ``close()``.
    public var onClose: (() -> Void)?
    /// How long connecting may take.
    public var connectTimeout: Duration = .seconds(10)
    /// Bytes given to ``send(_:)`` that the kernel has not taken yet.
    public private(set) var bufferedBytes = 0

    private enum State { case idle, connecting, open, closed }
    private var state = State.idle
    private var channel: (any Channel)?

    /// Makes a connection that is not opened yet.
    public init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Dials.
    ///
    /// - Parameters:
    ///   - host: an address or a name; with TLS also what the certificate must name.
    ///   - tls: whom to trust; `nil` for plain TCP.
    /// - Precondition: it has not been opened before.
    public func open(host: String, port: Int, tls: ClientTLS? = nil) {
        eventLoop.assertInEventLoop()
        precondition(state == .idle, "a StreamConnection is dialled once")
        state = .connecting
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(connectTimeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(tls.handler(host: host)) }
                    try pipeline.addHandler(StreamHandler(bound.value))
                }
            }
            .connect(host: host, port: port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure: self.ended()
                case .success(let channel):
                    if self.state == .closed { channel.close(promise: nil) } else { self.channel = channel }
                }
            }
    }

    /// Sends bytes; what is sent before it is open is lost.
    public func send(_ bytes: [UInt8]) {
        eventLoop.assertInEventLoop()
        guard state == .open, let channel else { return }
        bufferedBytes += bytes.count
        channel.writeAndFlush(ByteBuffer(bytes: bytes)).assumeIsolated().whenComplete { _ in
            self.bufferedBytes -= bytes.count
        }
    }

    /// Ends it; nothing is called any more.
    public func close() {
        eventLoop.assertInEventLoop()
        guard state != .closed else { return }
        state = .closed
        channel?.close(promise: nil)
        channel = nil
    }

    fileprivate func opened(_ channel: any Channel) {
        guard state == .connecting else { return }
        state = .open
        self.channel = channel
        onOpen?()
    }

    fileprivate func received(_ bytes: [UInt8]) {
        if state == .open { onBytes?(bytes) }
    }

    fileprivate func readComplete() {
        if state == .open { onReadComplete?() }
    }

    fileprivate func ended() {
        guard state != .closed else { return }
        state = .closed
        channel = nil
        onClose?()
    }
}

/// The end of a ``StreamConnection``'s pipeline.
private final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connection: StreamConnection

    init(_ connection: StreamConnection) { self.connection = connection }

    func channelActive(context: ChannelHandlerContext) {
        connection.opened(context.channel)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.received(Array(unwrapInboundIn(data).readableBytesView))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        connection.readComplete()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) { connection.ended() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
