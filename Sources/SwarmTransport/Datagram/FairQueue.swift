import SwarmBase

/// Datagrams that could not be handed out at once, one lane for each source: whoever sends much waits for itself.
///
/// Lanes take turns. When too many wait in all, the source with the most loses its newest, so one that floods cannot
/// crowd out the others.
struct FairQueue {
    private var lanes: [TransportAddress: FIFO<[UInt8]>] = [:]
    private var order = FIFO<TransportAddress>()
    private let limit: Int
    private let byteLimit: Int
    private var bytes = 0
    /// How many wait.
    private(set) var count = 0

    /// - Parameters:
    ///   - limit: how many may wait, at least 1.
    ///   - byteLimit: how many bytes they may have together.
    init(limit: Int, byteLimit: Int = .max) {
        self.limit = max(1, limit)
        self.byteLimit = byteLimit
    }

    /// Whether none waits.
    var isEmpty: Bool { count == 0 }

    /// Adds a datagram.
    ///
    /// - Returns: whether one had to go for it: this one, or another source's.
    mutating func append(_ datagram: [UInt8], from source: TransportAddress) -> Bool {
        var hasDropped = false
        guard datagram.count <= byteLimit else { return true }
        while count >= limit || bytes > byteLimit - datagram.count {
            hasDropped = true
            // Its fair share is used up: it is the newcomer that goes, which costs nothing.
            if let own = lanes[source]?.count, own * lanes.count >= min(limit, count) { return true }
            guard let longest = lanes.max(by: { $0.value.count < $1.value.count })?.key, longest != source,
                let dropped = lanes[longest]?.popLast()
            else { return true }
            count -= 1
            bytes -= dropped.count
        }
        let isNew = lanes[source] == nil
        lanes[source, default: FIFO()].append(datagram)
        if isNew { order.append(source) }
        count += 1
        bytes += datagram.count
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
            bytes -= datagram.count
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
        bytes = 0
    }
}
