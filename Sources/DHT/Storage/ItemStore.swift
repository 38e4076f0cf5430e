import SwarmBase

/// The items of BEP 44 that others have put here. Bounded in number, size, and in what one address may put.
struct ItemStore: Sendable {
    private struct Stored: Sendable {
        var item: DHTItem
        var expires: Instant
    }

    private let limits: DHTConfiguration.Storage
    private var immutable: [NodeID: Stored] = [:]
    private var mutable: [NodeID: Stored] = [:]
    private var begun = SourceCounts()

    init(limits: DHTConfiguration.Storage) { self.limits = limits }

    var count: Int { immutable.count + mutable.count }

    func item(at target: NodeID, now: Instant) -> DHTItem? {
        for stored in [mutable[target], immutable[target]] {
            if let stored, stored.expires > now { return stored.item }
        }
        return nil
    }

    /// Keeps an item, or says why not, in the order that BEP 44 gives. Arguments and token were checked before.
    mutating func put(
        _ item: DHTItem, cas: Int64?, from address: IPAddress, own: NodeID, now: Instant
    ) throws(KRPCError) {
        let target = item.target
        switch item {
        case .immutable:
            try makeRoom(for: target, in: \.immutable, address, own: own)
            immutable[target] = Stored(item: item, expires: now + limits.itemLifetime)
        case .mutable(let new):
            if let stored = mutable[target], case .mutable(let old) = stored.item {
                if let cas, cas != old.sequence { throw .casMismatch }
                if new.sequence < old.sequence { throw .oldSequence }
                if new.sequence == old.sequence, new.value != old.value { throw .oldSequence }
            }
            try makeRoom(for: target, in: \.mutable, address, own: own)
            mutable[target] = Stored(item: item, expires: now + limits.itemLifetime)
        }
    }

    private mutating func makeRoom(
        for target: NodeID, in items: WritableKeyPath<ItemStore, [NodeID: Stored]>, _ address: IPAddress, own: NodeID
    ) throws(KRPCError) {
        guard self[keyPath: items][target] == nil else { return }
        guard begun[address] < limits.itemsPerSource else { throw KRPCError(202, "too many items") }
        if self[keyPath: items].count >= limits.items {
            guard
                let farthest = self[keyPath: items].keys.max(by: { $0.distance(to: own) < $1.distance(to: own) }),
                target.distance(to: own) < farthest.distance(to: own)
            else { throw KRPCError(202, "no room") }
            self[keyPath: items][farthest] = nil
        }
        begun.add(address)
    }

    mutating func sweep(now: Instant) {
        immutable = immutable.filter { $0.value.expires > now }
        mutable = mutable.filter { $0.value.expires > now }
        begun.decay(now: now, every: limits.itemLifetime)
    }
}
