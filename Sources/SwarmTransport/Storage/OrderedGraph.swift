import SwarmBase

/// Records in the order of their addresses, in leaves of bounded length: a B-tree of two levels.
struct OrderedGraph: Sendable {
    private static let longestLeaf = 512

    /// None is empty.
    private var leaves: [[GraphRecord]] = []

    private static func address(_ record: GraphRecord) -> GraphAddress {
        GraphAddress(soul: record.soul, key: record.key)
    }

    /// The leaf and place of the first record at or behind an address.
    private func place(_ address: GraphAddress) -> (leaf: Int, place: Int) {
        let leaf = leaves.partitioningIndex { leaf in leaf.last.map { Self.address($0) >= address } ?? false }
        guard leaf < leaves.count else { return (leaf, 0) }
        return (leaf, leaves[leaf].partitioningIndex { Self.address($0) >= address })
    }

    /// Puts the record in its place, or in place of what is there.
    mutating func insert(_ record: GraphRecord) {
        let address = Self.address(record)
        var (leaf, place) = place(address)
        guard !leaves.isEmpty else {
            leaves.append([record])
            return
        }
        if leaf == leaves.count {
            leaf -= 1
            place = leaves[leaf].count
        }
        if place < leaves[leaf].count, Self.address(leaves[leaf][place]) == address {
            leaves[leaf][place] = record
            return
        }
        leaves[leaf].insert(record, at: place)
        guard leaves[leaf].count > Self.longestLeaf else { return }
        let half = leaves[leaf].count / 2
        leaves.insert(Array(leaves[leaf][half...]), at: leaf + 1)
        leaves[leaf].removeSubrange(half...)
    }

    mutating func remove(soul: [UInt8]) {
        let (first, _) = place(GraphAddress(soul: soul))
        var leaf = first
        while leaf < leaves.count, let start = leaves[leaf].first,
            !soul.lexicographicallyPrecedes(start.soul)
        {
            leaves[leaf].removeAll { $0.soul == soul }
            if leaves[leaf].isEmpty { leaves.remove(at: leaf) } else { leaf += 1 }
        }
    }

    func slice(_ range: GraphRange) -> GraphSlice {
        var slice = GraphSlice(records: [], isComplete: true)
        var bytes = 0
        func take(_ record: GraphRecord) -> Bool {
            let isEnough = !slice.records.isEmpty && (slice.records.count >= range.limit || bytes >= range.byteLimit)
            guard !isEnough, range.limit > 0 else {
                slice.isComplete = false
                return false
            }
            slice.records.append(record)
            bytes += record.value.count
            return true
        }
        if range.isReversed {
            var (leaf, place) = range.to.map { self.place($0) } ?? (leaves.count, 0)
            while true {
                if place == 0 {
                    leaf -= 1
                    guard leaf >= 0 else { return slice }
                    place = leaves[leaf].count
                }
                place -= 1
                let record = leaves[leaf][place]
                guard range.from <= Self.address(record), take(record) else { return slice }
            }
        }
        var (leaf, place) = self.place(range.from)
        while leaf < leaves.count {
            let record = leaves[leaf][place]
            if let end = range.to, end <= Self.address(record) { return slice }
            guard take(record) else { return slice }
            place += 1
            if place == leaves[leaf].count { (leaf, place) = (leaf + 1, 0) }
        }
        return slice
    }
}
