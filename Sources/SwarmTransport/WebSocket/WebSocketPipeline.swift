import NIOCore
import NIOWebSocket

/// Counts reads of raw bytes, in front of everything else: half of a long frame is a sign of life too.
final class WebSocketActivity: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    private let connection: WebSocketConnection

    init(connection: WebSocketConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.readBytes(Self.unwrapInboundIn(data).readableBytes)
        context.fireChannelRead(data)
    }
}

/// Hands frames and the ends of the channel to the connection.
final class WebSocketFrames: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame
    private let connection: WebSocketConnection

    init(connection: WebSocketConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { connection.received(Self.unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) { connection.readComplete() }

    func channelWritabilityChanged(context: ChannelHandlerContext) { connection.writabilityChanged() }

    func channelInactive(context: ChannelHandlerContext) { connection.channelClosed() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error as? NIOWebSocketError {
        case .invalidFrameLength: connection.violation(1009)
        case .some: connection.violation(1002)
        case nil: connection.end(.lost)
        }
    }
}
