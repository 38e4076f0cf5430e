import Gun
import Logging
import NIOCore
import SwarmBase
import SwarmTransport

/// Runs the GUN relay's core: WebSockets in front of it, the store behind it, a timer beside it.
final class RelayHost {
    /// How often nodes whose time is over are removed from the store, and how many at once.
    private static let expiryInterval = Duration.seconds(15)
    private static let expiredAtOnce = 1_000
    /// How often a summary is logged.
    private static let summaryInterval = Duration.seconds(60)
    /// How often it is noted on disk what configured relays have acknowledged.
    private static let markInterval = Duration.seconds(1)
    /// How long ``stop()`` waits for the disk.
    private static let stopTimeout = TimeAmount.milliseconds(500)

    private(set) var core: GunRelay
    /// Whether the store took the last batch.
    private(set) var isHealthy = true
    private(set) var storeFailures = 0
    private(set) var expiredInStore = 0
    private let eventLoop: any EventLoop
    private let store: (any GraphStore & StateStore)?
    private let peers: [WebSocketURL]
    /// What configured relays have acknowledged and the store does not know yet.
    private var marks: [Int: UInt64] = [:]
    private let logger: Logger
    private var links: [LinkID: WebSocketConnection] = [:]
    private var lastLink: UInt64 = 0
    private var timer: LoopTimer?
    private var housekeeping: [RepeatedTask] = []
    private var logged = GunRelayCounters()
    private var isDraining = false
    private var isStopped = false
    private var storing = 0
    private var idle: EventLoopPromise<Void>?

