import SwarmBase

/// The durable puts that some relay may not have yet, in the order in which they were made.
struct Outbox: Sendable {
    /// How a put stands with one link.
    enum Delivery: Sendable {
        /// Sent so many times; the next look at it is due then.
        case waiting(attempts: Int, due: Instant)
        /// Sent as often as it is worth on this connection.
        case unanswered
        case acknowledged
        case refused
    }

    struct Entry: Sendable {
        var records: [RecordAddress: GunEntry]
        var deliveries: [LinkID: Delivery] = [:]
        /// Keys that a link has given back, while not all are.
        var verified: [LinkID: Set<RecordAddress>] = [:]
        /// When a link first acknowledged it.
        var acknowledgedAt: Instant?
        var cost: Int

        var graph: GunGraph {
            GunGraph(
                records.map { GunRecord(soul: $0.key.soul, key: $0.key.key, entry: $0.value) }
                    .sorted { ($0.soul, $0.key) < ($1.soul, $1.key) })
        }
    }

    private(set) var entries: [PutID: Entry] = [:]
    /// The newest put of each key.
    private(set) var newest: [RecordAddress: PutID] = [:]
    private(set) var cost = 0
    private var order = FIFO<PutID>()
    private var acknowledgedOrder = FIFO<PutID>()

    subscript(id: PutID) -> Entry? { entries[id] }

    /// Whether a put of that key is kept.
    func isKept(_ address: RecordAddress) -> Bool { newest[address] != nil }

    /// Whether a put of that soul is kept.
    func holds(_ soul: Soul) -> Bool { souls[soul] != nil }

    private var souls: [Soul: Int] = [:]

    /// Keeps a put; the keys must not be those of another one that is kept.
    mutating func add(_ id: PutID, _ records: [GunRecord]) {
        let cost = records.reduce(0) { $0 + $1.cost }
        var byAddress: [RecordAddress: GunEntry] = [:]
        for record in records {
            byAddress[record.address] = record.entry
            newest[record.address] = id
            souls[record.soul, default: 0] += 1
        }
        compact()
        entries[id] = Entry(records: byAddress, cost: cost)
        self.cost += cost
        order.append(id)
    }

    mutating func setDelivery(_ id: PutID, _ link: LinkID, _ delivery: Delivery) {
        entries[id]?.deliveries[link] = delivery
        entries[id]?.verified[link] = nil
    }

    mutating func noteAcknowledged(_ id: PutID, now: Instant) {
        guard entries[id] != nil, entries[id]?.acknowledgedAt == nil else { return }
        entries[id]?.acknowledgedAt = now
        acknowledgedOrder.append(id)
    }

    /// A link gave a key of the put back.
    ///
    /// - Returns: whether that was the last of those that are read back.
    mutating func verify(_ id: PutID, _ address: RecordAddress, on link: LinkID, of limit: Int) -> Bool {
        guard let entry = entries[id], entry.records[address] != nil else { return false }
        entries[id]?.verified[link, default: []].insert(address)
        return (entries[id]?.verified[link]?.count ?? 0) >= min(entry.records.count, limit)
    }

    /// The link is gone: what it acknowledged it has, the rest starts anew when it opens again.
    mutating func linkClosed(_ link: LinkID) {
        for id in entries.keys {
            if case .acknowledged = entries[id]?.deliveries[link] { continue }
            entries[id]?.deliveries[link] = nil
            entries[id]?.verified[link] = nil
        }
    }

    /// A newer write of that key is known.
    ///
    /// - Returns: the put that lost its last key by it, with whether it had been acknowledged.
    mutating func supersede(_ address: RecordAddress) -> (PutID, wasAcknowledged: Bool)? {
        guard let id = newest[address], let entry = entries[id] else { return nil }
        drop(address)
        entries[id]?.records[address] = nil
        guard entry.records.count == 1 else { return nil }
        remove(id)
        return (id, entry.acknowledgedAt != nil)
    }

    private mutating func drop(_ address: RecordAddress) {
        newest[address] = nil
        let count = (souls[address.soul] ?? 1) - 1
        souls[address.soul] = count > 0 ? count : nil
    }

    mutating func remove(_ id: PutID) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        for address in entry.records.keys { drop(address) }
        cost -= entry.cost
    }

    /// Puts leave in any order; the queues must not grow with those that have left.
    private mutating func compact() {
        if order.count > 2 * entries.count + 64 {
            order.removeAll()
            for id in entries.keys.sorted() { order.append(id) }
        }
        if acknowledgedOrder.count > 2 * entries.count + 64 {
            let acknowledged = entries.compactMap { id, entry in entry.acknowledgedAt.map { ($0, id) } }
            acknowledgedOrder.removeAll()
            for (_, id) in acknowledged.sorted(by: { $0 < $1 }) { acknowledgedOrder.append(id) }
        }
    }

    /// The put that has been kept longest.
    mutating func oldest() -> PutID? { firstKept(of: \.order) }

    /// The put that was acknowledged first.
    mutating func oldestAcknowledged() -> PutID? { firstKept(of: \.acknowledgedOrder) }

    private mutating func firstKept(of queue: WritableKeyPath<Outbox, FIFO<PutID>>) -> PutID? {
        while let id = self[keyPath: queue].first {
            if entries[id] != nil { return id }
            _ = self[keyPath: queue].popFirst()
        }
        return nil
    }
}
