import SwarmBase

/// Datagrams that could not be handed out at once, one lane for each source: whoever sends much waits for itself.
///
/// Lanes take turns. When too many wait in all, the source with the most loses its newest, so one that floods cannot
/// crowd out the others.
struct FairQueue {
    private var lanes: [TransportAddress: FIFO<[UInt8]>] = [:]
    private var order = FIFO<TransportAddress>()
    private let limit: Int
    /// How many wait.
    private(set) var count = 0

    /// - Parameter limit: how many may wait, at least 1.
    init(limit: Int) { self.limit = max(1, limit) }

    /// Whether none waits.
    var isEmpty: Bool { count == 0 }

    /// Adds a datagram.
    ///
    /// - Returns: whether one had to go for it: this one, or another source's.
    mutating func append(_ datagram: [UInt8], from source: TransportAddress) -> Bool {
        var hasDropped = false
        if count >= limit {
            hasDropped = true
            // Its fair share is used up: it is the newcomer that goes, which costs nothing.
            if let own = lanes[source]?.count, own * lanes.count >= limit { return true }
            guard let longest = lanes.max(by: { $0.value.count < $1.value.count })?.key else { return true }
            guard longest != source else { return true }
            _ = lanes[longest]?.popLast()
            count -= 1
        }
        let isNew = lanes[source] == nil
        lanes[source, default: FIFO()].append(datagram)
        if isNew { order.append(source) }
        count += 1
        return hasDropped
    }

    /// Takes the next datagram: the oldest of the source whose turn it is.
    mutating func popFirst() -> (datagram: [UInt8], source: TransportAddress)? {
        while let source = order.popFirst() {
            guard let datagram = lanes[source]?.popFirst() else {
                lanes[source] = nil
                continue
            }
            count -= 1
            if lanes[source]?.isEmpty == true { lanes[source] = nil } else { order.append(source) }
            return (datagram, source)
        }
        return nil
    }

    /// Drops everything.
    mutating func removeAll() {
        lanes = [:]
        order.removeAll()
        count = 0
    }
}
