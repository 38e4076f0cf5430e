import Gun
import JSON
import NIOCore
import SEA
import SwarmBase
import SwarmEngine

/// The graph's side of the public interface, on the event loop of its owner.
actor GraphHost {
    /// A place: a node, and keys that lead on through links.
    struct Path: Hashable, Sendable {
        var soul: Soul
        var keys: [Key]
    }

    private struct Follow: Hashable {
        var soul: Soul
        var key: Key?
    }

    private let eventLoop: any EventLoop
    private let box: NIOLoopBoundBox<BackendReference?>
    /// How many readers follow what.
    private var follows: [Follow: Int] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        // The loop outlives the actor, which holds it.
        unsafe eventLoop.executor.asUnownedSerialExecutor()
    }

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        box = NIOLoopBoundBox.makeEmptyBox(valueType: BackendReference.self, eventLoop: eventLoop)
    }

    /// Gives it its graph; on the event loop.
    nonisolated func attach(_ reference: BackendReference) { box.value = reference }

    private func running() throws(GraphError) -> any GraphBackend {
        guard let backend = box.value?.backend, !backend.isClosed else { throw .closed }
        return backend
    }

    /// Ends a graph that is nobody else's.
    func close() async {
        guard let backend = box.value?.backend else { return }
        try? await backend.shutDown().get()
    }

    /// The public key that writes where no user is signed in.
    func ownPair() throws(GraphError) -> SEAPair? { try running().ownPair }

    // MARK: Writing

    /// Writes keys of nodes, all at one state, and waits until they are kept.
    func write(
        _ values: [(soul: Soul, key: Key, value: GunValue)], signer: SEAPair?, certificate: JSONText?
    ) async throws(GraphError) {
        try await write(values.map { ($0.soul, $0.key) }) { state, own in
            values.map { value in
                let record = GunRecord(soul: value.soul, key: value.key, value: value.value, state: state)
                return record.signed(by: signer ?? own, certificate: certificate)
            }
        }
    }

    /// Writes what `make` gives at the state that is chosen.
    func write(
        _ addresses: [(soul: Soul, key: Key)], make: (_ state: Double, _ own: SEAPair?) -> [GunRecord]
    ) async throws(GraphError) {
        let backend = try running()
        let own = backend.ownPair
        let batch = backend.nextBatch
        let result = backend.withGraph { graph, wall -> Result<[GunRecord], GraphWriteFault> in
            do throws(GraphWriteFault) {
                return .success(
                    try graph.write(addresses, now: backend.now, wall: wall) { make($0, own) })
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .failure(.refused(let fault)): throw .notAllowed(fault)
        case .failure(.tooLarge): throw .tooLarge
        case .success(let records):
            for record in records { backend.watchers.changed(record.soul, record.key) }
        }
        await backend.watchers.untilStored(batch)
    }

    // MARK: Following

    private func retain(_ follow: Follow, _ backend: any GraphBackend) {
        follows[follow, default: 0] += 1
        guard follows[follow] == 1 else { return }
        backend.withGraph { graph, _ in graph.follow(follow.soul, key: follow.key, now: backend.now) }
    }

    private func release(_ follow: Follow) {
        guard let count = follows[follow] else { return }
        follows[follow] = count > 1 ? count - 1 : nil
        guard count == 1, let backend = box.value?.backend else { return }
        backend.withGraph { graph, _ in graph.unfollow(follow.soul, key: follow.key, now: backend.now) }
    }

    // MARK: Reading once

    /// The record at the end of a path, after whoever can be asked was, but not longer than a while.
    func record(_ path: Path, within limit: Duration) async throws(GraphError) -> GunRecord? {
        var soul = path.soul
        let deadline = try running().now + limit
        for (place, key) in path.keys.enumerated() {
            let follow = Follow(soul: soul, key: key)
            retain(follow, try running())
            defer { release(follow) }
            try await known(soul, key, until: deadline)
            let entry = try running().readGraph { $0.entry(soul, key) }
            guard let entry else { return nil }
            let record = GunRecord(soul: soul, key: key, entry: entry)
            if place == path.keys.count - 1 { return record }
            guard case .link(let next) = record.content else { return nil }
            soul = next
        }
        return nil
    }

    /// The soul that a path leads to: its own, or what the last key links to.
    func soul(_ path: Path, within limit: Duration) async throws(GraphError) -> Soul? {
        if path.keys.isEmpty { return path.soul }
        guard case .link(let soul) = try await record(path, within: limit)?.content else { return nil }
        return soul
    }

    /// All keys of a node, in order.
    func records(of soul: Soul, within limit: Duration) async throws(GraphError) -> [GunRecord] {
        let follow = Follow(soul: soul, key: nil)
        let backend = try running()
        retain(follow, backend)
        defer { release(follow) }
        try await known(soul, nil, until: backend.now + limit)
        return try running().readGraph { $0.held(soul)?.records ?? [] }
    }

    /// Waits until everybody who was asked has answered; without anybody to ask, only if nothing is held.
    private func known(_ soul: Soul, _ key: Key?, until deadline: Instant) async throws(GraphError) {
        let backend = try running()
        let isKnown = {
            backend.isClosed
                || backend.readGraph { graph in
                    let isHeld = key.map { graph.entry(soul, $0) != nil } ?? (graph.held(soul) != nil)
                    if graph.hasLinks { return !graph.isAwaited(soul, key) && !graph.isAwaited(soul, nil) }
                    return isHeld
                }
        }
        if isKnown() { return }
        let id = backend.watchers.newID()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            var isOver = false
            let timer = eventLoop.assumeIsolated().scheduleTask(
                in: .nanoseconds((deadline - backend.now).nanosecondsClamped)
            ) {
                () -> Void in
                guard !isOver else { return }
                isOver = true
                backend.watchers.remove(id)
                continuation.resume()
            }
            backend.watchers.settle(id) {
                guard !isOver, isKnown() else { return isOver }
                isOver = true
                timer.cancel()
                continuation.resume()
                return true
            }
        }
    }

    // MARK: Watching

    /// A reader of changes, for one iteration.
    private struct Reader {
        var path: Path
        /// Whether it wants the keys of the node at the end, or the value there.
        var isMap: Bool
        var follows: Set<Follow> = []
        var continuation: CheckedContinuation<Void, Never>?
        var isAwake = true
        /// The value that was given last, to give each once; `nil` before the first.
        var last: GraphValue?
        /// The node whose keys are given, and those not given yet.
        var soul: Soul?
        var waiting: [Key] = []
        var waitingSet: Set<Key> = []
    }

    private var readers: [UInt64: Reader] = [:]

    func startReading(_ path: Path, isMap: Bool) -> UInt64? {
        guard let backend = try? running() else { return nil }
        let id = backend.watchers.newID()
        readers[id] = Reader(path: path, isMap: isMap)
        backend.watchers.add(id) { [weak self] in self?.assumeIsolated { $0.wake(id) } }
        return id
    }

    func stopReading(_ id: UInt64) {
        guard let reader = readers.removeValue(forKey: id) else { return }
        box.value?.backend?.watchers.remove(id)
        for follow in reader.follows { release(follow) }
        reader.continuation?.resume()
    }

    private func wake(_ id: UInt64) {
        readers[id]?.isAwake = true
        guard let continuation = readers[id]?.continuation else { return }
        readers[id]?.continuation = nil
        continuation.resume()
    }

    /// Waits until there may be something new; `false` at the end.
    private func wait(_ id: UInt64) async -> Bool {
        guard readers[id] != nil, !Task.isCancelled, (try? running()) != nil else { return false }
        if readers[id]?.isAwake == false {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { return continuation.resume() }
                readers[id]?.continuation = continuation
            }
        }
        guard readers[id] != nil, !Task.isCancelled, (try? running()) != nil else { return false }
        readers[id]?.isAwake = false
        return true
    }

    /// Walks the path as far as links lead, follows what is on it, and finds the value at its end.
    private func resolve(_ id: UInt64) -> (value: GraphValue?, soul: Soul?) {
        guard let reader = readers[id], let backend = try? running() else { return (nil, nil) }
        var soul: Soul? = reader.path.soul
        var value: GraphValue?
        var follows: Set<Follow> = []
        for (place, key) in reader.path.keys.enumerated() {
            guard let here = soul else { break }
            follows.insert(Follow(soul: here, key: key))
            let entry = backend.readGraph { $0.entry(here, key) }
            let record = entry.map { GunRecord(soul: here, key: key, entry: $0) }
            value = record.map { GraphValue($0.content) }
            soul = if case .link(let next) = record?.content { next } else { nil }
            // A value that leads nowhere ends the path; what is not known yet says nothing.
            if soul == nil, record != nil, place < reader.path.keys.count - 1 { value = .null }
        }
        if reader.isMap, let soul { follows.insert(Follow(soul: soul, key: nil)) }
        // What stays is held on to while the rest is let go.
        for follow in follows.subtracting(reader.follows) { retain(follow, backend) }
        for follow in reader.follows.subtracting(follows) { release(follow) }
        readers[id]?.follows = follows
        backend.watchers.watch(id, Set(follows.map(\.soul)))
        return (value, soul)
    }

    /// The next value at the end of the path.
    func nextValue(_ id: UInt64) async -> GraphValue? {
        while await wait(id) {
            let value = resolve(id).value
            guard let reader = readers[id] else { return nil }
            guard let value, value != reader.last else { continue }
            readers[id]?.last = value
            return value
        }
        return nil
    }

    /// The next key of the node at the end of the path that has a new value.
    func nextEntry(_ id: UInt64) async -> (soul: Soul, key: Key, value: GraphValue)? {
        while true {
            if let entry = takeEntry(id) { return entry }
            guard await wait(id), let backend = try? running() else { return nil }
            guard let soul = resolve(id).soul else { continue }
            let changes: Set<Key>
            if readers[id]?.soul == soul {
                changes = backend.watchers.takeChanges(id, of: soul)
            } else {
                readers[id]?.soul = soul
                readers[id]?.waiting = []
                readers[id]?.waitingSet = []
                _ = backend.watchers.takeChanges(id, of: soul)
                changes = Set(backend.readGraph { $0.held(soul)?.entries.keys.map(\.self) ?? [] })
            }
            for key in changes.sorted() where readers[id]?.waitingSet.insert(key).inserted == true {
                readers[id]?.waiting.append(key)
            }
        }
    }

    private func takeEntry(_ id: UInt64) -> (soul: Soul, key: Key, value: GraphValue)? {
        while let reader = readers[id], let soul = reader.soul, !reader.waiting.isEmpty,
            let backend = try? running()
        {
            let key = reader.waiting[0]
            readers[id]?.waiting.removeFirst()
            readers[id]?.waitingSet.remove(key)
            guard let entry = backend.readGraph({ $0.entry(soul, key) }) else { continue }
            let record = GunRecord(soul: soul, key: key, entry: entry)
            return (soul, key, GraphValue(record.content))
        }
        return nil
    }
}

/// Holds a backend, strongly or not.
struct BackendReference {
    private weak var weakly: (any GraphBackend)?
    private let strongly: (any GraphBackend)?

    var backend: (any GraphBackend)? { strongly ?? weakly }

    init(weak backend: any GraphBackend) {
        weakly = backend
        strongly = nil
    }

    init(_ backend: any GraphBackend) { strongly = backend }
}

extension GunRecord {
    /// The record as its writer may write it: signed where the node is the signer's, with the certificate where it is
    /// not, as it is where nobody owns the node.
    func signed(by pair: SEAPair?, certificate: JSONText?) -> GunRecord {
        guard let pair, let owner = UserSoul.owner(of: soul.text) else { return self }
        if owner == pair.pub { return signed(by: pair) }
        guard let certificate else { return self }
        let position = GraphPosition(soul: soul.text, key: key.text, state: state)
        guard let text = pair.signGraphValue(value.json, at: position, certificate: certificate) else { return self }
        return GunRecord(soul: soul, key: key, value: .text(text), state: state)
    }
}
