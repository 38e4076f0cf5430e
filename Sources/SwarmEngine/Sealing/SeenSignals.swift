import SwarmBase

/// Ids of signals that were taken, so that a copy by another carrier, or a replay, is known. Bounded in time and number.
struct SeenSignals: Sendable {
    /// Longer than a signal is fresh in both directions of the clock.
    static let kept: Duration = .seconds(300)
    static let most = 8192

    private var ids: Set<UInt64> = []
    private var order = FIFO<(id: UInt64, at: Instant)>()

    /// - Returns: whether the id is new; it is remembered.
    mutating func insert(_ id: UInt64, now: Instant) -> Bool {
        while let first = order.first, now - first.at > Self.kept || ids.count >= Self.most {
            ids.remove(first.id)
            _ = order.popFirst()
        }
        guard ids.insert(id).inserted else { return false }
        order.append((id, now))
        return true
    }
}
