import Synchronization

/// A store that forgets everything when the process ends; completions run within the call.
public final class MemoryStore: GraphStore, StateStore {
    private struct Contents: Sendable {
        var graph = OrderedGraph()
        var expiry: [[UInt8]: Double] = [:]
        var changes: [UInt64: GraphAddress] = [:]
        var namespaces: [String: [[UInt8]: [UInt8]]] = [:]
    }
    private let contents = Mutex(Contents())

    public init() {}

    public func store(
        _ records: [GraphRecord], firstChange: UInt64?,
        completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) {
        contents.withLock { contents in
            for (place, record) in records.enumerated() {
                contents.graph.insert(record)
                if let firstChange {
                    contents.changes[firstChange + UInt64(place)] = GraphAddress(soul: record.soul, key: record.key)
                }
                guard let expires = record.expires else { continue }
                contents.expiry[record.soul] = max(expires, contents.expiry[record.soul] ?? expires)
            }
        }
        completion(.success(()))
    }

    public func load(_ range: GraphRange, completion: @escaping @Sendable (Result<GraphSlice, StoreError>) -> Void) {
        completion(.success(contents.withLock { $0.graph.slice(range) }))
    }

    public func loadChanges(
        after: UInt64, through: UInt64, limit: Int,
        completion: @escaping @Sendable (Result<ChangeSlice, StoreError>) -> Void
    ) {
        let slice = contents.withLock { contents in
            let all = contents.changes.keys.filter { $0 > after && $0 <= through }.sorted()
            let some = all.prefix(max(1, limit))
            let addresses = some.compactMap { contents.changes[$0] }
            return ChangeSlice(
                records: addresses.flatMap {
                    contents.graph.slice(GraphRange(soul: $0.soul, key: $0.key)).records
                }, through: some.count < all.count ? some.last ?? through : through)
        }
        completion(.success(slice))
    }

    public func changeNumbers(completion: @escaping @Sendable (Result<ClosedRange<UInt64>?, StoreError>) -> Void) {
        let numbers: ClosedRange<UInt64>? = contents.withLock { contents in
            guard let first = contents.changes.keys.min(), let last = contents.changes.keys.max() else { return nil }
            return first...last
        }
        completion(.success(numbers))
    }

    public func forgetChanges(through: UInt64, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        contents.withLock { contents in contents.changes = contents.changes.filter { $0.key > through } }
        completion(.success(()))
    }

    public func expire(
        before now: Double, limit: Int, completion: @escaping @Sendable (Result<Int, StoreError>) -> Void
    ) {
        let count = contents.withLock { contents in
            let due = contents.expiry.filter { $0.value < now }.prefix(max(0, limit))
            for (soul, _) in due {
                contents.graph.remove(soul: soul)
                contents.expiry[soul] = nil
            }
            return due.count
        }
        completion(.success(count))
    }

    public func remove(souls: [[UInt8]], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        contents.withLock { contents in
            for soul in souls {
                contents.graph.remove(soul: soul)
                contents.expiry[soul] = nil
            }
        }
        completion(.success(()))
    }

    public func apply(_ changes: [StateChange], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        contents.withLock { contents in
            for change in changes { contents.namespaces[change.namespace, default: [:]][change.key] = change.value }
        }
        completion(.success(()))
    }

    public func load(namespace: String, completion: @escaping @Sendable (Result<[StateEntry], StoreError>) -> Void) {
        let entries = contents.withLock { $0.namespaces[namespace] ?? [:] }
        completion(
            .success(
                entries.sorted { $0.key.lexicographicallyPrecedes($1.key) }
                    .map { StateEntry(key: $0.key, value: $0.value) }))
    }
}
