/// The limits of a ``DHTNode``.
public struct DHTConfiguration: Sendable {
    /// How searches go.
    public struct Search: Sendable {
        /// Queries in flight (Kademlia's alpha).
        public var parallel = 3
        /// Kademlia's K: so many of the nearest have to answer, and get what is stored.
        public var closest = 8
        /// Nodes in mind.
        public var candidates = 100
        /// After this another node is asked too (libtorrent: 1 s).
        public var slowAfter: Duration = .seconds(1)
        /// After this a node has not answered (libtorrent: 15 s).
        public var failsAfter: Duration = .seconds(6)
        /// A search takes no longer.
        public var longest: Duration = .seconds(30)
        /// Peers that are told of in one search.
        public var peers = 200
        /// Searches at a time; more are over at once.
        public var most = 64
    }

    /// What is kept for others. The defaults are libtorrent's, but for the limits of one source.
    public struct Storage: Sendable {
        public var infoHashes = 2000
        public var peersPerInfoHash = 500
        public var infoHashesPerSource = 50
        public var peerLifetime: Duration = .seconds(45 * 60)
        /// Of each kind, immutable and mutable.
        public var items = 700
        public var itemsPerSource = 20
        public var itemLifetime: Duration = .seconds(2 * 3600)
    }

    /// What others may ask.
    public struct Service: Sendable {
        /// Queries a second from one address, and at once; local ones are free.
        public var queriesPerSource: (rate: Double, burst: Double) = (10, 50)
        /// Who asked more is not heard for so long.
        public var silence: Duration = .seconds(300)
        /// Bytes a second of answers, and at once.
        public var bytesPerSecond: (rate: Double, burst: Double) = (64_000, 256_000)
        /// Sources in mind.
        public var sources = 4096
        /// An answer is at most so many times as long as the query. An item is sent whole: `get` is answered with at most 1,400 bytes.
        public var amplification = 12
    }

    public var search = Search()
    public var storage = Storage()
    public var service = Service()
    /// How many nodes there are in each bucket, from the farthest half of all ids on; the last counts for all that follow
    /// (libtorrent: 128, 64, 32, 16, then K).
    public var bucketSizes = [32, 16, 8]
    public var families: Set<AddressFamily> = [.ipv4, .ipv6]
    /// The node can be reached, whatever else it looks like: a supernode says so.
    public var isReachable = false
    /// Queries that wait for an answer.
    public var mostTransactions = 1024
    /// A node that was silent for so long is asked whether it is there (BEP 5: 15 min).
    public var questionableAfter: Duration = .seconds(600)
    /// A bucket in which nothing was looked for for so long is refreshed (BEP 5).
    public var refreshAfter: Duration = .seconds(900)
    /// Upkeep happens so often: a node is asked whether it is there, which also keeps a NAT's mapping.
    public var upkeepInterval: Duration = .seconds(10)

    public init() {}
}
