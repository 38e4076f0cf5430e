import SwarmBase

/// Reads that wait for storage. Each link has a lane of its own and the lanes take turns, so that who asks much waits for
/// itself alone; and few are under way at a time, so that writes do not wait behind them.
struct ReadLanes: Sendable {
    /// How long a lane may be for reads of others to join it.
    private static let mostJoined = 64

    /// Reads that have not been begun.
    private var waiting: [LoadID: GunRelayEvent] = [:]
    private var lanes: [LinkID: FIFO<LoadID>] = [:]
    private var turns = FIFO<LinkID>()
    private(set) var underWay = 0

    /// How many reads wait in the link's lane.
    func count(of link: LinkID) -> Int { lanes[link]?.count ?? 0 }

    mutating func add(_ id: LoadID, _ read: GunRelayEvent, lane: LinkID) {
        waiting[id] = read
        append(id, to: lane)
    }

    /// Another link waits for the same: it need not wait for the turn of who was first.
    mutating func join(_ id: LoadID, lane: LinkID) {
        if waiting[id] != nil, count(of: lane) < Self.mostJoined { append(id, to: lane) }
    }

    private mutating func append(_ id: LoadID, to lane: LinkID) {
        if lanes[lane] == nil { turns.append(lane) }
        lanes[lane, default: FIFO()].append(id)
    }

    /// The next read to begin, when fewer than `limit` are under way.
    mutating func next(limit: Int) -> GunRelayEvent? {
        while underWay < limit, let lane = turns.popFirst() {
            let id = lanes[lane]?.popFirst()
            if lanes[lane]?.isEmpty == false { turns.append(lane) } else { lanes[lane] = nil }
            // It may have been begun in another lane.
            guard let id, let read = waiting.removeValue(forKey: id) else { continue }
            underWay += 1
            return read
        }
        return nil
    }

    /// A read that was begun is done.
    mutating func done() { underWay -= 1 }
}
