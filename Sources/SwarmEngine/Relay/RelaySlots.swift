import SwarmBase

/// The keys that datagrams to one member use, in turn, in its inbox soul: `tag/slot` (docs/protocol.md, "Inbox").
///
/// A ring, so that what a relay keeps stays bounded; used slots are set to `null` when the conversation is idle.
struct RelaySlots: Sendable {
    /// More than a session has under way at once, so that a slot is read before it is written again.
    static let count = 48
    /// How long the conversation must be idle before its slots are cleared.
    static let idle: Duration = .seconds(10)

    private var next = 0
    private var used: Set<Int> = []
    private var lastState = 0.0
    /// When to clear the used slots.
    private(set) var clearAt: Instant?

    /// The next slot and the HAM state to write it with.
    mutating func take(now: Instant, wall: Double) -> (slot: Int, state: Double) {
        defer { next = (next + 1) % Self.count }
        used.insert(next)
        clearAt = now + Self.idle
        return (next, state(wall: wall))
    }

    /// The slots to be set to `null`, if any.
    mutating func clear(wall: Double) -> (slots: [Int], state: Double)? {
        clearAt = nil
        defer { used.removeAll() }
        return used.isEmpty ? nil : (used.sorted(), state(wall: wall))
    }

    /// How far behind the clock the states of our own keys are, in milliseconds: only this member writes them, so order
    /// among its own states is all that matters, and a relay or a reader whose clock is behind ours does not hold them back
    /// until it has caught up. More than the clocks of two members who take each other's records may be apart.
    static let stateLag = 150_000.0

    private mutating func state(wall: Double) -> Double {
        lastState = max(lastState + 0.001, wall - Self.stateLag)
        return lastState
    }
}
