import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Hands what is read and the ends of the channel to the connection.
final class WebSocketBytes: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let connection: WebSocketConnection

    init(connection: WebSocketConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { connection.read(Self.unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) { connection.readComplete() }

    func channelWritabilityChanged(context: ChannelHandlerContext) { connection.writabilityChanged() }

    func channelInactive(context: ChannelHandlerContext) { connection.channelClosed() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { connection.end(.lost) }
}

/// The upgrade as NIO does it, the handlers that it would add left out.
struct WebSocketServerUpgrade: NIOTypedHTTPServerProtocolUpgrader {
    private let dance: NIOTypedWebSocketServerUpgrader<Bool>
    private let begin: @Sendable () throws -> Void

    /// - Parameters:
    ///   - headers: what the answer has beside the fields of RFC 6455; `nil` refuses.
    ///   - begin: adds what reads the bytes.
    init(
        headers: @escaping @Sendable () -> HTTPHeaders?, begin: @escaping @Sendable () throws -> Void
    ) {
        self.begin = begin
        dance = NIOTypedWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(headers()) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededFuture(true) })
    }

    var supportedProtocol: String { dance.supportedProtocol }
    var requiredUpgradeHeaders: [String] { dance.requiredUpgradeHeaders }

    func buildUpgradeResponse(
        channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        dance.buildUpgradeResponse(
            channel: channel, upgradeRequest: upgradeRequest, initialResponseHeaders: initialResponseHeaders)
    }

    func upgrade(channel: any Channel, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Bool> {
        channel.eventLoop.makeCompletedFuture {
            try begin()
            return true
        }
    }
}

/// The same for the other end.
struct WebSocketClientUpgrade: NIOTypedHTTPClientProtocolUpgrader {
    private let dance: NIOTypedWebSocketClientUpgrader<Bool>
    private let begin: @Sendable (any Channel) throws -> Void

    /// - Parameter begin: adds what reads the bytes.
    init(begin: @escaping @Sendable (any Channel) throws -> Void) {
        self.begin = begin
        dance = NIOTypedWebSocketClientUpgrader { channel, _ in channel.eventLoop.makeSucceededFuture(true) }
    }

    var supportedProtocol: String { dance.supportedProtocol }
    var requiredUpgradeHeaders: [String] { dance.requiredUpgradeHeaders }

    func addCustom(upgradeRequestHeaders: inout HTTPHeaders) {
        dance.addCustom(upgradeRequestHeaders: &upgradeRequestHeaders)
    }

    func shouldAllowUpgrade(upgradeResponse: HTTPResponseHead) -> Bool {
        dance.shouldAllowUpgrade(upgradeResponse: upgradeResponse)
    }

    func upgrade(channel: any Channel, upgradeResponse: HTTPResponseHead) -> EventLoopFuture<Bool> {
        channel.eventLoop.makeCompletedFuture {
            try begin(channel)
            return true
        }
    }
}
