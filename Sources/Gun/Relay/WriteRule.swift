public import JSON

/// What a ``WriteRule`` says of one record.
public enum WriteVerdict: Equatable, Sendable {
    /// It may be kept and passed on.
    case accept
    /// It is not kept; the writer is told why, with `err`.
    case refuse(JSONText)
    /// It is not kept, and that is no fault: a record of a soul that forgets, come too late (gun.md §10.6).
    case pass
    /// It cannot be decided without knowing what that key holds: ask again when it is known.
    case needs(RecordAddress)
}

/// What is known of a key that a ``WriteRule`` asks for.
public enum HeldValue: Equatable, Sendable {
    case value(GunValue)
    /// It was never written.
    case nothing
    /// It may be in storage.
    case unknown
}

/// Who may write what: asked for each record that would replace what is held, before it does.
///
/// The rules of user space, content-addressed souls and the like are handed to a relay as one such value; without any
/// the graph is open to all. A rule is pure: the same record at the same time always gets the same verdict.
public struct WriteRule: Sendable {
    /// What is held of a key: rules may look at other keys than the one that is written.
    public typealias Lookup = (_ soul: Soul, _ key: Key) -> HeldValue

    private let decide: @Sendable (_ record: GunRecord, _ wall: Double, _ lookup: Lookup) -> WriteVerdict

    /// A rule that looks at the record alone.
    public init(_ verdict: @escaping @Sendable (_ record: GunRecord, _ wall: Double) -> WriteVerdict) {
        decide = { record, wall, _ in verdict(record, wall) }
    }

    /// A rule that may look at what is held.
    public init(
        lookingUp verdict: @escaping @Sendable (_ record: GunRecord, _ wall: Double, _ lookup: Lookup) -> WriteVerdict
    ) {
        decide = verdict
    }

    /// The verdict on a record at `wall`, our clock in milliseconds since 1970.
    public func verdict(_ record: GunRecord, _ wall: Double, lookup: Lookup = { _, _ in .nothing }) -> WriteVerdict {
        decide(record, wall, lookup)
    }
}
