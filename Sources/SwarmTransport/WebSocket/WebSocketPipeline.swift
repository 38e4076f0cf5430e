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

extension WebSocketFrame {
    /// The payload, without the client's mask (RFC 6455 §5.3), which is taken off eight bytes at a time.
    var unmaskedBytes: [UInt8] {
        var bytes = Array(data.readableBytesView)
        guard let maskKey else { return bytes }
        let key = Array(maskKey)
        let word = (0..<8).reduce(UInt64(0)) { $0 | UInt64(key[$1 & 3]) << UInt64(8 * $1) }.littleEndian
        let whole = bytes.count & ~7
        unsafe bytes.withUnsafeMutableBytes { raw in
            // Each word lies within the array: `whole` is no more than its count.
            for start in stride(from: 0, to: whole, by: 8) {
                let masked = unsafe raw.loadUnaligned(fromByteOffset: start, as: UInt64.self)
                unsafe raw.storeBytes(of: masked ^ word, toByteOffset: start, as: UInt64.self)
            }
        }
        for place in whole..<bytes.count { bytes[place] ^= key[place & 3] }
        return bytes
    }
}
