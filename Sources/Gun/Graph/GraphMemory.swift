import JSON
import SwarmBase

/// The part of the graph that a peer holds in memory, within a budget of bytes.
///
/// Nodes are let go least recently used first (a second chance for what was touched since it last came up).
struct GraphMemory: Sendable {
    struct HeldNode: Sendable {
        var node: GunNode
        /// Whether every key that storage has is here, so that a key that is not here does not exist.
        var isComplete: Bool
        /// How many of its records were handed to storage and not yet confirmed.
        var unstored = 0
        var cost: Int
        /// When it is to be forgotten, in milliseconds since 1970.
        var expires: Double?
        fileprivate var wasTouched = false
    }

    private(set) var nodes: [Soul: HeldNode] = [:]
    /// The bytes held, near enough.
    private(set) var cost = 0
    private let budget: Int
    private var queue = FIFO<Soul>()

    init(budget: Int) { self.budget = budget }

    // Each text is an allocation of its own (32 bytes before its first byte, and what the allocator adds), a table of
    // entries is up to twice as large as what is in it. Measured: `bench relay` prints what a process takes.
    private static func cost(of soul: Soul) -> Int { soul.text.byteCount + 400 }

    private static func cost(_ key: Key, _ entry: GunEntry) -> Int {
        let value = entry.value.byteCount
        return key.text.byteCount + 48 + 96 + (value > 0 ? value + 48 : 0)
    }

    func entry(_ soul: Soul, _ key: Key) -> GunEntry? { nodes[soul]?.node.entries[key] }

    /// The node, marked as used.
    mutating func use(_ soul: Soul) -> HeldNode? {
        nodes[soul]?.wasTouched = true
        return nodes[soul]
    }

    /// Makes sure the node is held.
    ///
    /// - Parameter isComplete: what a node that was not held is taken to be.
    mutating func hold(_ soul: Soul, isComplete: Bool) {
        guard nodes[soul] == nil else { return }
        let cost = Self.cost(of: soul)
        nodes[soul] = HeldNode(node: GunNode(soul: soul), isComplete: isComplete, cost: cost)
        self.cost += cost
        queue.append(soul)
    }

    /// Lets the node live until then, if that is longer than before.
    ///
    /// - Returns: whether nobody had set an end to it yet.
    mutating func extend(_ soul: Soul, until end: Double) -> Bool {
        let before = nodes[soul]?.expires
        nodes[soul]?.expires = max(end, before ?? end)
        return before == nil
    }

    /// Lets go of a node.
    mutating func forget(_ soul: Soul) {
        guard let held = nodes.removeValue(forKey: soul) else { return }
        cost -= held.cost
    }

    mutating func markComplete(_ soul: Soul) { nodes[soul]?.isComplete = true }

    mutating func addUnstored(_ soul: Soul, _ count: Int) { nodes[soul]?.unstored += count }

    /// Writes the record into its node, which must be held, when it supersedes what is there.
    ///
    /// - Returns: whether it did.
    mutating func merge(_ record: GunRecord) -> Bool {
        let added = Self.cost(record.key, record.entry)
        let change: Int? = {
            guard let held = nodes[record.soul]?.node.entries[record.key] else { return added }
            return HAM.supersedes(record.entry, held) ? added - Self.cost(record.key, held) : nil
        }()
        guard let change, nodes[record.soul] != nil else { return false }
        nodes[record.soul]?.node.entries[record.key] = record.entry
        nodes[record.soul]?.cost += change
        nodes[record.soul]?.wasTouched = true
        cost += change
        return true
    }

    /// Lets go of nodes until the budget is kept or only pinned ones are left.
    ///
    /// - Returns: how many nodes were let go.
    @discardableResult
    mutating func evict(
        unless isPinned: (Soul, HeldNode) -> Bool, forgetting: (GunNode) -> Void = { _ in }
    ) -> Int {
        var evicted = 0
        // Each node may come up twice: once to lose its second chance, once to go.
        var remaining = queue.count * 2
        while cost > budget, remaining > 0, let soul = queue.popFirst() {
            remaining -= 1
            guard let held = nodes[soul] else { continue }
            if held.wasTouched || isPinned(soul, held) {
                nodes[soul]?.wasTouched = false
                queue.append(soul)
            } else {
                nodes[soul] = nil
                cost -= held.cost
                evicted += 1
                forgetting(held.node)
            }
        }
        return evicted
    }

    /// While the budget is still exceeded, forgets the eighth of the largest node's keys that have the oldest states.
    ///
    /// - Returns: what was forgotten.
    mutating func trim() -> [RecordAddress] {
        var trimmed: [RecordAddress] = []
        while cost > budget,
            let largest = nodes.values.max(by: { ($0.cost, $0.node.soul) < ($1.cost, $1.node.soul) }),
            !largest.node.entries.isEmpty
        {
            let oldest = largest.node.entries.sorted { ($0.value.state, $0.key) < ($1.value.state, $1.key) }
                .prefix(largest.node.entries.count / 8 + 1)
            for (key, entry) in oldest {
                let freed = Self.cost(key, entry)
                nodes[largest.node.soul]?.node.entries[key] = nil
                nodes[largest.node.soul]?.cost -= freed
                cost -= freed
                trimmed.append(RecordAddress(soul: largest.node.soul, key: key))
            }
            nodes[largest.node.soul]?.isComplete = false
        }
        return trimmed
    }
}
