import JSON
import SwarmBase

/// What the relay has asked of storage and what waits for it. One read for each soul or key at a time, one write.
struct RelayStorage: Sendable {
    enum Waiter: Sendable {
        case query(WaitingQuery)
        case unit(UInt64)
        /// A configured relay is to be told of the key.
        case peer(Int)
    }

    /// What a read is for.
    enum Purpose: Sendable {
        /// What waits for a key or a whole node.
        case target(Load)
        /// The next slice of an answer.
        case stream(QueryStream)
        /// The next of all records, for a configured relay.
        case offer(peer: Int)
        /// The next of the records that have changed, up to that change, for a configured relay.
        case changes(peer: Int, through: UInt64)
    }

    struct Load: Sendable {
        var soul: Soul
        var key: Key?
        var waiters: [Waiter] = []
    }

    /// One record on its way to storage, or one that changed nothing and waits for what it agrees with.
    struct Item: Sendable {
        var record: GunRecord?
        var soul: Soul
        var job: JobID
    }

    private struct Target: Hashable, Sendable {
        var soul: Soul
        var key: Key?
    }

    private(set) var waitingCount = 0
    private var reads: [LoadID: Purpose] = [:]
    private var loading: [Target: LoadID] = [:]
    private var units: [UInt64: PutUnit] = [:]
    /// How many parked units write into each soul.
    private var awaited: [Soul: Int] = [:]
    private var nextNumber: UInt64 = 0

    private var accumulated = FIFO<Item>()
    private(set) var unstoredBytes = 0
    /// How many records wait for a batch.
    private(set) var accumulatedRecords = 0
    private var batch: (id: BatchID, items: [Item])?

    private mutating func number() -> UInt64 {
        nextNumber += 1
        return nextNumber
    }

    // MARK: Reads

    /// Whether a read of the node, or of that key, is under way.
    func isLoading(_ soul: Soul, _ key: Key?) -> Bool { loading[Target(soul: soul, key: key)] != nil }

    /// Lets `waiter` wait for a read.
    ///
    /// - Returns: the read, and whether it is to be started.
    mutating func wait(_ waiter: Waiter, for soul: Soul, _ key: Key?) -> (LoadID, isNew: Bool) {
        waitingCount += 1
        let target = Target(soul: soul, key: key)
        if let id = loading[target], case .target(var load) = reads[id] {
            // Emptied first, so that the waiters have one owner and are appended to in place.
            reads[id] = .offer(peer: -1)
            load.waiters.append(waiter)
            reads[id] = .target(load)
            return (id, false)
        }
        let id = LoadID(number: number())
        reads[id] = .target(Load(soul: soul, key: key, waiters: [waiter]))
        loading[target] = id
        return (id, true)
    }

    /// A read for one answer or one relay.
    mutating func start(_ purpose: Purpose) -> LoadID {
        waitingCount += 1
        let id = LoadID(number: number())
        reads[id] = purpose
        return id
    }

    mutating func finish(_ id: LoadID) -> Purpose? {
        guard let purpose = reads.removeValue(forKey: id) else { return nil }
        if case .target(let load) = purpose {
            loading[Target(soul: load.soul, key: load.key)] = nil
            waitingCount -= load.waiters.count
        } else {
            waitingCount -= 1
        }
        return purpose
    }

    /// Records that storage has not confirmed yet, the latest write of a key last.
    func unstored(where isWanted: (GunRecord) -> Bool) -> [GunRecord] {
        (batch?.items ?? []).compactMap(\.record).filter(isWanted)
            + accumulated.elements.compactMap(\.record).filter(isWanted)
    }

    mutating func park(_ unit: PutUnit) -> UInt64 {
        let id = number()
        units[id] = unit
        for soul in Set(unit.records.map(\.soul)) { awaited[soul, default: 0] += 1 }
        return id
    }

    /// Whether a unit that waits writes into that soul: what memory knows of it must stay until it is applied.
    func isAwaited(_ soul: Soul) -> Bool { awaited[soul] != nil }

    /// One read that the unit waited for is done.
    ///
    /// - Returns: the unit, when it was the last.
    mutating func loadDone(_ id: UInt64) -> PutUnit? {
        units[id]?.pendingLoads -= 1
        guard let unit = units[id], unit.pendingLoads <= 0 else { return nil }
        units[id] = nil
        for soul in Set(unit.records.map(\.soul)) {
            let count = (awaited[soul] ?? 1) - 1
            awaited[soul] = count > 0 ? count : nil
        }
        return unit
    }

    // MARK: Writes

    mutating func add(_ item: Item) {
        accumulated.append(item)
        if item.record != nil { accumulatedRecords += 1 }
        unstoredBytes += item.record?.cost ?? 0
    }

    /// The next batch, when none is under way and there is something to write.
    ///
    /// - Parameter change: the last change that was numbered, when changes are.
    mutating func startBatch(limit: Int, after change: UInt64?) -> (BatchID, [GunRecord])? {
        guard batch == nil, !accumulated.isEmpty else { return nil }
        var items: [Item] = []
        var records: [GunRecord] = []
        while records.count < limit, let item = accumulated.popFirst() {
            items.append(item)
            if let record = item.record { records.append(record) }
        }
        accumulatedRecords -= records.count
        let id = BatchID(number: number(), firstChange: change.map { $0 + 1 })
        batch = (id, items)
        return (id, records)
    }

    mutating func finishBatch(_ id: BatchID) -> [Item] {
        guard let current = batch, current.id == id else { return [] }
        batch = nil
        unstoredBytes -= current.items.reduce(0) { $0 + ($1.record?.cost ?? 0) }
        return current.items
    }
}
