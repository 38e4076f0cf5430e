import SwarmBase

/// Ids of signals that were taken, so that a copy by another carrier, or a replay, is known. Bounded in time and number.
struct SeenSignals: Sendable {
    /// Longer than a signal is fresh in both directions of the clock.
    static let kept: Duration = .seconds(300)
    static let most = 8192

    /// What is known of an id.
    enum Sighting: Equatable {
        case new
        /// The same signal by another carrier: expected, and harmless.
        case copy
        /// The same signal by the same carrier.
        case replayed
    }

    private var planes: [UInt64: Set<Plane>] = [:]
    private var order = FIFO<(id: UInt64, at: Instant)>()

    /// Remembers that a signal came by a plane.
    mutating func insert(_ id: UInt64, plane: Plane, now: Instant) -> Sighting {
        while let first = order.first, now - first.at > Self.kept || planes.count >= Self.most {
            planes[first.id] = nil
            _ = order.popFirst()
        }
        if planes[id] != nil { return planes[id]?.insert(plane).inserted == true ? .copy : .replayed }
        planes[id] = [plane]
        order.append((id, now))
        return .new
    }
}
