import Synchronization

/// A store that forgets everything when the process ends; completions run within the call.
public final class MemoryStore: GraphStore, StateStore {
    private struct Value: Sendable {
        var json: [UInt8]
        var state: Double
    }
    private struct Contents: Sendable {
        var nodes: [[UInt8]: [[UInt8]: Value]] = [:]
        var namespaces: [String: [[UInt8]: [UInt8]]] = [:]
    }
    private let contents = Mutex(Contents())

    public init() {}

    public func store(_ records: [GraphRecord], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        contents.withLock { contents in
            for record in records {
                contents.nodes[record.soul, default: [:]][record.key] = Value(json: record.value, state: record.state)
            }
        }
        completion(.success(()))
    }

    public func load(
        soul: [UInt8], key: [UInt8]?, limit: Int,
        completion: @escaping @Sendable (Result<[GraphRecord], StoreError>) -> Void
    ) {
        let node = contents.withLock { contents in
            guard let key else { return contents.nodes[soul] ?? [:] }
            return contents.nodes[soul]?[key].map { [key: $0] } ?? [:]
        }
        completion(.success(Array(Self.records(soul, node).prefix(max(0, limit)))))
    }

    public func records(
        after: (soul: [UInt8], key: [UInt8])?, limit: Int,
        completion: @escaping @Sendable (Result<[GraphRecord], StoreError>) -> Void
    ) {
        let nodes = contents.withLock { $0.nodes }
        var result: [GraphRecord] = []
        for (soul, node) in nodes.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            guard result.count < limit else { break }
            if let after, soul.lexicographicallyPrecedes(after.soul) { continue }
            result += Self.records(soul, node).filter { record in
                guard let after, after.soul == soul else { return true }
                return after.key.lexicographicallyPrecedes(record.key)
            }
        }
        completion(.success(Array(result.prefix(max(0, limit)))))
    }

    public func remove(souls: [[UInt8]], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        contents.withLock { contents in for soul in souls { contents.nodes[soul] = nil } }
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

    private static func records(_ soul: [UInt8], _ node: [[UInt8]: Value]) -> [GraphRecord] {
        node.sorted { $0.key.lexicographicallyPrecedes($1.key) }
            .map { GraphRecord(soul: soul, key: $0.key, value: $0.value.json, state: $0.value.state) }
    }
}