    /// - Parameters:
    ///   - peers: the relays that we chose; ``accept(_:peer:onClose:)`` names them by their places.
    ///   - log: what they have acknowledged.
    init(
        eventLoop: any EventLoop, configuration: GunRelayConfiguration, store: (any GraphStore & StateStore)?,
        peers: [WebSocketURL] = [], log: ChangeLog? = nil, logger: Logger
    ) {
        var configuration = configuration
        configuration.hasStorage = store != nil
        self.eventLoop = eventLoop
        self.store = store
        self.peers = peers
        self.logger = logger
        core = GunRelay(configuration: configuration, entropy: .system)
        if let log { core.resume(log) }
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.timeout() }
        repeatedly(Self.expiryInterval) { $0.expire() }
        repeatedly(Self.summaryInterval) { $0.summarise() }
        if !peers.isEmpty { repeatedly(Self.markInterval) { $0.writeMarks() } }
    }

    private func repeatedly(_ interval: Duration, _ work: @escaping @Sendable (RelayHost) -> Void) {
        let relay = NIOLoopBound(WeakHost(host: self), eventLoop: eventLoop)
        let delay = TimeAmount.nanoseconds(interval.nanosecondsClamped)
        let task = eventLoop.scheduleRepeatedTask(initialDelay: delay, delay: delay) { (_: RepeatedTask) -> Void in
            if let host = relay.value.host { work(host) }
        }
        housekeeping.append(task)
    }

    /// Serves a connection that is open.
    ///
    /// - Parameters:
    ///   - peer: which of the relays that we chose it leads to.
    ///   - onClose: told when it ends.
    func accept(
        _ connection: WebSocketConnection, peer: Int? = nil,
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
            self?.closed(link, reason)
            onClose(reason)
        }
        core.linkOpened(link, from: connection.remoteAddress?.address, peer: peer, now: now)
        logger.debug("a GUN link is open", metadata: metadata(link, connection))
        drain()
    }

    private var now: Instant { Instant(eventLoop.now) }

    /// Those that are open.
    var connections: [WebSocketConnection] { Array(links.values) }

    private func metadata(_ link: LinkID, _ connection: WebSocketConnection) -> Logger.Metadata {
        ["link": "\(link.number)", "address": "\(connection.remoteAddress.map(\.description) ?? "unknown")"]
    }

    private func closed(_ link: LinkID, _ reason: WebSocketCloseReason) {
        guard let connection = links.removeValue(forKey: link) else { return }
        logger.debug(
            "a GUN link is closed",
            metadata: metadata(link, connection).merging(["reason": "\(reason)"]) { first, _ in first })
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
            logger.notice(
                "closing a GUN link",
                metadata: metadata(link, connection).merging(["reason": "\(reason)"]) { first, _ in first })
            // 1008: the peer broke a rule of ours (RFC 6455 §7.4.1).
            connection.close(code: 1008)
        case .pause(let link, let duration):
            links[link]?.pauseReading(for: duration)
        case .load(let id, let range):
            guard let store else { return core.loaded(id, .nothing, now: now, wall: MonotonicClock.wallMilliseconds) }
            store.load(RecordCoding.range(range)) { result in
                // What the store gives is parsed on its thread.
                let slice = result.map { slice in
                    RecordSlice(slice.records.compactMap(RecordCoding.record), isComplete: slice.isComplete)
                }
                eventLoop.execute { bound.value.loaded(id, slice) }
            }
        case .store(let id, let records):
            guard let store else { return core.stored(id, now: now) }
            storing += 1
            store.store(records.map { RecordCoding.record($0) }, firstChange: id.firstChange) { result in
                eventLoop.execute { bound.value.stored(id, result) }
            }
        case .changes(let request): perform(request)
        }
    }

    private func perform(_ request: ChangeLogRequest) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let eventLoop = eventLoop
        switch request {
        case .load(let id, let after, let through, let limit):
            guard let store else { return core.loadedChanges(id, [], through: through, now: now) }
            store.loadChanges(after: after, through: through, limit: limit) { result in
                let slice = result.map { ($0.records.compactMap(RecordCoding.record), $0.through) }
                eventLoop.execute { bound.value.loadedChanges(id, slice, after: after) }
            }
        case .acknowledged(let peer, let change): marks[peer] = change
        case .forget(let through): store?.forgetChanges(through: through) { _ in }
        }
    }

    private func loadedChanges(
        _ id: LoadID, _ result: Result<([GunRecord], UInt64), StoreError>, after: UInt64
    ) {
        switch result {
        case .success((let records, let through)): core.loadedChanges(id, records, through: through, now: now)
        case .failure(let error):
            storeFailures += 1
            logger.error("cannot read the log of changes", metadata: ["error": "\(error)"])
            core.loadedChanges(id, [], through: after, now: now)
        }
        drain()
    }

    private func writeMarks() {
        guard let store, !marks.isEmpty else { return }
        FederationMarks.write(marks, peers: peers, to: store)
        marks = [:]
    }

    private func loaded(_ id: LoadID, _ result: Result<RecordSlice, StoreError>) {
        var slice = RecordSlice.nothing
        switch result {
        case .success(let read): slice = read
        // Whoever asked is gone as well by now.
        case .failure(.closed): break
        case .failure(let error):
            storeFailures += 1
            logger.error("cannot read the graph", metadata: ["error": "\(error)"])
        }
        core.loaded(id, slice, now: now, wall: MonotonicClock.wallMilliseconds)
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

    // MARK: Housekeeping

    private func expire() {
        guard let store, !isStopped else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let eventLoop = eventLoop
        store.expire(before: MonotonicClock.wallMilliseconds, limit: Self.expiredAtOnce) { result in
            eventLoop.execute { bound.value.expired(result) }
        }
    }

    private func expired(_ result: Result<Int, StoreError>) {
        switch result {
        case .success(let count):
            expiredInStore += count
            if count == Self.expiredAtOnce { expire() }
        case .failure(.closed): break
        case .failure(let error):
            storeFailures += 1
            logger.error("cannot expire nodes", metadata: ["error": "\(error)"])
        }
    }

    /// One line a minute, when there was anything.
    private func summarise() {
        let counters = core.counters
        guard counters != logged else { return }
        logger.info(
            "relay",
            metadata: [
                "links": "\(core.linkCount)", "puts": "\(counters.puts - logged.puts)",
                "gets": "\(counters.gets - logged.gets)", "sent": "\(counters.framesSent - logged.framesSent)",
                "refused":
                    "\(counters.refusedPuts + counters.refusedRecords - logged.refusedPuts - logged.refusedRecords)",
                "busy": "\(counters.busyRefusals - logged.busyRefusals)",
                "pauses": "\(counters.pauses - logged.pauses)",
                "slow_readers": "\(counters.slowReaders - logged.slowReaders)",
                "evicted": "\(counters.evictedNodes - logged.evictedNodes)", "memory": "\(core.memoryBytes)",
                "queued": "\(core.queuedBytes)", "pending_federation": "\(core.pendingFederation)",
            ])
        logged = counters
    }

    /// Waits until what the links wrote is stored; they are closed by now.
    func stop() -> EventLoopFuture<Void> {
        isStopped = true
        writeMarks()
        timer?.cancel()
        for task in housekeeping { task.cancel() }
        guard storing > 0 else { return eventLoop.makeSucceededVoidFuture() }
        let promise = eventLoop.makePromise(of: Void.self)
        idle = promise
        let limit = eventLoop.scheduleTask(in: Self.stopTimeout) { promise.succeed() }
        promise.futureResult.whenComplete { _ in limit.cancel() }
        return promise.futureResult
    }
}

/// Repeated tasks must not keep a relay that has ended.
private struct WeakHost {
    weak var host: RelayHost?
}
