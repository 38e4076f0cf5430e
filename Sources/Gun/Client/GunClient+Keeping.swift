import SwarmBase

/// One change to what the owner keeps of the shared graph.
public enum GunStorageChange: Equatable, Sendable {
    /// Keep the record, in place of what is kept under its soul and key.
    ///
    /// - Parameter isPending: whether no relay is known to have it yet.
    case keep(GunRecord, isPending: Bool)
    /// Forget what is kept there.
    case forget(Soul, Key)
}

/// What outlives a run: the shared graph, and which of our writes no relay has yet.
extension GunClient {
    /// The next change to keep.
    public mutating func pollStorage() -> GunStorageChange? { storage.popFirst() }

    /// Takes up what an earlier run kept; to be called before anything else.
    ///
    /// - Parameter records: in any order; those that are pending go to every relay that opens.
    public mutating func restore(_ records: [(record: GunRecord, isPending: Bool)]) {
        var pending: [Double: [Soul: [GunRecord]]] = [:]
        for (record, isPending) in records {
            shared.insert(record.soul)
            memory.hold(record.soul, isComplete: false)
            guard memory.merge(record) else { continue }
            if isPending { pending[record.state, default: [:]][record.soul, default: []].append(record) }
        }
        // What was written together has one state.
        for (_, nodes) in pending.sorted(by: { $0.key < $1.key }) {
            for (_, records) in nodes.sorted(by: { $0.key < $1.key }) {
                outbox.add(newPut(), records.filter { memory.entry($0.soul, $0.key) == $0.entry })
            }
        }
        boundOutbox()
        evict()
    }

    mutating func keep(_ record: GunRecord, isPending: Bool) {
        guard configuration.isKept, shared.contains(record.soul) else { return }
        storage.append(.keep(record, isPending: isPending))
    }

    /// A put is out of the outbox, or a relay has it: a later run need not send it.
    mutating func settle(_ records: [RecordAddress: GunEntry]) {
        guard configuration.isKept else { return }
        for (address, entry) in records.sorted(by: { $0.key < $1.key }) {
            keep(GunRecord(soul: address.soul, key: address.key, entry: entry), isPending: false)
        }
    }

    /// A node has left memory.
    mutating func forget(_ node: GunNode) {
        guard shared.remove(node.soul) != nil, configuration.isKept else { return }
        for key in node.entries.keys.sorted() { storage.append(.forget(node.soul, key)) }
    }
}
