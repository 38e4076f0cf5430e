import NIOCore
import NIOPosix
import SwarmBase

@testable import SwarmTransport

/// An ``HTTPServer`` on loopback, in a box.
struct TestServer: Sendable {
    let box: NIOLoopBoundBox<HTTPServer?>
    let address: TransportAddress
    /// The accepted WebSockets' ends.
    let closed: Observed<WebSocketCloseReason>
    let accepted: Observed<Int>
    let connections: NIOLoopBoundBox<[WebSocketConnection]>
    var loop: any EventLoop { box.eventLoop }

    /// A server that echoes on `/echo`, greets with "hello" on `/greet`, says nothing on `/quiet`, refuses the rest.
    static func start(
        _ loop: any EventLoop, _ configuration: HTTPServerConfiguration = .init(host: IPAddress("127.0.0.1"))
    ) async throws -> TestServer {
        let box = NIOLoopBoundBox<HTTPServer?>.makeEmptyBox(valueType: HTTPServer.self, eventLoop: loop)
        let connections = NIOLoopBoundBox<[WebSocketConnection]>.makeBoxSendingValue([], eventLoop: loop)
        let closed = Observed<WebSocketCloseReason>(loop)
        let accepted = Observed<Int>(loop)
        let address = try await on(loop) {
            let server = HTTPServer(eventLoop: loop, configuration: configuration) { request in
                switch request.path {
                case "/": HTTPResponse("front page", type: "text/html; charset=utf-8")
                case "/query": HTTPResponse(request.query ?? "none")
                case "/big": HTTPResponse(status: 200, body: [UInt8](repeating: 0x61, count: 200_000))
                default: nil
                }
            } upgrades: { request in
                guard ["/echo", "/greet", "/quiet"].contains(request.path) else { return .refuse(status: 404) }
                return .accept { connection in
                    connections.value.append(connection)
                    accepted.add(connections.value.count)
                    connection.onClose = { closed.add($0) }
                    if request.path == "/greet" { connection.send(text: Array("hello".utf8)) }
                    guard request.path == "/echo" else { return }
                    connection.onMessage = { [weak connection] message in
                        switch message {
                        case .text(let bytes): connection?.send(text: bytes)
                        case .binary(let bytes): connection?.send(binary: bytes)
                        }
                    }
                }
            }
            box.value = server
            return server.start()
        }
        return TestServer(box: box, address: address, closed: closed, accepted: accepted, connections: connections)
    }

    func stop() async throws {
        try await on(loop) { box.value?.stop() ?? loop.makeSucceededVoidFuture() }
        try await on(loop) {
            box.value = nil
            connections.value = []
        }
    }
}

/// A WebSocket client in a box, with what it saw.
struct TestClient: Sendable {
    let box: NIOLoopBoundBox<WebSocketConnection?>
    let opened: Observed<Bool>
    let messages: Observed<WebSocketMessage>
    let closed: Observed<WebSocketCloseReason>
    var loop: any EventLoop { box.eventLoop }

    static func open(
        _ loop: any EventLoop, _ url: String, _ configuration: WebSocketConfiguration = .init(), tls: ClientTLS? = nil,
        greeting: String? = nil
    ) async throws -> TestClient {
        guard let url = WebSocketURL(url) else { throw WaitedTooLong() }
        let client = TestClient(
            box: .makeEmptyBox(valueType: WebSocketConnection.self, eventLoop: loop), opened: Observed(loop),
            messages: Observed(loop), closed: Observed(loop))
        try await on(loop) {
            let connection = WebSocketConnection(eventLoop: loop, configuration: configuration)
            client.box.value = connection
            connection.onOpen = {
                client.opened.add(true)
                if let greeting { _ = client.box.value?.send(text: Array(greeting.utf8)) }
            }
            connection.onMessage = { client.messages.add($0) }
            connection.onClose = { client.closed.add($0) }
            connection.open(url, tls: tls)
        }
        return client
    }

    func send(_ message: WebSocketMessage) async throws {
        try await on(loop) { () -> Void in
            switch message {
            case .text(let bytes): _ = box.value?.send(text: bytes)
            case .binary(let bytes): _ = box.value?.send(binary: bytes)
            }
        }
    }

