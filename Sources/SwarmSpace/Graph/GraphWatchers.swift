import Gun
import NIOCore
import SEA
import SwarmBase
import SwarmEngine

/// Who waits for what in the graph. Confined to its event loop, on which the graph lives too.
final class GraphWatchers {
    private struct Watcher {
        var wake: () -> Void
        /// The nodes whose changes wake it; for the node itself the keys are collected.
        var souls: Set<Soul> = []
    }

    private var watchers: [UInt64: Watcher] = [:]
    private var bySoul: [Soul: Set<UInt64>] = [:]
    /// Those who follow some node of which they want to know which keys have changed.
    private var dirty: [UInt64: [Soul: Set<Key>]] = [:]
    private var settling: [UInt64: () -> Bool] = [:]
    private var storing: [(batch: UInt64, done: () -> Void)] = []
    private var nextID: UInt64 = 0

    init() {}

    func newID() -> UInt64 {
        nextID += 1
        return nextID
    }

    /// Makes a watcher; `wake` is called when something changes in the nodes it watches.
    func add(_ id: UInt64, wake: @escaping () -> Void) { watchers[id] = Watcher(wake: wake) }

    /// The watcher looks at these nodes from now on.
    func watch(_ id: UInt64, _ souls: Set<Soul>) {
        guard let former = watchers[id]?.souls, former != souls else { return }
        for soul in former.subtracting(souls) { drop(id, soul) }
        for soul in souls.subtracting(former) { bySoul[soul, default: []].insert(id) }
        watchers[id]?.souls = souls
    }

    private func drop(_ id: UInt64, _ soul: Soul) {
        bySoul[soul]?.remove(id)
        if bySoul[soul]?.isEmpty == true { bySoul[soul] = nil }
        dirty[id]?[soul] = nil
    }

    func remove(_ id: UInt64) {
        for soul in watchers.removeValue(forKey: id)?.souls ?? [] { drop(id, soul) }
        dirty[id] = nil
        settling[id] = nil
    }

    /// The keys of the node that have changed since the last call.
    func takeChanges(_ id: UInt64, of soul: Soul) -> Set<Key> { dirty[id]?.removeValue(forKey: soul) ?? [] }

    /// A key has a new value.
    func changed(_ soul: Soul, _ key: Key) {
        for id in bySoul[soul] ?? [] {
            dirty[id, default: [:]][soul, default: []].insert(key)
            watchers[id]?.wake()
        }
    }

    /// Has `isDone` asked whenever something has happened, until it says yes.
    func settle(_ id: UInt64, isDone: @escaping () -> Bool) { settling[id] = isDone }

    /// Something has happened.
    func progressed() {
        guard !settling.isEmpty else { return }
        for (id, isDone) in settling where isDone() { settling[id] = nil }
    }

    /// Waits until the batch is on disk; not at all without one, where nothing is kept.
    nonisolated(nonsending) func untilStored(_ batch: UInt64?) async {
        guard let batch else { return }
        await withCheckedContinuation { continuation in storing.append((batch, { continuation.resume() })) }
    }

    func stored(through batch: UInt64) {
        let done = storing.filter { $0.batch <= batch }
        storing.removeAll { $0.batch <= batch }
        for entry in done { entry.done() }
    }

    /// Nothing more will happen.
    func close() {
        for entry in storing { entry.done() }
        storing = []
        for watcher in watchers.values { watcher.wake() }
        for (id, isDone) in settling where isDone() { settling[id] = nil }
    }
}

/// What owns a graph: a member of a swarm, or a connection to relays alone. Confined to its event loop.
protocol GraphBackend: AnyObject {
    var now: Instant { get }
    var watchers: GraphWatchers { get }
    /// Works on the graph, and does what that causes.
    func withGraph<Result>(_ body: (_ graph: inout GunPlane, _ wall: Double) -> Result) -> Result
    /// Looks at the graph.
    func readGraph<Result>(_ body: (GunPlane) -> Result) -> Result
    /// The batch that the next change will be kept in; `nil` when nothing is kept.
    var nextBatch: UInt64? { get }
    /// The pair that signs where nobody else does.
    var ownPair: SEAPair? { get }
    var isClosed: Bool { get }
    /// Ends it, if it is its own.
    func shutDown() -> EventLoopFuture<Void>
}
