public import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

extension WebSocketConnection {
    /// Makes a client connection; ``open(_:tls:)`` dials.
    ///
    /// - Parameter flushes: what the connection shares with others of its loop, when there are many.
    public convenience init(
        eventLoop: any EventLoop, configuration: WebSocketConfiguration = .init(), flushes: WebSocketFlushes? = nil
    ) {
        self.init(eventLoop: eventLoop, configuration: configuration, isClient: true, flushes: flushes)
    }

    /// Resolves the host, connects to its addresses in turn (RFC 8305) and asks for the upgrade.
    ///
    /// ``onOpen`` or ``onClose`` will be called, never from within this call.
    ///
    /// - Parameters:
    ///   - url: where to.
    ///   - tls: whom to trust for `wss:`; `nil` is the system's roots.
    /// - Precondition: the connection has not been opened before.
    public func open(_ url: WebSocketURL, tls: ClientTLS? = nil) {
        eventLoop.assertInEventLoop()
        precondition(isClient && state == .idle, "a WebSocketConnection is dialled once")
        startOpening()
        if !url.isSecure { return dial(url, tls: nil) }
        if let tls { return dial(url, tls: tls) }
        // Reading the system's roots takes long; it must not hold up everything else on the loop.
        NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { try ClientTLS.system.get() }.assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure(let error): self.end(.cannotConnect(String(describing: error)))
                case .success(let tls): self.dial(url, tls: tls)
                }
            }
    }

    private func dial(_ url: WebSocketURL, tls: ClientTLS?) {
        guard state == .connecting else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(configuration.connectTimeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.prepare(channel, url: url, tls: tls) }
            }
            .connect(host: url.host, port: url.port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure(let error): self.end(.cannotConnect(Self.text(of: error)))
                case .success(let channel): if !self.connected(channel) { channel.close(promise: nil) }
                }
            }
    }

    private func prepare(_ channel: any Channel, url: WebSocketURL, tls: ClientTLS?) throws {
        guard state == .connecting else { throw WebSocketCloseReason.requested }
        let pipeline = channel.pipeline.syncOperations
        if let tls { try pipeline.addHandler(tls.handler(host: url.host)) }
        var headers = HTTPHeaders([("Host", url.authority), ("Content-Length", "0")])
        for (name, value) in configuration.headers { headers.replaceOrAdd(name: name, value: value) }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let upgrader = WebSocketClientUpgrade { try bound.value.upgrading($0) }
        let request = HTTPRequestHead(version: .http1_1, method: .GET, uri: url.target, headers: headers)
        var http = NIOUpgradableHTTPClientPipelineConfiguration(
            upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                upgradeRequestHead: request, upgraders: [upgrader],
                notUpgradingCompletionHandler: { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(UpgradeRefusal(connection: bound.value))
                        return false
                    }
                }))
        // A server may greet in the segment of its answer, as a GUN relay does.
        http.leftOverBytesStrategy = .forwardBytes
        http.decoderConfiguration.maxHeaderListSize = 64 << 10
        try pipeline.configureUpgradableHTTPClientPipeline(configuration: http).assumeIsolated().whenComplete {
            result in
            switch result {
            // Not before: while the pipeline is being changed, what is written to it is dropped.
            case .success(let isUpgraded): if isUpgraded { self.upgraded() }
            case .failure(let error): if self.state == .connecting { self.end(.cannotConnect(Self.text(of: error))) }
            }
        }
        channel.closeFuture.assumeIsolated().whenComplete { _ in self.channelClosed() }
    }

    private static func text(of error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return text(of: first.error) }
            return "no address found for \(error.host)"
        case let error as IOError: return error.description
        default: return String(describing: error)
        }
    }
}

/// Reads the status of a server that does not upgrade.
private final class UpgradeRefusal: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    private let connection: WebSocketConnection

    init(connection: WebSocketConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = Self.unwrapInboundIn(data) else { return }
        connection.end(.refused(status: Int(head.status.code)))
    }
}
