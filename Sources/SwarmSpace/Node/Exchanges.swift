import NIOCore
import SwarmBase
import SwarmEngine

/// What names a request or a byte stream.
struct ExchangeKey: Hashable, Sendable {
    var peer: PeerID
    var id: UInt64
}

/// The requests and byte streams of a node: who waits for what.
///
/// Confined to the node's event loop.
final class Exchanges {
    typealias Handler = @Sendable ([UInt8], PeerID) async throws -> [UInt8]
    typealias Acceptor = @Sendable (SwarmStream) async throws -> Void

    private struct Stream {
        var reader: EventLoopPromise<[UInt8]?>?
        var writer: (promise: EventLoopPromise<Int>, bytes: ArraySlice<UInt8>)?
        var drained: EventLoopPromise<Void>?
        /// The application has it in hands.
        var isHeld = true
        var hasFinished = false
        var hasReadAll = false
        var written: UInt64 = 0
        /// How it ended, when not of itself.
        var reset: StreamReset?
        var progress = SwarmStream.Progress(acknowledged: 0, received: 0)
    }

    /// How much is read at once.
    private static let readSize = 64 * 1024

    private unowned let node: Node
    var handlers: [String: Handler] = [:]
    var acceptors: [String: Acceptor] = [:]
    var asked: [ExchangeKey: OneShot<RequestResult>] = [:]
    private var answering: [ExchangeKey: Task<Void, Never>] = [:]
    private var streams: [ExchangeKey: Stream] = [:]

    init(node: Node) { self.node = node }

    func take(_ exchange: SwarmExchange) {
        switch exchange {
        case .request(let peer, let id, let action, let payload):
            answer(ExchangeKey(peer: peer, id: id), action, payload)
        case .cancelled(let peer, let id):
            answering.removeValue(forKey: ExchangeKey(peer: peer, id: id))?.cancel()
        case .response(let peer, let id, let result):
            asked.removeValue(forKey: ExchangeKey(peer: peer, id: id))?.resolve(.success(result))
        case .streamOpened(let peer, let id, let name, _):
            accept(ExchangeKey(peer: peer, id: id), name)
        case .streamReadable(let peer, let id):
            feedReader(ExchangeKey(peer: peer, id: id))
        case .streamWritable(let peer, let id):
            goOn(ExchangeKey(peer: peer, id: id))
        case .streamEnded(let peer, let id, let reset):
            ended(ExchangeKey(peer: peer, id: id), reset)
        }
    }

    // MARK: Requests of others

    private func answer(_ key: ExchangeKey, _ action: String, _ payload: [UInt8]) {
        guard let handler = handlers[action] else {
            node.engine.answer(key.id, of: key.peer, .unknownAction, now: node.now)
            return
        }
        let bound = NIOLoopBound(Weak(node), eventLoop: node.eventLoop)
        let eventLoop = node.eventLoop
        answering[key] = Task {
            let answer: RequestAnswer
            do { answer = .result(try await handler(payload, key.peer)) } catch let refusal as ActionRefusal {
                answer = .refused(refusal.reason)
            } catch {
                answer = .failed("\(error)")
            }
            eventLoop.execute { bound.value.node?.exchanges.answered(key, answer) }
        }
    }

    private func answered(_ key: ExchangeKey, _ answer: RequestAnswer) {
        guard answering.removeValue(forKey: key) != nil else { return }
        node.engine.answer(key.id, of: key.peer, answer, now: node.now)
        node.drainSoon()
    }

    // MARK: Byte streams

    func add(_ peer: PeerID, _ id: UInt64, _ name: String) -> SwarmStream {
        streams[ExchangeKey(peer: peer, id: id)] = Stream()
        return SwarmStream(peer: peer, id: id, name: name, node: node)
    }

    private func accept(_ key: ExchangeKey, _ name: String) {
        guard let acceptor = acceptors[name] else {
            node.engine.resetStream(key.id, of: key.peer, .refused, now: node.now)
            return
        }
        let stream = add(key.peer, key.id, name)
        Task {
            do {
                try await acceptor(stream)
                try await stream.finish()
            } catch {
                await stream.reset((error as? StreamReset) ?? .unwanted)
            }
        }
    }

    /// Writes what fits.
    ///
    /// - Returns: how much that is, as soon as it is more than nothing.
    func write(_ bytes: ArraySlice<UInt8>, to key: ExchangeKey) -> EventLoopFuture<Int> {
        let promise = node.eventLoop.makePromise(of: Int.self)
        guard let stream = streams[key], stream.reset == nil, !stream.hasFinished, stream.writer == nil else {
            promise.fail(streams[key]?.reset ?? StreamReset.unwanted)
            return promise.futureResult
        }
        streams[key]?.writer = (promise, bytes)
        feedWriter(key)
        node.drainSoon()
        return promise.futureResult
    }

    private func feedWriter(_ key: ExchangeKey) {
        guard let (promise, bytes) = streams[key]?.writer else { return }
        guard let count = node.engine.write(bytes, toStream: key.id, of: key.peer, now: node.now) else {
            streams[key]?.writer = nil
            return promise.fail(streams[key]?.reset ?? StreamReset.interrupted)
        }
        guard count > 0 else { return }
        streams[key]?.writer = nil
        streams[key]?.written += UInt64(count)
        promise.succeed(count)
    }

