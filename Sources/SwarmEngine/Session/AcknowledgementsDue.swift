import SwarmBase

/// What is to be acknowledged, on which path, and when at the latest.
struct AcknowledgementsDue: Sendable {
    private var times = CarrierTable<Instant?>(nil)
    /// The lanes of each path, a bit each.
    private var lanes = CarrierTable<UInt64>(0)
    private var streams: [(carrier: Carrier, id: UInt64)] = []
    /// Outcomes of these lanes are to be confirmed, on whichever path something goes next.
    private var confirmations: UInt64 = 0

    var isEmpty: Bool { Carrier.allCases.allSatisfy { times[$0] == nil } }

    func due(on carrier: Carrier) -> Instant? { times[carrier] }

    mutating func add(_ lane: Lane, on carrier: Carrier, at: Instant) {
        lanes[carrier] |= 1 << UInt64(lane.index)
        setDue(on: carrier, at: at)
    }

    mutating func add(stream id: UInt64, on carrier: Carrier, at: Instant) {
        if !streams.contains(where: { $0 == (carrier, id) }) { streams.append((carrier, id)) }
        setDue(on: carrier, at: at)
    }

    mutating func addConfirmation(of lane: Lane, on carrier: Carrier) {
        confirmations |= 1 << UInt64(lane.index)
        setDue(on: carrier, at: .zero)
    }

    private mutating func setDue(on carrier: Carrier, at: Instant) {
        if times[carrier].map({ at < $0 }) ?? true { times[carrier] = at }
    }

    mutating func forget(_ carrier: Carrier) {
        times[carrier] = nil
        lanes[carrier] = 0
        streams.removeAll { $0.carrier == carrier }
    }

    mutating func popLane(on carrier: Carrier) -> Lane? {
        let lane = Lane(number: UInt8(lanes[carrier].trailingZeroBitCount))
        if let lane { lanes[carrier] &= ~(1 << UInt64(lane.index)) }
        return lane
    }

    mutating func popStream(on carrier: Carrier) -> UInt64? {
        streams.firstIndex { $0.carrier == carrier }.map { streams.remove(at: $0).id }
    }

    mutating func popConfirmation() -> Lane? {
        let lane = Lane(number: UInt8(confirmations.trailingZeroBitCount))
        if let lane { confirmations &= ~(1 << UInt64(lane.index)) }
        return lane
    }

    /// All of a path has been said, unless something is left.
    mutating func said(on carrier: Carrier) {
        guard lanes[carrier] == 0, !streams.contains(where: { $0.carrier == carrier }) else { return }
        times[carrier] = nil
    }
}
