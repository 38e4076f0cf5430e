import Gun
import Logging
import NIOCore
import SwarmBase
import SwarmTransport

/// Runs the GUN relay's core: WebSockets in front of it, the store behind it, a timer beside it.
final class RelayHost {
    /// The most records of one node that are read: a node larger than that would not fit memory anyway.
    private static let largestNode = 1_000_000
    /// How long ``stop()`` waits for the disk.
    private static let stopTimeout = TimeAmount.milliseconds(500)

    private(set) var core: GunRelay
    /// Whether the store took the last batch.
    private(set) var isHealthy = true
    private(set) var storeFailures = 0
    private let eventLoop: any EventLoop
    private let store: (any GraphStore)?
    private let logger: Logger
    private var links: [LinkID: WebSocketConnection] = [:]
    private var lastLink: UInt64 = 0
    private var timer: LoopTimer?
    private var isDraining = false
    private var isStopped = false
    private var storing = 0
    private var idle: EventLoopPromise<Void>?

    init(eventLoop: any EventLoop, configuration: GunRelayConfiguration, store: (any GraphStore)?, logger: Logger) {
        var configuration = configuration
        configuration.hasStorage = store != nil
        self.eventLoop = eventLoop
        self.store = store
        self.logger = logger
        core = GunRelay(configuration: configuration, entropy: .system)
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.timeout() }
    }

    /// Serves a connection that is open.
    ///
    /// - Parameters:
    ///   - isRelay: whether it leads to a relay that we chose.
    ///   - onClose: told when it ends.
    func accept(
        _ connection: WebSocketConnection, isRelay: Bool = false,
        onClose: @escaping (WebSocketCloseReason) -> Void = { _ in }
    ) {
        lastLink += 1
        let link = LinkID(lastLink)
        links[link] = connection
        connection.onMessage = { [weak self] message in
            // Binary frames are no part of the protocol (gun.md §4).
            guard let self, case .text(let frame) = message else { return }
            self.core.receive(frame: frame, on: link, now: self.now, wall: MonotonicClock.wallMilliseconds)
        }
        connection.onReadComplete = { [weak self] in self?.drain() }
        connection.onWritable = { [weak self] in
            self?.core.linkWritabilityChanged(link, isWritable: true)
            self?.drain()
        }
        connection.onClose = { [weak self] reason in
            self?.closed(link)
            onClose(reason)
        }
        core.linkOpened(link, isRelay: isRelay, now: now)
        drain()
    }

    private var now: Instant { Instant(eventLoop.now) }

    private func closed(_ link: LinkID) {
        guard links.removeValue(forKey: link) != nil else { return }
        core.linkClosed(link, now: now)
        drain()
    }

    private func timeout() {
        core.handleTimeout(now: now, wall: MonotonicClock.wallMilliseconds)
        drain()
    }

    /// Does what the core wants, until it wants nothing more.
    private func drain() {
        // What is called from here may close links and so come back here: the loop below sees to it.
        guard !isDraining else { return }
        isDraining = true
        defer { isDraining = false }
        while true {
            while let (link, frame) = nextFrame() { send(frame, on: link) }
            guard let event = nextEvent() else { break }
            perform(event)
        }
        if !isStopped { timer?.schedule(at: core.nextTimeout) }
    }

    // Each access to the core is a call of its own: inlined into the loop, the optimiser (Swift 6.3) leaves one open while
    // the next begins, which traps as a violation of exclusivity.

    @inline(never)
    private func nextFrame() -> (LinkID, [UInt8])? { core.pollTransmit() }

    @inline(never)
    private func nextEvent() -> GunRelayEvent? { core.pollEvent() }

    @inline(never)
    private func send(_ frame: [UInt8], on link: LinkID) {
        guard let connection = links[link] else { return }
        connection.send(text: frame)
        if connection.state == .open, !connection.isWritable {
            core.linkWritabilityChanged(link, isWritable: false)
        }
    }

    private func perform(_ event: GunRelayEvent) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let eventLoop = eventLoop
        switch event {
        case .close(let link, let reason):
            guard let connection = links.removeValue(forKey: link) else { return }
            logger.debug("closing a GUN link", metadata: ["reason": "\(reason)"])
            // 1008: the peer broke a rule of ours (RFC 6455 §7.4.1).
            connection.close(code: 1008)
        case .load(let id, let soul, let key):
            guard let store else { return core.loaded(id, nil, now: now, wall: MonotonicClock.wallMilliseconds) }
            store.load(
                soul: RecordCoding.bytes(of: soul.text), key: key.map { RecordCoding.bytes(of: $0.text) },
                limit: Self.largestNode
            ) { result in eventLoop.execute { bound.value.loaded(id, soul, result) } }
        case .store(let id, let records):
            guard let store else { return core.stored(id, now: now) }
            storing += 1
            store.store(records.map { RecordCoding.record($0) }) { result in
                eventLoop.execute { bound.value.stored(id, result) }
            }
        }
    }

    private func loaded(_ id: LoadID, _ soul: Soul, _ result: Result<[GraphRecord], StoreError>) {
        var node: GunNode? = nil
        switch result {
        case .success(let records):
            var entries: [Key: GunEntry] = [:]
            for record in records {
                guard let (key, entry) = RecordCoding.entry(record) else { continue }
                entries[key] = entry
            }
            node = GunNode(soul: soul, entries: entries)
        case .failure(let error):
            storeFailures += 1
            logger.error("cannot read the graph", metadata: ["error": "\(error)"])
        }
        core.loaded(id, node, now: now, wall: MonotonicClock.wallMilliseconds)
        drain()
    }

    private func stored(_ id: BatchID, _ result: Result<Void, StoreError>) {
        storing -= 1
        switch result {
        case .success:
            isHealthy = true
            core.stored(id, now: now)
        case .failure(let error):
            isHealthy = false
            storeFailures += 1
            logger.error("cannot write the graph", metadata: ["error": "\(error)"])
            core.storeFailed(id, now: now)
        }
        drain()
        if storing == 0 { idle?.succeed() }
    }

    /// Waits until what the links wrote is stored; they are closed by now.
    func stop() -> EventLoopFuture<Void> {
        isStopped = true
        timer?.cancel()
        guard storing > 0 else { return eventLoop.makeSucceededVoidFuture() }
        let promise = eventLoop.makePromise(of: Void.self)
        idle = promise
        let limit = eventLoop.scheduleTask(in: Self.stopTimeout) { promise.succeed() }
        promise.futureResult.whenComplete { _ in limit.cancel() }
        return promise.futureResult
    }
}
