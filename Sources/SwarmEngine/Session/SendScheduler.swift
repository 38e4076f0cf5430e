/// Decides which priority goes next: start-time fair queueing (Goyal, Vin, Cheng 1996) among the four, by bytes and weights.
struct SendScheduler: Sendable {
    private var virtualTime: UInt64 = 0
    /// By rank: when what each has sent would be through.
    private var finish: [UInt64] = [0, 0, 0, 0]

    /// The ranks in the order in which ties are broken: the most urgent first.
    private static let order = [2, 1, 0, 3]

    /// The rank that goes next, of those that have something to send.
    func choose(_ hasSomething: (Int) -> Bool) -> Int? {
        var best: (rank: Int, start: UInt64)?
        for rank in Self.order where hasSomething(rank) {
            let start = max(virtualTime, finish[rank])
            if best.map({ start < $0.start }) ?? true { best = (rank, start) }
        }
        return best?.rank
    }

    /// So many bytes of a rank have gone.
    mutating func sent(_ bytes: Int, rank: Int) {
        let start = max(virtualTime, finish[rank])
        virtualTime = start
        finish[rank] = start + UInt64(bytes) * 64 / MessagePriority.byLane[rank].weight
    }
}
