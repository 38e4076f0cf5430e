public import SwarmBase

/// One KRPC message (BEP 5): a query, a response or an error.
public struct KRPCMessage: Equatable, Sendable {
    public enum Body: Equatable, Sendable {
        case query(KRPCQuery)
        case response(KRPCResponse)
        case error(KRPCError)
    }

    /// Names the query that is answered; chosen by who asks, 0…64 bytes.
    public var transaction: [UInt8]
    public var body: Body
    /// The sender of a query answers none itself (BEP 43).
    public var isReadOnly = false
    /// Where the sender of a response sees the receiver (BEP 42).
    public var observed: TransportAddress?

    /// The longest transaction id that is taken: it is echoed.
    static let longestTransaction = 64
    /// What a datagram of ours has at most without an item (BEP 32 says 1,024).
    static let largestAnswer = 1024

    public init(
        transaction: [UInt8], body: Body, isReadOnly: Bool = false, observed: TransportAddress? = nil
    ) {
        self.transaction = transaction
        self.body = body
        self.isReadOnly = isReadOnly
        self.observed = observed
    }
}

/// What is asked.
public struct KRPCQuery: Equatable, Sendable {
    public enum Method: Equatable, Sendable {
        case ping
        case findNode(NodeID)
        case getPeers(NodeID)
        /// `port` is `nil` for "the port this came from" (`implied_port`).
        case announcePeer(NodeID, port: UInt16?, token: [UInt8])
        /// BEP 44. With `newerThan` a mutable item is sent only when its sequence number is greater.
        case get(NodeID, newerThan: Int64?)
        case put(DHTItem, cas: Int64?, token: [UInt8])
        /// BEP 51.
        case sampleInfoHashes(NodeID)
        /// A method we do not know, that speaks of this target: answered as `find_node`.
        case unknown(NodeID)
    }

    /// Who asks.
    public var sender: NodeID
    public var method: Method
    /// The families of nodes that are wanted; empty for that of the datagram (BEP 32).
    public var wants: Set<AddressFamily>

    public init(sender: NodeID, method: Method, wants: Set<AddressFamily> = []) {
        self.sender = sender
        self.method = method
        self.wants = wants
    }
}

/// What is answered: what belongs to the query is there.
public struct KRPCResponse: Equatable, Sendable {
    public var sender: NodeID
    public var nodes: [NodeContact] = []
    public var nodes6: [NodeContact] = []
    /// Whether `nodes` or `nodes6` was there at all, empty or not.
    public var hasNodes = false
    public var peers: [TransportAddress] = []
    public var token: [UInt8]?
    /// The encoding of an item's value as received.
    public var value: [UInt8]?
    public var key: [UInt8]?
    public var sequence: Int64?
    public var signature: [UInt8]?
    public var samples: [NodeID]?
    /// How many infohashes there are, and for how many seconds the samples stay the same (BEP 51).
    public var sampled: (count: Int64, interval: Int64)?

    public init(sender: NodeID) { self.sender = sender }

    public static func == (a: KRPCResponse, b: KRPCResponse) -> Bool {
        a.sender == b.sender && a.nodes == b.nodes && a.nodes6 == b.nodes6 && a.peers == b.peers && a.token == b.token
            && a.value == b.value && a.key == b.key && a.sequence == b.sequence && a.signature == b.signature
            && a.samples == b.samples
    }
}

/// What is refused, and why: the codes of BEP 5 and BEP 44.
public struct KRPCError: Error, Equatable, Sendable {
    public var code: Int64
    public var text: String

    public init(_ code: Int64, _ text: String) {
        self.code = code
        self.text = text
    }

    static func malformed(_ what: String) -> KRPCError { KRPCError(203, "missing or invalid '\(what)'") }
    static let wrongToken = KRPCError(203, "invalid token")
    static let unknownMethod = KRPCError(204, "unknown method")
    static let valueTooBig = KRPCError(205, "value too big")
    static let wrongSignature = KRPCError(206, "invalid signature")
    static let saltTooBig = KRPCError(207, "salt too big")
    static let casMismatch = KRPCError(301, "CAS mismatch")
    static let oldSequence = KRPCError(302, "old sequence number")
}
