/// Records that lie together in the order of souls and, within one, of keys: what a relay reads from its storage.
///
/// The order is that of UTF-16 code units. ``after`` moves on from one slice to the next.
public struct RecordRange: Hashable, Sendable {
    /// Which souls; with `exact` the range lies within one node.
    public var souls: Lex
    /// Which keys. A store may leave it to the reader to pass over keys that do not match when there are several souls.
    public var keys: Lex
    /// Whether the range is read from its end.
    public var isReversed = false
    /// Where the slice before this one ended.
    public var after: RecordAddress?
    /// The most records to read.
    public var records: Int
    /// About how many bytes of values to read at most.
    public var bytes: Int

    /// Keys of one node.
    init(_ soul: Soul, _ keys: Lex = Lex(), records: Int, bytes: Int) {
        souls = Lex()
        souls.exact = soul.text
        self.keys = keys
        isReversed = keys.isReversed
        self.records = records
        self.bytes = bytes
    }

    /// One key.
    init(_ soul: Soul, _ key: Key) {
        self.init(soul, records: 1, bytes: .max)
        keys.exact = key.text
    }

    /// Keys of several nodes.
    init(souls: Lex, keys: Lex, records: Int, bytes: Int) {
        self.souls = souls
        self.keys = keys
        isReversed = souls.isReversed
        self.records = records
        self.bytes = bytes
    }

    /// Whether a record is in the range, and not before where it goes on.
    public func contains(_ record: GunRecord) -> Bool {
        guard souls.matches(record.soul.text), keys.matches(record.key) else { return false }
        return after.map { isReversed ? record.address < $0 : $0 < record.address } ?? true
    }

    /// Reads the range from records in memory, whatever order they have.
    public func slice(of records: [GunRecord]) -> RecordSlice {
        let matching = records.filter(contains).sorted { $0.address < $1.address }
        var slice = RecordSlice()
        var bytes = 0
        for record in isReversed ? matching.reversed() : matching {
            guard slice.records.count < self.records, bytes < self.bytes else { return slice }
            slice.records.append(record)
            bytes += record.cost
        }
        slice.isComplete = true
        return slice
    }
}

/// What was read of a ``RecordRange``.
public struct RecordSlice: Equatable, Sendable {
    /// The records in the order of the range.
    public var records: [GunRecord]
    /// Whether the range ends with them.
    public var isComplete: Bool

    /// - Parameter isComplete: whether there is nothing in the range behind these records.
    public init(_ records: [GunRecord] = [], isComplete: Bool = false) {
        self.records = records
        self.isComplete = isComplete
    }

    /// What storage gives that has nothing there.
    public static var nothing: RecordSlice { RecordSlice(isComplete: true) }
}