    /// There is room again, or all has arrived.
    private func goOn(_ key: ExchangeKey) {
        feedWriter(key)
        noteProgress(key)
        guard let stream = streams[key], stream.hasFinished, let drained = stream.drained, hasArrived(key) else {
            return
        }
        streams[key]?.drained = nil
        drained.succeed()
        forgetIfOver(key)
    }

    private func hasArrived(_ key: ExchangeKey) -> Bool {
        node.engine.hasStreamArrived(key.id, of: key.peer)
    }

    func read(_ key: ExchangeKey) -> EventLoopFuture<[UInt8]?> {
        let promise = node.eventLoop.makePromise(of: [UInt8]?.self)
        guard let stream = streams[key], stream.reader == nil else {
            promise.fail(StreamReset.unwanted)
            return promise.futureResult
        }
        guard !stream.hasReadAll else {
            promise.succeed(nil)
            return promise.futureResult
        }
        streams[key]?.reader = promise
        feedReader(key)
        node.drainSoon()
        return promise.futureResult
    }

    private func feedReader(_ key: ExchangeKey) {
        guard let stream = streams[key], stream.isHeld else {
            discard(key)
            return forgetIfOver(key)
        }
        guard let reader = stream.reader else { return }
        if let reset = stream.reset {
            streams[key]?.reader = nil
            return reader.fail(reset)
        }
        noteProgress(key)
        switch node.engine.readStream(key.id, of: key.peer, most: Self.readSize, now: node.now) {
        case .nothing: return
        case .bytes(let bytes):
            streams[key]?.reader = nil
            reader.succeed(bytes)
        case .end:
            streams[key]?.reader = nil
            streams[key]?.hasReadAll = true
            reader.succeed(nil)
            forgetIfOver(key)
        }
    }

    func finish(_ key: ExchangeKey) {
        guard let stream = streams[key], !stream.hasFinished else { return }
        streams[key]?.hasFinished = true
        node.engine.finishStream(key.id, of: key.peer, now: node.now)
        node.drain()
    }

    func drained(_ key: ExchangeKey) -> EventLoopFuture<Void> {
        guard let stream = streams[key], stream.drained == nil else {
            return node.eventLoop.makeFailedFuture(StreamReset.interrupted)
        }
        if let reset = stream.reset { return node.eventLoop.makeFailedFuture(reset) }
        if stream.hasFinished, hasArrived(key) { return node.eventLoop.makeSucceededVoidFuture() }
        let promise = node.eventLoop.makePromise(of: Void.self)
        streams[key]?.drained = promise
        return promise.futureResult
    }

    func reset(_ key: ExchangeKey, _ code: StreamReset) {
        guard let stream = streams[key], stream.reset == nil else { return }
        noteProgress(key)
        node.engine.resetStream(key.id, of: key.peer, code, now: node.now)
        ended(key, code)
        node.drain()
    }

    func cancelWaiting(_ key: ExchangeKey) {
        guard let stream = streams[key] else { return }
        streams[key]?.reader = nil
        streams[key]?.writer = nil
        streams[key]?.drained = nil
        stream.reader?.fail(CancellationError())
        stream.writer?.promise.fail(CancellationError())
        stream.drained?.fail(CancellationError())
    }

    func letGo(_ key: ExchangeKey) {
        guard let stream = streams[key] else { return }
        streams[key]?.isHeld = false
        // What was finished is on its way; what still comes is wanted by nobody.
        if stream.reset == nil, !stream.hasFinished { reset(key, .unwanted) }
        discard(key)
        forgetIfOver(key)
    }

    /// Takes what nobody reads off the hands of its writer.
    private func discard(_ key: ExchangeKey) {
        while let stream = streams[key], stream.reset == nil, !stream.hasReadAll {
            switch node.engine.readStream(key.id, of: key.peer, most: Self.readSize, now: node.now) {
            case .nothing: return
            case .bytes: continue
            case .end: streams[key]?.hasReadAll = true
            }
        }
    }

    func progress(of key: ExchangeKey) -> SwarmStream.Progress? {
        noteProgress(key)
        return streams[key]?.progress
    }

    private func noteProgress(_ key: ExchangeKey) {
        guard let stream = streams[key] else { return }
        if let progress = node.engine.progress(ofStream: key.id, of: key.peer) {
            streams[key]?.progress = .init(acknowledged: progress.acknowledged, received: progress.received)
        } else if stream.reset == nil {
            streams[key]?.progress.acknowledged = stream.written
        }
    }

    private func ended(_ key: ExchangeKey, _ reset: StreamReset) {
        guard let stream = streams[key] else { return }
        streams[key]?.reset = reset
        streams[key]?.reader = nil
        streams[key]?.writer = nil
        streams[key]?.drained = nil
        stream.reader?.fail(reset)
        stream.writer?.promise.fail(reset)
        stream.drained?.fail(reset)
        forgetIfOver(key)
    }

    /// Nobody holds it any more, and nothing more happens to it.
    private func forgetIfOver(_ key: ExchangeKey) {
        guard let stream = streams[key], !stream.isHeld, stream.reset != nil || stream.hasReadAll else { return }
        streams[key] = nil
    }

    // MARK: The end

    func close() {
        for request in asked.values { request.resolve(.failure(SwarmError.hasLeft)) }
        asked = [:]
        for task in answering.values { task.cancel() }
        answering = [:]
        for key in Array(streams.keys) { ended(key, .interrupted) }
        handlers = [:]
        acceptors = [:]
    }
}
