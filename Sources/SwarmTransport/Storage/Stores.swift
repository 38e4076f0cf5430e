/// One key of one GUN node as it is kept: texts as their bytes, so that nothing is lost in a text type.
public struct GraphRecord: Hashable, Sendable {
    public var soul: [UInt8]
    public var key: [UInt8]
    /// The value as JSON.
    public var value: [UInt8]
    /// The state that HAM compares, finite.
    public var state: Double

    public init(soul: [UInt8], key: [UInt8], value: [UInt8], state: Double) {
        self.soul = soul
        self.key = key
        self.value = value
        self.state = state
    }

    var byteCount: Int { soul.count + key.count + value.count + 64 }
}

/// Keeps a GUN graph.
///
/// Operations take effect in the order of the calls: a load sees every store that was asked for before it. A
/// completion runs on a thread of the store's choosing, possibly within the call: hop to where you belong. A success
/// of ``store(_:completion:)`` and ``remove(souls:completion:)`` means that the change survives a crash of the process
/// and of the host, as far as the store promises that at all.
public protocol GraphStore: Sendable {
    /// Keeps these records, each in place of what is held for its soul and key: who wins was decided before (HAM).
    /// All of them or none.
    func store(_ records: [GraphRecord], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void)

    /// Loads a node, or one key of it, in the order of the keys' bytes, at most `limit` records.
    func load(
        soul: [UInt8], key: [UInt8]?, limit: Int,
        completion: @escaping @Sendable (Result<[GraphRecord], StoreError>) -> Void)

    /// Loads records of all nodes in the order of soul and key, those after the given one, at most `limit`.
    func records(
        after: (soul: [UInt8], key: [UInt8])?, limit: Int,
        completion: @escaping @Sendable (Result<[GraphRecord], StoreError>) -> Void)

    /// Forgets whole nodes.
    func remove(souls: [[UInt8]], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void)
}

/// One change of a ``StateStore``.
public struct StateChange: Hashable, Sendable {
    public var namespace: String
    public var key: [UInt8]
    /// `nil` deletes.
    public var value: [UInt8]?

    public init(namespace: String, key: [UInt8], value: [UInt8]?) {
        self.namespace = namespace
        self.key = key
        self.value = value
    }

    var byteCount: Int { namespace.utf8.count + key.count + (value?.count ?? 0) + 64 }
}

/// One entry of a ``StateStore``.
public struct StateEntry: Hashable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]

    public init(key: [UInt8], value: [UInt8]) {
        self.key = key
        self.value = value
    }
}

/// Keeps what a node must remember of itself: conversations, outboxes, known peers.
///
/// The same rules of order, completion and durability as for ``GraphStore`` hold.
public protocol StateStore: Sendable {
    /// Applies all changes in their order, or none.
    func apply(_ changes: [StateChange], completion: @escaping @Sendable (Result<Void, StoreError>) -> Void)

    /// Loads a namespace in the order of the keys' bytes.
    func load(namespace: String, completion: @escaping @Sendable (Result<[StateEntry], StoreError>) -> Void)
}

/// What a store cannot do.
public enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file cannot be opened or is no database of ours.
    case cannotOpen(path: String, reason: String)
    /// Another process works on the file.
    case inUse(path: String)
    /// The file was written by a later version.
    case newerVersion(path: String, version: Int)
    /// More is waiting for the disk than is allowed.
    case overloaded
    /// The disk, or what the store may take of it, is full.
    case full
    /// The store is closed.
    case closed
    /// Anything else; what the database said.
    case failed(String)

    public var description: String {
        switch self {
        case .cannotOpen(let path, let reason): "cannot open \(path): \(reason)"
        case .inUse(let path): "\(path) is in use by another process"
        case .newerVersion(let path, let version): "\(path) was written by a later version (format \(version))"
        case .overloaded: "the disk cannot keep up"
        case .full: "the disk, or the store's share of it, is full"
        case .closed: "the store is closed"
        case .failed(let text): "the store failed: \(text)"
        }
    }
}

// MARK: - The same, awaited

extension GraphStore {
    /// Awaits ``store(_:completion:)``.
    public func store(_ records: [GraphRecord]) async throws(StoreError) {
        try await result { store(records, completion: $0) }.get()
    }

    /// Awaits ``load(soul:key:limit:completion:)``.
    public func load(
        soul: [UInt8], key: [UInt8]? = nil, limit: Int = 100_000
    ) async throws(StoreError) -> [GraphRecord] {
        try await result { load(soul: soul, key: key, limit: limit, completion: $0) }.get()
    }

    /// Awaits ``records(after:limit:completion:)``.
    public func records(
        after: (soul: [UInt8], key: [UInt8])? = nil, limit: Int
    ) async throws(StoreError) -> [GraphRecord] {
        try await result { records(after: after, limit: limit, completion: $0) }.get()
    }

    /// Awaits ``remove(souls:completion:)``.
    public func remove(souls: [[UInt8]]) async throws(StoreError) {
        try await result { remove(souls: souls, completion: $0) }.get()
    }
}

extension StateStore {
    /// Awaits ``apply(_:completion:)``.
    public func apply(_ changes: [StateChange]) async throws(StoreError) {
        try await result { apply(changes, completion: $0) }.get()
    }

    /// Awaits ``load(namespace:completion:)``.
    public func load(namespace: String) async throws(StoreError) -> [StateEntry] {
        try await result { load(namespace: namespace, completion: $0) }.get()
    }
}

private func result<Value: Sendable>(
    _ start: (@escaping @Sendable (Result<Value, StoreError>) -> Void) -> Void
) async -> Result<Value, StoreError> {
    await withCheckedContinuation { continuation in start { continuation.resume(returning: $0) } }
}
