import NIOCore
import NIOPosix
import SwarmBase
import Testing

@testable import SwarmTransport

@Suite struct StreamTableTests {
    enum Report: Equatable, Sendable {
        case opened(String)
        case bytes(String, [UInt8])
        case closed(String)
    }

    /// A table in a box, with what it told.
    private func table(
        _ loop: any EventLoop
    ) async throws -> (table: NIOLoopBoundBox<StreamTable<String>?>, reports: Observed<Report>) {
        let box = NIOLoopBoundBox<StreamTable<String>?>.makeEmptyBox(
            valueType: StreamTable<String>.self, eventLoop: loop)
        let reports = Observed<Report>(loop)
        try await on(loop) { () -> Void in
            let table = StreamTable<String>(eventLoop: loop)
            table.onOpen = { reports.add(.opened($0)) }
            table.onBytes = { reports.add(.bytes($0, $1)) }
            table.onClose = { reports.add(.closed($0)) }
            box.value = table
        }
        return (box, reports)
    }

    private func server(
        _ loop: any EventLoop, _ handler: @escaping @Sendable () -> any ChannelHandler & Sendable
    ) async throws -> any Channel {
        try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in channel.pipeline.addHandler(handler()) }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    @Test func twoConnectionsEachHaveTheirName() async throws {
        let loop = nextLoop()
        let listener = try await server(loop) { EchoHandler() }
        let port = UInt16(listener.localAddress?.port ?? 0)
        let (table, reports) = try await table(loop)
        try await on(loop) { () -> Void in
            table.value?.send([0], on: "a")
            table.value?.open("a", host: "127.0.0.1", port: port)
            table.value?.open("b", host: "127.0.0.1", port: port)
        }
        _ = try await reports.wait { $0.contains(.opened("a")) && $0.contains(.opened("b")) }
        try await on(loop) { () -> Void in
            table.value?.send([1, 2], on: "a")
            table.value?.send([3], on: "b")
        }
        _ = try await reports.wait { $0.contains(.bytes("a", [1, 2])) && $0.contains(.bytes("b", [3])) }
        // After `close` nothing is told; the other lives on.
        try await on(loop) { () -> Void in
            table.value?.close("a")
            table.value?.send([4], on: "b")
        }
        let all = try await reports.wait { $0.contains(.bytes("b", [4])) }
        #expect(!all.contains(.closed("a")))
        #expect(try await on(loop) { table.value?.count } == 1)
        try await on(loop) { table.value?.closeAll() }
        try await listener.close()
    }

    @Test func whatCannotBeOpenedIsClosed() async throws {
        let loop = nextLoop()
        let listener = try await server(loop) { EchoHandler() }
        let port = UInt16(listener.localAddress?.port ?? 0)
        try await listener.close()
        let (table, reports) = try await table(loop)
        try await on(loop) { table.value?.open("a", host: "127.0.0.1", port: port) }
        #expect(try await reports.wait(count: 1) == [.closed("a")])
        #expect(try await on(loop) { table.value?.contains("a") } == false)
    }

    @Test func tlsSpeaksFirstAndAPlainServerEndsIt() async throws {
        let loop = nextLoop()
        let listener = try await server(loop) { EchoHandler() }
        let port = UInt16(listener.localAddress?.port ?? 0)
        let (table, reports) = try await table(loop)
        try await on(loop) { table.value?.open("a", host: "127.0.0.1", port: port, usesTLS: true) }
        // What comes back is no TLS: the connection ends.
        _ = try await reports.wait { $0.contains(.closed("a")) }
        try await listener.close()
    }

    @Test func tooMuchIsLeftOut() async throws {
        let loop = nextLoop()
        let listener = try await server(loop) { SilentHandler() }
        let port = UInt16(listener.localAddress?.port ?? 0)
        let (table, reports) = try await table(loop)
        try await on(loop) { () -> Void in
            table.value?.maximumBacklog = 100_000
            table.value?.open("a", host: "127.0.0.1", port: port)
        }
        _ = try await reports.wait(count: 1)
        // The peer reads nothing, so that after the kernel's buffers the backlog fills.
        let drops = try await on(loop) {
            for _ in 0..<2000 { table.value?.send([UInt8](repeating: 1, count: 10_000), on: "a") }
            return table.value?.drops ?? 0
        }
        #expect(drops > 0)
        #expect(drops < 2000)
        try await on(loop) { table.value?.closeAll() }
        try await listener.close()
    }
}

/// Sends back what comes.
private final class EchoHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(data, promise: nil)
    }
}

/// Reads nothing.
private final class SilentHandler: ChannelDuplexHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    func read(context: ChannelHandlerContext) {}
}
