/// Decides which priority goes next: start-time fair queueing (Goyal, Vin, Cheng 1996) among the four, by bytes and weights.
struct SendScheduler: Sendable {
    private var virtualTime: UInt64 = 0
    /// By rank: when what each has sent would be through.
    private var finish: [UInt64] = [0, 0, 0, 0]

    /// The ranks in the order in which ties are broken: the most urgent first.
    private static let order = [2, 1, 0, 3]

    /// What goes next, of what each rank has to send.
    func choose<Flow>(_ next: (_ rank: Int) -> Flow?) -> (rank: Int, flow: Flow)? {
        var best: (rank: Int, flow: Flow, start: UInt64)?
        for rank in Self.order {
            guard let flow = next(rank) else { continue }
            let start = max(virtualTime, finish[rank])
            if best.map({ start < $0.start }) ?? true { best = (rank, flow, start) }
        }
        return best.map { ($0.rank, $0.flow) }
    }

    /// So many bytes of a rank have gone.
    mutating func sent(_ bytes: Int, rank: Int) {
        let start = max(virtualTime, finish[rank])
        virtualTime = start
        finish[rank] = start + UInt64(bytes) * 64 / MessagePriority.byLane[rank].weight
    }
}
