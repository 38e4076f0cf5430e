import Gun
import Logging
import NIOCore
import NIOPosix
import SEA
import SwarmBase
import SwarmEngine
import SwarmTransport

/// A graph that is reached through relays alone. Confined to its event loop.
final class RelayGraph: GraphBackend {
    /// What outlives a run is kept under this name.
    private static let namespace = "graph"

    private let eventLoop: any EventLoop
    private var plane: GunPlane
    private let store: SQLiteStore?
    private var links: Links?
    private var timer: LoopTimer?
    private var writer: ConversationWriter?
    private var batch: UInt64 = 1
    private var isDraining = false
    let watchers = GraphWatchers()
    private(set) var isClosed = false
    let ownPair: SEAPair? = nil

    static func open(
        _ host: GraphHost, on eventLoop: any EventLoop, relays: [String], dataDirectory: String?
    ) async throws(GraphError) {
        for url in relays where WebSocketURL(url) == nil { throw .invalidRelay(url) }
        var store: SQLiteStore?
        var records: [StateEntry] = []
        if let dataDirectory {
            do {
                let opened = try await NIOThreadPool.singleton.runIfActive {
                    try DataDirectory(path: dataDirectory).openStore()
                }
                records = try await opened.load(namespace: namespace)
                store = opened
            } catch {
                throw .storage(String(describing: error))
            }
        }
        let (kept, entries) = (store, records)
        do {
            try await eventLoop.submit {
                let graph = RelayGraph(eventLoop: eventLoop, relays: relays, store: kept)
                graph.begin(entries)
                host.attach(BackendReference(graph))
            }.get()
        } catch {
            throw .closed
        }
    }

    private init(eventLoop: any EventLoop, relays: [String], store: SQLiteStore?) {
        self.eventLoop = eventLoop
        self.store = store
        plane = GunPlane(relays: relays, isKept: store != nil, entropy: .system, now: Instant(eventLoop.now))
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.timeout() }
        links = Links(
            eventLoop: eventLoop, logger: Logger(label: "swarm-space.graph") { _ in SwiftLogNoOpLogHandler() }
        ) {
            [weak self] in self?.take($0)
        }
        if let store {
            writer = ConversationWriter(eventLoop: eventLoop, store: store, namespace: Self.namespace) {
                [weak self] batch in
                self?.watchers.stored(through: batch)
                self?.drain()
            } onFailure: { _ in
            }
        }
    }

    private func begin(_ entries: [StateEntry]) {
        plane.restore(entries.map { (String(decoding: $0.key, as: UTF8.self), $0.value) })
        timeout()
    }

    var now: Instant { Instant(eventLoop.now) }
    var nextBatch: UInt64? { store == nil ? nil : batch }
    private var wall: Double { MonotonicClock.wallMilliseconds }

    func withGraph<Result>(_ body: (inout GunPlane, Double) -> Result) -> Result {
        let result = body(&plane, wall)
        drain()
        return result
    }

    func readGraph<Result>(_ body: (GunPlane) -> Result) -> Result { body(plane) }

    private func take(_ report: Links.Report) {
        guard !isClosed else { return }
        switch report {
        case .opened(let link): plane.opened(link, now: now)
        case .closed(let link): plane.closed(link, now: now)
        case .frame(let link, let frame): plane.receive(frame, on: link, now: now, wall: wall)
        case .endOfBatch: drain()
        }
    }

    private func timeout() {
        guard !isClosed else { return }
        plane.handleTimeout(now: now, wall: wall)
        drain()
    }

    private func drain() {
        // What is called from here may come back here: the loop below sees to it.
        guard !isDraining, !isClosed else { return }
        isDraining = true
        while true {
            if let action = plane.pollLink() {
                links?.perform(action)
            } else if let change = plane.pollGraphChange() {
                watchers.changed(change.soul, change.key)
            } else {
                break
            }
        }
        if let writer, !writer.isBusy {
            var writes: [StorageWrite] = []
            while let write = plane.pollStorage() { writes.append(write) }
            if !writes.isEmpty {
                writer.write(StorageBatch(id: batch, writes: writes))
                batch += 1
            }
        }
        timer?.schedule(at: plane.nextTimeout)
        isDraining = false
        watchers.progressed()
    }

    func shutDown() -> EventLoopFuture<Void> {
        guard !isClosed else { return eventLoop.makeSucceededVoidFuture() }
        isClosed = true
        timer?.cancel()
        links?.closeAll()
        watchers.close()
        guard let store else { return eventLoop.makeSucceededVoidFuture() }
        return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { store.close() }
    }
}
