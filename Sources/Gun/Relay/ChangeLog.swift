/// What the owner's disk knows of the changes that configured relays are to be told, when the relay starts.
///
/// Every record that is stored gets the next number. So what a relay has acknowledged is one number, and after a start it
/// is offered what has changed since, not all that is kept.
public struct ChangeLog: Equatable, Sendable {
    /// The first change that the log keeps.
    public var first: UInt64
    /// The last one; ``first`` less 1 when it is empty.
    public var last: UInt64
    /// The configured relays by their numbers, and up to which change each has acknowledged; `nil` when that is not known.
    public var acknowledged: [Int: UInt64?]

    public init(first: UInt64 = 1, last: UInt64 = 0, acknowledged: [Int: UInt64?] = [:]) {
        self.first = first
        self.last = last
        self.acknowledged = acknowledged
    }
}

/// What a ``GunRelay`` wants of its owner's log of changes.
public enum ChangeLogRequest: Equatable, Sendable {
    /// Read what the keys hold that the changes behind `after`, up to `through`, were made to, and call
    /// ``GunRelay/loadedChanges(_:_:through:now:)``; about so many.
    case load(LoadID, after: UInt64, through: UInt64, limit: Int)
    /// Keep that a configured relay has acknowledged all up to that change.
    case acknowledged(peer: Int, change: UInt64)
    /// Nobody needs the changes up to that one any more.
    case forget(through: UInt64)
}

/// The numbers of changes.
struct ChangeNumbers: Sendable {
    var first: UInt64
    var last: UInt64
}
