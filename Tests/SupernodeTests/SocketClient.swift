import JSON
import NIOCore
import NIOPosix
import SwarmBase
import SwarmTransport
import Synchronization

@testable import Supernode

struct WaitedTooLong: Error, CustomStringConvertible {
    var description: String
}

/// What callbacks saw so far; tests wait until it satisfies a condition.
final class Collected<Value: Sendable>: Sendable {
    private struct State {
        var values: [Value] = []
        var waiters: [(id: Int, condition: @Sendable ([Value]) -> Bool, wake: CheckedContinuation<[Value]?, Never>)] =
            []
        var nextID = 0
    }
    private let state = Mutex(State())

    var values: [Value] { state.withLock { $0.values } }

    func add(_ value: Value) {
        let ready = state.withLock { state in
            state.values.append(value)
            let values = state.values
            let ready = state.waiters.filter { $0.condition(values) }
            state.waiters.removeAll { waiter in ready.contains { $0.id == waiter.id } }
            return ready.map { ($0.wake, values) }
        }
        for (wake, values) in ready { wake.resume(returning: values) }
    }

    func wait(
        _ what: String, limit: TimeAmount = .seconds(15), until condition: @escaping @Sendable ([Value]) -> Bool
    ) async throws -> [Value] {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let found = await withCheckedContinuation { (wake: CheckedContinuation<[Value]?, Never>) in
            let id: Int? = state.withLock { state in
                if condition(state.values) { return nil }
                state.nextID += 1
                state.waiters.append((state.nextID, condition, wake))
                return state.nextID
            }
            guard let id else { return wake.resume(returning: values) }
            _ = loop.scheduleTask(in: limit) { [self] in
                let late =
                    state.withLock { state in
                        guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
                        return state.waiters.remove(at: index).wake
                    } as CheckedContinuation<[Value]?, Never>?
                late?.resume(returning: nil)
            }
        }
        guard let found else { throw WaitedTooLong(description: "\(what); so far \(values)") }
        return found
    }
}

/// A WebSocket that speaks JSON, for tests.
struct SocketClient: Sendable {
    let box: NIOLoopBoundBox<WebSocketConnection?>
    let messages = Collected<JSONValue>()
    let opened = Collected<Bool>()
    let closed = Collected<WebSocketCloseReason>()

    static func open(_ url: String) async throws -> SocketClient {
        guard let address = WebSocketURL(url) else { throw WaitedTooLong(description: "no URL: \(url)") }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let client = SocketClient(box: .makeEmptyBox(valueType: WebSocketConnection.self, eventLoop: loop))
        try await loop.submit {
            let connection = WebSocketConnection(eventLoop: loop)
            client.box.value = connection
            connection.onOpen = { client.opened.add(true) }
            connection.onClose = { client.closed.add($0) }
            connection.onMessage = { message in
                // A frame is one message, or a batch of them (gun.md §4).
                guard let value = try? JSONValue(parsing: message.bytes, limits: JSONLimits(bytes: 8 << 20)) else {
                    return
                }
                for each in value.array ?? [value] { client.messages.add(each) }
            }
            connection.open(address)
        }.get()
        _ = try await client.opened.wait("the socket to open") { !$0.isEmpty }
        return client
    }

    func send(_ text: String) async throws {
        try await box.eventLoop.submit { _ = box.value?.send(text: Array(text.utf8)) }.get()
    }

    func close() async throws {
        try await box.eventLoop.submit { box.value?.close() }.get()
        _ = try await closed.wait("the socket to close") { !$0.isEmpty }
    }

    /// The first message that satisfies a condition.
    @discardableResult
    func message(_ what: String, where condition: @escaping @Sendable (JSONValue) -> Bool) async throws -> JSONValue {
        let all = try await messages.wait(what) { $0.contains(where: condition) }
        guard let found = all.first(where: condition) else { throw WaitedTooLong(description: what) }
        return found
    }

    /// The acknowledgement of, or an answer to, the message with this id.
    @discardableResult
    func answer(to id: String) async throws -> JSONValue {
        try await message("an answer to \(id)") { $0["@"]?.string == id }
    }
}

/// Asks over plain HTTP/1.1 and gives everything that comes until the server closes.
func ask(_ port: UInt16, _ request: String) async throws -> String {
    final class Reader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let all: EventLoopPromise<String>
        var text = ByteBuffer()
        init(_ all: EventLoopPromise<String>) { self.all = all }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            text.writeImmutableBuffer(Self.unwrapInboundIn(data))
        }
        func channelInactive(context: ChannelHandlerContext) { all.succeed(String(buffer: text)) }
    }
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let all = loop.makePromise(of: String.self)
    let channel = try await ClientBootstrap(group: loop)
        .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Reader(all)) }
        }
        .connect(host: "127.0.0.1", port: Int(port)).get()
    try await channel.writeAndFlush(ByteBuffer(string: request)).get()
    return try await all.futureResult.get()
}

func get(_ port: UInt16, _ path: String, host: String = "relay.example") async throws -> String {
    try await ask(port, "GET \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n")
}

/// A supernode on loopback and a free port.
func loopbackConfiguration(dataDirectory: String? = nil, port: UInt16 = 0) -> SupernodeConfiguration {
    SupernodeConfiguration(host: IPAddress("127.0.0.1"), port: port, dataDirectory: dataDirectory)
}
