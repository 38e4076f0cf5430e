import HeapModule
import SwarmBase

/// What is due when.
struct DeadlineQueue: Sendable {
    private struct Entry: Comparable, Sendable {
        let at: Instant
        let id: UInt64

        static func < (a: Entry, b: Entry) -> Bool { a.at < b.at }
    }

    private var entries = Heap<Entry>()

    /// When the first is due.
    var next: Instant? { entries.min?.at }

    mutating func add(_ id: UInt64, at: Instant) { entries.insert(Entry(at: at, id: id)) }

    /// The next that is due.
    mutating func popDue(now: Instant) -> UInt64? {
        guard let first = entries.min, first.at <= now else { return nil }
        return entries.popMin()?.id
    }

    /// Whose the first is.
    var nextID: UInt64? { entries.min?.id }

    /// The first need not be thought of any more.
    mutating func removeNext() { _ = entries.popMin() }
}