    func close() async throws {
        try await on(loop) { box.value?.close() }
        _ = try await closed.wait(count: 1)
    }
}

/// A TCP connection that speaks whatever bytes a test wants.
struct RawConnection: Sendable {
    let channel: any Channel
    let received: Observed<[UInt8]>
    let ended: Observed<Bool>

    static func connect(_ loop: any EventLoop, to address: TransportAddress) async throws -> RawConnection {
        let received = Observed<[UInt8]>(loop)
        let ended = Observed<Bool>(loop)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(received: received, ended: ended))
                }
            }
            .connect(host: address.address.description, port: Int(address.port)).get()
        return RawConnection(channel: channel, received: received, ended: ended)
    }

    func send(_ bytes: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get() }

    func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    /// All bytes so far, once they satisfy a condition.
    func bytes(until condition: @escaping @Sendable ([UInt8]) -> Bool) async throws -> [UInt8] {
        let chunks = try await received.wait { condition($0.flatMap { $0 }) }
        return chunks.flatMap { $0 }
    }

    func text(containing needle: String) async throws -> String {
        let bytes = try await bytes { String(decoding: $0, as: UTF8.self).contains(needle) }
        return String(decoding: bytes, as: UTF8.self)
    }

    func upgrade(_ path: String) async throws {
        try await send(
            "GET \(path) HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        // The answer to this key is the example of RFC 6455 §1.3.
        _ = try await text(containing: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let received: Observed<[UInt8]>
        let ended: Observed<Bool>
        init(received: Observed<[UInt8]>, ended: Observed<Bool>) {
            self.received = received
            self.ended = ended
        }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received.add(Array(Self.unwrapInboundIn(data).readableBytesView))
        }
        func channelInactive(context: ChannelHandlerContext) { ended.add(true) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// A masked or unmasked WebSocket frame, by hand.
func rawFrame(_ first: UInt8, _ payload: [UInt8], mask: [UInt8]? = [1, 2, 3, 4]) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(first)
    let bit: UInt8 = mask == nil ? 0 : 0x80
    if payload.count < 126 {
        writer.integer(bit | UInt8(payload.count))
    } else {
        writer.integer(bit | 126)
        writer.integer(UInt16(payload.count))
    }
    guard let mask else { return writer.bytes + payload }
    writer.append(mask)
    writer.append(payload.enumerated().map { $1 ^ mask[$0 % 4] })
    return writer.bytes
}

/// Passes TCP on to a server until it is frozen; then it reads from neither side, as if the cable were out.
struct FreezableRelay: Sendable {
    let listener: any Channel
    let channels: NIOLoopBoundBox<[any Channel]>
    var port: Int { listener.localAddress?.port ?? 0 }

    static func start(_ loop: any EventLoop, to address: TransportAddress) async throws -> FreezableRelay {
        let channels = NIOLoopBoundBox<[any Channel]>.makeBoxSendingValue([], eventLoop: loop)
        let listener = try await ServerBootstrap(group: loop, childGroup: loop)
            .childChannelInitializer { inner in
                channels.value.append(inner)
                return ClientBootstrap(group: loop)
                    .channelInitializer { outer in
                        channels.value.append(outer)
                        return outer.eventLoop.makeCompletedFuture {
                            try outer.pipeline.syncOperations.addHandler(Glue(inner))
                        }
                    }
                    .connect(host: address.address.description, port: Int(address.port))
                    .flatMapThrowing { outer in try inner.pipeline.syncOperations.addHandler(Glue(outer)) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return FreezableRelay(listener: listener, channels: channels)
    }

    func freeze() async throws {
        try await on(channels.eventLoop) {
            for channel in channels.value { try channel.syncOptions?.setOption(.autoRead, value: false) }
        }
    }

    func stop() async throws {
        try await on(channels.eventLoop) {
            listener.close(promise: nil)
            for channel in channels.value { channel.close(promise: nil) }
            channels.value = []
        }
    }

    private final class Glue: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let other: any Channel
        init(_ other: any Channel) { self.other = other }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            other.writeAndFlush(Self.unwrapInboundIn(data), promise: nil)
        }
        func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
