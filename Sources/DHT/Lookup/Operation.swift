public import SwarmBase

/// Names what a node was asked to do: ``DHTEvent`` repeats it.
public struct OperationID: Hashable, Comparable, Sendable {
    let value: UInt64

    /// In the order in which they were asked for.
    public static func < (a: OperationID, b: OperationID) -> Bool { a.value < b.value }
}

/// One search as its owner sees it: in both families at once, and then, perhaps, something stored with the nearest.
struct Operation: Sendable {
    enum Goal: Sendable {
        /// Upkeep of our own table.
        case refresh
        case findNode
        /// Announces with this port afterwards; 0 for the port that the others see.
        case getPeers(announcing: UInt16?)
        case getItem(ItemQuery)
        case put(DHTItem, cas: Int64?)
    }

    /// An item that is looked for.
    struct ItemQuery: Sendable {
        /// `nil` for an immutable item.
        var key: [UInt8]?
        var salt: [UInt8] = []
        /// Nothing that is not newer is wanted.
        var newerThan: Int64?
    }

    let goal: Goal
    let target: NodeID
    var lookups = PerFamily<Lookup>()
    var peers: Set<TransportAddress> = []
    var best: MutableItem?
    /// Stores that are under way.
    var storing = 0
    var isStoring = false
    let startedAt: Instant
    var outcome = DHTOutcome()

    init(goal: Goal, target: NodeID, now: Instant) {
        self.goal = goal
        self.target = target
        startedAt = now
    }
}

/// How a search went.
public struct DHTOutcome: Equatable, Sendable {
    /// The nearest nodes that have answered, nearest first: where to begin the next search for the same.
    public var closest: [NodeContact] = []
    /// How many nodes led to the nearest one, from our own table on.
    public var hops = 0
    /// How many queries were sent.
    public var queries = 0
    /// How many nodes have taken what was to be stored.
    public var stored = 0
    public var duration: Duration = .zero

    public init() {}
}

/// What a node tells its owner.
public enum DHTEvent: Equatable, Sendable {
    /// Peers that were announced for the infohash, each once; unverified.
    case peers(OperationID, [TransportAddress])
    /// An item whose hash or signature is good, newer than any told of before in this search.
    case item(OperationID, DHTItem)
    /// The search is over.
    case finished(OperationID, DHTOutcome)
    /// What others say of our address has changed.
    case externalMapping(AddressFamily, ExternalMapping)
    /// Nodes are known that answer, for the first time or again.
    case connected(AddressFamily)
}
