import Synchronization

/// A store that forgets everything when the process ends; completions run within the call.
public final class MemoryStore: GraphStore, StateStore {
    private struct Contents: Sendable {
        var graph = OrderedGraph()
        var expiry: [[UInt8]: Double] = [:]
        var namespaces: [String: [[UInt8]: [UInt8]]] = [:]
    }
    private let contents = Mutex(Contents())

    public init() {}

    public func store(_ records: [GraphRecord], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        contents.withLock { contents in
            for record in records {
                contents.graph.insert(record)
                guard let expires = record.expires else { continue }
                contents.expiry[record.soul] = max(expires, contents.expiry[record.soul] ?? expires)
            }
        }
        completion(.success(()))
    }

    public func load(_ range: GraphRange, completion: @escaping @Sendable (Result<GraphSlice, StoreError>) -> Void) {
        completion(.success(contents.withLock { $0.graph.slice(range) }))
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
