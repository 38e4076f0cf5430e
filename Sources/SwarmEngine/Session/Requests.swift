import SwarmBase

/// The requests between two members that are not answered yet.
struct Requests: Sendable {
    /// How many of another are answered at a time (docs/protocol.md, "Requests").
    static let mostAnswering = 256
    /// How many of ours may wait for an answer.
    static let mostAsked = 4096

    private(set) var asked: [UInt64: MessagePriority] = [:]
    private(set) var answering: [UInt64: MessagePriority] = [:]
    private var deadlines = DeadlineQueue<UInt64>()

    var isEmpty: Bool { asked.isEmpty && answering.isEmpty }
    /// When the next of ours has waited long enough.
    var nextDeadline: Instant? { deadlines.nextDeadline }

    mutating func ask(_ id: UInt64, _ priority: MessagePriority, deadline: Instant?) {
        asked[id] = priority
        if let deadline { deadlines.add(id, at: deadline) }
    }

    /// Nobody waits for this answer any more, or it is there.
    ///
    /// - Returns: its priority; `nil` when nobody waited.
    mutating func endAsked(_ id: UInt64) -> MessagePriority? {
        let priority = asked.removeValue(forKey: id)
        while let next = deadlines.first, asked[next] == nil { deadlines.popFirst() }
        return priority
    }

    /// Those that have waited long enough.
    mutating func popDue(now: Instant) -> UInt64? {
        while let id = deadlines.popDue(now: now) { if asked[id] != nil { return id } }
        return nil
    }

    /// - Returns: `false` when there are too many already, or the id is taken.
    mutating func beginAnswer(_ id: UInt64, _ priority: MessagePriority) -> Bool {
        guard answering.count < Self.mostAnswering, answering[id] == nil else { return false }
        answering[id] = priority
        return true
    }

    mutating func endAnswer(_ id: UInt64) -> MessagePriority? { answering.removeValue(forKey: id) }
}
