import NIOCore
public import SwarmEngine

/// One byte stream between two members, with two directions.
///
/// ```swift
/// let stream = try await swarm.openStream(to: peer, name: "backup")
/// for chunk in chunks { try await stream.write(chunk) }     // waits while the other does not keep up
/// try await stream.finish()
/// for try await bytes in stream { print("it answers", bytes.count) }
/// ```
///
/// Bytes arrive exactly as they were written, whatever happens to the paths; they wait nowhere but at the writer, in a
/// bounded buffer. A stream ends with the run of either member. Read it in one place.
public final class SwarmStream: AsyncSequence, Sendable {
    public typealias Element = [UInt8]

    /// With whom.
    public let peer: PeerID
    /// What it is for, as the opener says.
    public let name: String
    let id: UInt64
    private let eventLoop: any EventLoop
    private let node: NIOLoopBound<Weak>

    init(peer: PeerID, id: UInt64, name: String, node: Node) {
        self.peer = peer
        self.id = id
        self.name = name
        eventLoop = node.eventLoop
        self.node = NIOLoopBound(Weak(node), eventLoop: node.eventLoop)
    }

    deinit {
        // Whoever lets go of a stream does not want the rest of it; what was finished arrives all the same.
        let (node, key) = (node, key)
        eventLoop.execute { node.value.node?.exchanges.letGo(key) }
    }

    private var key: ExchangeKey { ExchangeKey(peer: peer, id: id) }

    /// How far a stream is, in bytes.
    public struct Progress: Equatable, Sendable {
        /// What was written and has arrived.
        public var acknowledged: UInt64
        /// What has arrived of what the other wrote.
        public var received: UInt64
    }

    /// How far it is; as it ended, when it is over.
    public func progress() async -> Progress {
        let (node, key) = (node, key)
        let progress = try? await eventLoop.submit { node.value.node?.exchanges.progress(of: key) }.get()
        return progress.flatMap { $0 } ?? Progress(acknowledged: 0, received: 0)
    }

    /// Writes bytes. It returns when they are in the buffer, and waits while that is full.
    ///
    /// - Throws: `StreamReset` when the stream has ended; `CancellationError`.
    public func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let (node, key, part, eventLoop) = (node, key, rest, eventLoop)
            let taken = try await waiting {
                node.value.node?.exchanges.write(part, to: key) ?? eventLoop.makeFailedFuture(StreamReset.interrupted)
            }
            rest = rest.dropFirst(taken)
        }
    }

    /// Nothing more will be written: the other reads to here and then the end.
    public func finish() async throws {
        let (node, key) = (node, key)
        try await eventLoop.submit { node.value.node?.exchanges.finish(key) }.get()
    }

    /// Waits until all that was written has arrived, the end too.
    ///
    /// - Throws: `StreamReset` when the stream ended before; `CancellationError`.
    public func drained() async throws {
        let (node, key, eventLoop) = (node, key, eventLoop)
        try await waiting {
            node.value.node?.exchanges.drained(key) ?? eventLoop.makeFailedFuture(StreamReset.interrupted)
        }
    }

    /// Ends both directions at once.
    ///
    /// - Parameter code: `.unwanted`, or one of the application's own, from `StreamReset.firstOfApplication` on.
    public func reset(_ code: StreamReset = .unwanted) async {
        let (node, key) = (node, key)
        try? await eventLoop.submit { node.value.node?.exchanges.reset(key, code) }.get()
    }

    /// Waits for a future, or for the end of the task.
    private func waiting<Value: Sendable>(
        _ body: @escaping @Sendable () -> EventLoopFuture<Value>
    ) async throws -> Value {
        try Task.checkCancellation()
        let (node, key) = (node, key)
        return try await withTaskCancellationHandler {
            try await eventLoop.flatSubmit(body).get()
        } onCancel: {
            eventLoop.execute { node.value.node?.exchanges.cancelWaiting(key) }
        }
    }

    fileprivate func read() async throws -> [UInt8]? {
        let (node, key, eventLoop) = (node, key, eventLoop)
        return try await waiting {
            node.value.node?.exchanges.read(key) ?? eventLoop.makeFailedFuture(StreamReset.interrupted)
        }
    }

    /// Gives out what arrives, piece by piece.
    public struct Iterator: AsyncIteratorProtocol {
        let stream: SwarmStream

        /// The next bytes; `nil` at the end.
        ///
        /// - Throws: `StreamReset` when the stream has ended before; `CancellationError`.
        public mutating func next() async throws -> [UInt8]? { try await stream.read() }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(stream: self) }
}

/// Byte streams between members.
extension Swarm {
    /// Opens a byte stream to a member.
    ///
    /// - Parameter name: what it is for: the other takes streams by their names. At most 255 bytes of UTF-8.
    /// - Throws: when there are too many with this member, or it is known to take none.
    public func openStream(
        to peer: PeerID, name: String = "", priority: MessagePriority = .normal
    ) throws(SwarmError) -> SwarmStream {
        let node = try running()
        let id: UInt64
        do { id = try node.engine.openStream(name, to: peer, priority: priority, now: node.now) } catch {
            throw SwarmError(error, to: peer)
        }
        defer { node.drain() }
        return node.exchanges.add(peer, id, name)
    }

    /// Takes byte streams of a name from now on; a later handler replaces an earlier one. Others are reset as refused.
    ///
    /// When a handler returns, its stream is finished; what it did not read is not wanted.
    public func acceptStreams(
        named name: String = "", _ handler: @escaping @Sendable (SwarmStream) async throws -> Void
    ) throws(SwarmError) {
        try running().exchanges.acceptors[name] = handler
    }
}
