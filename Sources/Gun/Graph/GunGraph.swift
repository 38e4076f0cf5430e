import JSON

/// What one key holds: a value and the writer's clock in milliseconds since 1970.
public struct GunEntry: Hashable, Sendable {
    public var value: GunValue
    /// The state; finite.
    public var state: Double

    public init(_ value: GunValue, state: Double) {
        self.value = value
        self.state = state
    }
}

/// One key of one node: the unit of writing, of conflict resolution and of storage.
public struct GunRecord: Hashable, Sendable {
    public var soul: Soul
    public var key: Key
    public var entry: GunEntry

    public init(soul: Soul, key: Key, value: GunValue, state: Double) {
        self.soul = soul
        self.key = key
        entry = GunEntry(value, state: state)
    }

    public init(soul: Soul, key: Key, entry: GunEntry) {
        self.soul = soul
        self.key = key
        self.entry = entry
    }

    /// The value written.
    public var value: GunValue { entry.value }

    /// The writer's clock.
    public var state: Double { entry.state }

    /// Where the record is in the graph.
    public var address: RecordAddress { RecordAddress(soul: soul, key: key) }

    /// What the record costs in memory or in a queue, in bytes, near enough.
    var cost: Int { soul.text.byteCount + key.text.byteCount + entry.value.byteCount + 96 }
}

/// A soul and a key. Addresses are in the order of their souls and, within one, of their keys.
public struct RecordAddress: Hashable, Comparable, Sendable {
    public var soul: Soul
    public var key: Key

    public init(soul: Soul, key: Key) {
        self.soul = soul
        self.key = key
    }

    public static func < (a: RecordAddress, b: RecordAddress) -> Bool {
        a.soul == b.soul ? a.key < b.key : a.soul < b.soul
    }
}

/// A node: the keys that are known of one soul.
public struct GunNode: Equatable, Sendable {
    public let soul: Soul
    public var entries: [Key: GunEntry]

    public init(soul: Soul, entries: [Key: GunEntry] = [:]) {
        self.soul = soul
        self.entries = entries
    }

    /// The records in UTF-16 order of their keys.
    public var records: [GunRecord] {
        entries.sorted { $0.key < $1.key }.map { GunRecord(soul: soul, key: $0.key, entry: $0.value) }
    }
}

/// A graph as one message carries it: records in their order, those of one soul together.
public struct GunGraph: Equatable, Sendable {
    public let records: [GunRecord]

    /// Brings the records of each soul together; otherwise the order stays.
    public init(_ records: [GunRecord]) {
        guard records.count > 1, !Self.isGrouped(records) else {
            self.records = records
            return
        }
        var order: [Soul] = []
        var bySoul: [Soul: [GunRecord]] = [:]
        for record in records {
            if bySoul[record.soul] == nil { order.append(record.soul) }
            bySoul[record.soul, default: []].append(record)
        }
        self.records = order.flatMap { bySoul[$0] ?? [] }
    }

    /// The keys of one node.
    public init(_ node: GunNode) { records = node.records }

    private static func isGrouped(_ records: [GunRecord]) -> Bool {
        records.dropFirst().allSatisfy { $0.soul == records[0].soul }
    }
}
