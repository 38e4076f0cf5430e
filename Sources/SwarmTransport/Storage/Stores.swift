/// One key of one GUN node as it is kept: texts as their bytes, so that nothing is lost in a text type.
public struct GraphRecord: Hashable, Sendable {
    public var soul: [UInt8]
    public var key: [UInt8]
    /// The value as JSON.
    public var value: [UInt8]
    /// The state that HAM compares, finite.
    public var state: Double
    /// When the whole node may be forgotten, in milliseconds since 1970; the latest word on a node counts. Not read back.
    public var expires: Double?

    public init(soul: [UInt8], key: [UInt8], value: [UInt8], state: Double, expires: Double? = nil) {
        self.soul = soul
        self.key = key
        self.value = value
        self.state = state
        self.expires = expires
    }

    var byteCount: Int { soul.count + key.count + value.count + 64 }
}

/// Where a record is: records are in the order of the bytes of their souls and, within one, of their keys.
public struct GraphAddress: Hashable, Comparable, Sendable {
    public var soul: [UInt8]
    public var key: [UInt8]

    public init(soul: [UInt8], key: [UInt8] = []) {
        self.soul = soul
        self.key = key
    }

    public static func < (a: GraphAddress, b: GraphAddress) -> Bool {
        if a.soul == b.soul { return a.key.lexicographicallyPrecedes(b.key) }
        return a.soul.lexicographicallyPrecedes(b.soul)
    }
}

/// Records that lie together.
public struct GraphRange: Hashable, Sendable {
    /// The first address in the range.
    public var from: GraphAddress
    /// The first address behind it; `nil` is the end of the graph.
    public var to: GraphAddress?
    /// Whether it is read from its end.
    public var isReversed: Bool
    /// The most records to read.
    public var limit: Int
    /// When values of so many bytes have been read, it is enough.
    public var byteLimit: Int

    public init(
        from: GraphAddress, to: GraphAddress?, isReversed: Bool = false, limit: Int = .max, byteLimit: Int = .max
    ) {
        self.from = from
        self.to = to
        self.isReversed = isReversed
        self.limit = limit
        self.byteLimit = byteLimit
    }

    /// The whole of one node.
    public init(soul: [UInt8], limit: Int = .max, byteLimit: Int = .max) {
        self.init(
            from: GraphAddress(soul: soul), to: GraphAddress(soul: soul + [0]), limit: limit, byteLimit: byteLimit)
    }

    /// One key.
    public init(soul: [UInt8], key: [UInt8]) {
        self.init(from: GraphAddress(soul: soul, key: key), to: GraphAddress(soul: soul, key: key + [0]), limit: 1)
    }
}

/// What was read of a ``GraphRange``.
public struct GraphSlice: Hashable, Sendable {
    /// The records in the order of the range.
    public var records: [GraphRecord]
    /// Whether there is nothing in the range behind them.
    public var isComplete: Bool

    public init(records: [GraphRecord], isComplete: Bool) {
        self.records = records
        self.isComplete = isComplete
    }
}

/// What was read of the log of changes.
public struct ChangeSlice: Hashable, Sendable {
    /// What the keys hold now, in the order of the changes; what is not there any more is left out.
    public var records: [GraphRecord]
    /// The last change that was looked at; that up to which was asked when there is none behind it.
    public var through: UInt64

    public init(records: [GraphRecord], through: UInt64) {
        self.records = records
        self.through = through
    }
}

/// Keeps a GUN graph, and a log of its changes.
///
/// Operations take effect in the order of the calls: a load sees every store that was asked for before it. A
/// completion runs on a thread of the store's choosing, possibly within the call: hop to where you belong. A success
/// of ``store(_:firstChange:completion:)`` and ``remove(souls:completion:)`` means that the change survives a crash of the process
/// and of the host, as far as the store promises that at all.
public protocol GraphStore: Sendable {
    /// Keeps these records, each in place of what is held for its soul and key: who wins was decided before (HAM).
    /// All of them or none.
    ///
    /// - Parameter firstChange: the number of the first record in the log of changes, the second has the next and so on;
    ///   numbers only grow. `nil` keeps them out of the log.
    func store(
        _ records: [GraphRecord], firstChange: UInt64?,
        completion: @escaping @Sendable (Result<Void, StoreError>) -> Void)

    /// Reads records in the order of their addresses, up to the range's limits; at least one if there is any.
    func load(_ range: GraphRange, completion: @escaping @Sendable (Result<GraphSlice, StoreError>) -> Void)

    /// Forgets nodes whose ``GraphRecord/expires`` is before `now`, at most `limit` of them; gives how many.
    func expire(before now: Double, limit: Int, completion: @escaping @Sendable (Result<Int, StoreError>) -> Void)

    /// Reads what the keys hold that the changes behind `after`, up to `through`, were made to; at most `limit` changes.
    func loadChanges(
        after: UInt64, through: UInt64, limit: Int,
        completion: @escaping @Sendable (Result<ChangeSlice, StoreError>) -> Void)

    /// Gives the numbers of the first and the last change that are in the log; `nil` when it is empty.
    func changeNumbers(completion: @escaping @Sendable (Result<ClosedRange<UInt64>?, StoreError>) -> Void)

    /// Lets the log forget the changes up to that one. What they wrote stays.
    func forgetChanges(through: UInt64, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void)

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
    /// Awaits ``store(_:firstChange:completion:)``.
    public func store(_ records: [GraphRecord], firstChange: UInt64? = nil) async throws(StoreError) {
        try await result { store(records, firstChange: firstChange, completion: $0) }.get()
    }

    /// Awaits ``loadChanges(after:through:limit:completion:)``.
    public func loadChanges(after: UInt64, through: UInt64, limit: Int) async throws(StoreError) -> ChangeSlice {
        try await result { loadChanges(after: after, through: through, limit: limit, completion: $0) }.get()
    }

    /// Awaits ``changeNumbers(completion:)``.
    public var changeNumbers: ClosedRange<UInt64>? {
        get async throws(StoreError) { try await result { changeNumbers(completion: $0) }.get() }
    }

    /// Awaits ``forgetChanges(through:completion:)``.
    public func forgetChanges(through: UInt64) async throws(StoreError) {
        try await result { forgetChanges(through: through, completion: $0) }.get()
    }

    /// Awaits ``load(_:completion:)``.
    public func load(_ range: GraphRange) async throws(StoreError) -> GraphSlice {
        try await result { load(range, completion: $0) }.get()
    }

    /// Awaits ``expire(before:limit:completion:)``.
    public func expire(before now: Double, limit: Int) async throws(StoreError) -> Int {
        try await result { expire(before: now, limit: limit, completion: $0) }.get()
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
