import Glibc
public import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
public import SwarmBase

/// A small HTTP/1.1 server with WebSocket upgrades, for a handful of routes.
///
/// All connections live on one event loop, beside the protocol cores that they feed: no hops, no locks. Confined to
/// that loop: make it, call it and let go of it there.
public final class HTTPServer {
    /// Answers GET and HEAD; `nil` is 404.
    public typealias Routes = (HTTPRequest) -> HTTPResponse?
    /// Decides about WebSocket upgrades.
    public typealias Upgrades = (HTTPRequest) -> WebSocketDecision

    public let eventLoop: any EventLoop
    public let configuration: HTTPServerConfiguration
    public internal(set) var counters = HTTPServerCounters()
    /// What the server listens on.
    public private(set) var localAddress: TransportAddress?
    /// Connections there are now, WebSockets included.
    public var connectionCount: Int { connections.count }

    let routes: Routes
    let upgrades: Upgrades
    let flushes: WebSocketFlushes
    private var listener: (any Channel)?
    private var connections: [ObjectIdentifier: ServerConnection] = [:]
    private var receivingBytes = 0
    private var perAddress: [IPAddress: Int] = [:]
    private(set) var isStopping = false
    private var stopped: EventLoopPromise<Void>?

    /// Makes a server that does not listen yet.
    public init(
        eventLoop: any EventLoop, configuration: HTTPServerConfiguration = .init(), routes: @escaping Routes,
        upgrades: @escaping Upgrades
    ) {
        self.eventLoop = eventLoop
        self.configuration = configuration
        self.routes = routes
        self.upgrades = upgrades
        flushes = WebSocketFlushes(eventLoop: eventLoop)
    }

    /// Listens. The address can be taken again right after a crash (`SO_REUSEADDR`).
    ///
    /// - Returns: the bound address with the real port. Fails with ``HTTPServerError``.
    public func start() -> EventLoopFuture<TransportAddress> {
        eventLoop.assertInEventLoop()
        let port = configuration.port
        return listen(configuration.host ?? .v6(0, 0)).flatMapError { error in
            let number = (error as? IOError)?.errnoCode ?? EINVAL
            guard self.configuration.host == nil, number == EAFNOSUPPORT || number == EADDRNOTAVAIL else {
                return self.eventLoop.makeFailedFuture(error)
            }
            return self.listen(.v4(0)).nonisolated()
        }.flatMapErrorThrowing { error in
            if let known = error as? HTTPServerError { throw known }
            let number = (error as? IOError)?.errnoCode ?? EINVAL
            throw number == EADDRINUSE ? HTTPServerError.addressInUse(port) : .cannotBind(errorNumber: number)
        }.nonisolated()
    }

    private func listen(_ host: IPAddress) -> EventLoopFuture<TransportAddress>.Isolated {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        var bootstrap = ServerBootstrap(group: eventLoop, childGroup: eventLoop)
            .serverChannelOption(.backlog, value: 512)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.accept(channel) }
            }
        if host.isIPv6 {
            bootstrap = bootstrap.serverChannelOption(
                ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only),
                value: host.isUnspecified ? 0 : 1)
        }
        let address = TransportAddress(host, port: configuration.port)
        return eventLoop.makeCompletedFuture { [bootstrap] in bootstrap.bind(to: try SocketAddress(address)) }
            .assumeIsolated().flatMap { $0 }
            .flatMapThrowing { channel in
                guard !self.isStopping, let address = channel.localAddress.flatMap({ TransportAddress($0) }) else {
                    channel.close(promise: nil)
                    throw HTTPServerError.stopped
                }
                self.listener = channel
                self.localAddress = address
                return address
            }
    }

    private func accept(_ channel: any Channel) throws {
        let remote = channel.remoteAddress.flatMap { TransportAddress($0) }
        let isLimited = remote.map { !$0.address.isLoopback } ?? false
        let same = remote.flatMap { perAddress[$0.address] } ?? 0
        guard !isStopping, connections.count < configuration.maximumConnections,
            !isLimited || same < configuration.maximumConnectionsPerAddress
        else {
            counters.connectionsRefused += 1
            throw HTTPServerError.stopped
        }
        counters.connectionsAccepted += 1
        if let remote { perAddress[remote.address] = same + 1 }
        let connection = ServerConnection(server: self, channel: channel, remoteAddress: remote)
        let id = ObjectIdentifier(connection)
        connections[id] = connection
        channel.closeFuture.assumeIsolated().whenComplete { _ in self.closed(id) }
        try connection.start()
    }

    private func closed(_ id: ObjectIdentifier) {
        guard let connection = connections.removeValue(forKey: id) else { return }
        connection.closed()
        if let address = connection.remoteAddress?.address {
            let left = (perAddress[address] ?? 1) - 1
            perAddress[address] = left > 0 ? left : nil
        }
        finishStopping()
    }

    /// A WebSocket has read so many bytes more, or a message is whole.
    func receiving(_ change: Int) {
        receivingBytes += change
        while receivingBytes > configuration.maximumReceivingBytes,
            let longest = connections.values.max(by: { $0.receivingBytes < $1.receivingBytes }),
            longest.receivingBytes > 0
        {
            counters.webSocketsCut += 1
            longest.cutWebSocket()
        }
    }

    /// Stops: no new connections, WebSockets are closed with 1001, answers are finished; after
    /// ``HTTPServerConfiguration/stopTimeout`` what is left is cut.
    public func stop() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        if let stopped { return stopped.futureResult }
        let promise = eventLoop.makePromise(of: Void.self)
        stopped = promise
        isStopping = true
        listener?.close(promise: nil)
        for connection in connections.values { connection.leave() }
        let cut = eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(configuration.stopTimeout)) { () -> Void in
            for connection in self.connections.values { connection.cut() }
        }
        promise.futureResult.assumeIsolated().whenComplete { _ in cut.cancel() }
        finishStopping()
        return promise.futureResult
    }

    private func finishStopping() {
        guard let stopped, connections.isEmpty else { return }
        guard let listener else { return stopped.succeed() }
        self.listener = nil
        listener.closeFuture.whenComplete { _ in stopped.succeed() }
    }
}
