public import SwarmBase

/// One node of the mainline DHT: BEP 5, 32 (IPv6), 42 (ids bound to addresses), 43 (read-only), 44 (items), 51 (samples).
///
/// Sans-IO. The owner feeds it the datagrams of its socket that begin with `d`, and time; after every call it drains
/// `pollTransmit` and `pollEvent`, and calls `handleTimeout` no later than `nextTimeout`.
public struct DHTNode: Sendable {
    let configuration: DHTConfiguration
    var entropy: Entropy
    var families = PerFamily<FamilyState>()
    var hostAddresses: Set<IPAddress> = []
    var transactions: TransactionTable
    var operations: [OperationID: Operation] = [:]
    var nextOperation: UInt64 = 1
    var tokens: WriteTokens
    var peers: PeerStore
    var items: ItemStore
    var limiter: SourceLimiter
    var budget: TokenBucket
    /// Pings to who asked us something: it may be worth a place.
    var curiosity = TokenBucket(rate: 4, burst: 16)
    var reachability: Reachability
    var upkeepAt: Instant
    var sweepAt: Instant
    var transmits = FIFO<Transmit>()
    var events = FIFO<DHTEvent>()
    /// What has happened since the start.
    public internal(set) var counters = DHTCounters()

    /// Makes a node; nothing leaves before the first `handleTimeout`.
    ///
    /// - Parameter saved: ``savedTable`` of an earlier run.
    public init(
        configuration: DHTConfiguration = DHTConfiguration(), entropy: Entropy, saved: [UInt8] = [], now: Instant
    ) {
        self.configuration = configuration
        self.entropy = entropy
        let search = configuration.search
        transactions = TransactionTable(
            most: configuration.mostTransactions, slowAfter: search.slowAfter, failsAfter: search.failsAfter)
        tokens = WriteTokens(entropy: &self.entropy, now: now)
        peers = PeerStore(limits: configuration.storage)
        items = ItemStore(limits: configuration.storage)
        limiter = SourceLimiter(limits: configuration.service)
        let bytes = configuration.service.bytesPerSecond
        budget = TokenBucket(rate: bytes.rate, burst: bytes.burst, now: now)
        reachability = Reachability(isCertain: configuration.isReachable)
        upkeepAt = now + configuration.upkeepInterval
        sweepAt = now + .seconds(60)
        let kept = SavedTable(saved)
        for family in AddressFamily.allCases where configuration.families.contains(family) {
            let id = kept.ids[family] ?? .random(using: &self.entropy)
            families[family] = FamilyState(
                family: family, table: RoutingTable(ownID: id, sizes: configuration.bucketSizes, now: now),
                saved: kept.nodes[family] ?? [], joinAt: now)
        }
    }

    // MARK: What the owner tells

    /// An address at which a node is, or was: tried at once when nobody is known.
    public mutating func addBootstrap(_ address: TransportAddress, now: Instant) {
        let family = AddressFamily(address.address)
        guard address.port != 0, var state = families[family], !state.doors.contains(address) else { return }
        state.doors.append(address)
        if state.doors.count > FamilyState.mostDoors { state.doors.removeFirst() }
        if state.table.goodCount == 0 {
            state.joinFailures = 0
            state.joinAt = now
        }
        families[family] = state
    }

    /// The addresses of this machine. When they change, what others said of our address is forgotten.
    public mutating func setHostAddresses(_ addresses: Set<IPAddress>, now: Instant) {
        guard addresses != hostAddresses else { return }
        let isFirst = hostAddresses.isEmpty
        hostAddresses = addresses
        guard !isFirst else { return }
        reachability.forget()
        for family in families.families {
            families[family]?.external.forget()
            families[family]?.joinFailures = 0
            families[family]?.joinAt = now
            events.append(.externalMapping(family, .unknown))
        }
    }

    // MARK: What the owner sees

    /// Our id in one of the two DHTs.
    public func ownID(_ family: AddressFamily) -> NodeID? { families[family]?.ownID }

    /// How many nodes are known that answer.
    public func nodeCount(_ family: AddressFamily) -> Int { families[family]?.table.goodCount ?? 0 }

    /// What others say of our address.
    public func externalMapping(_ family: AddressFamily) -> ExternalMapping {
        families[family]?.external.mapping ?? .unknown
    }

    /// Whether queries of others are not answered, because they would not get here (BEP 43).
    public var isReadOnly: Bool { reachability.isReadOnly }

    /// How much is kept for others: infohashes and items.
    public var stored: (infoHashes: Int, items: Int) { (peers.infoHashCount, items.count) }

    /// The table as it is kept on disk, at most some 13 KB; ``init(configuration:entropy:saved:now:)`` takes it.
    public var savedTable: [UInt8] {
        var saved = SavedTable()
        for state in families.values {
            let family = state.family
            saved.ids[family] = state.ownID
            saved.nodes[family] = state.table.count > 0 ? state.table.contacts : state.saved
        }
        return saved.bytes
    }

    // MARK: The network

    /// A datagram came.
    public mutating func handle(datagram: [UInt8], from source: TransportAddress, now: Instant) {
        guard families[AddressFamily(source.address)] != nil, source.port != 0, !source.address.isMartian,
            !limiter.isSilenced(source.address, now: now)
        else {
            counters.dropped += 1
            return
        }
        do throws(KRPCRefusal) {
            let message = try KRPCMessage(decoding: datagram)
            switch message.body {
            case .query(let query):
                guard limiter.takes(source.address, now: now) else {
                    counters.dropped += 1
                    return
                }
                counters.queriesReceived += 1
                answer(query, message, from: source, size: datagram.count, now: now)
            case .response(let response):
                received(response, message, from: source, now: now)
            case .error(let error):
                received(error, message, from: source, now: now)
            }
        } catch {
            counters.malformed += 1
            guard case .query(let transaction, let reason) = error, !reachability.isReadOnly,
                limiter.takes(source.address, now: now)
            else { return }
            send(
                KRPCMessage(transaction: transaction, body: .error(reason), observed: source), to: source,
                isAnswer: true, now: now)
        }
    }

    /// Does what is due.
    public mutating func handleTimeout(now: Instant) {
        while let due = transactions.next(now: now) { take(due, now: now) }
        for family in AddressFamily.allCases { joinIfDue(family, now: now) }
        if now >= upkeepAt { upkeep(now: now) }
        if now >= sweepAt {
            sweepAt = now + .seconds(60)
            tokens.renew(entropy: &entropy, now: now)
            peers.sweep(now: now)
            items.sweep(now: now)
        }
    }

    /// When `handleTimeout` is due.
    public var nextTimeout: Instant? {
        var next: Instant? = .earlier(transactions.nextTimeout, min(upkeepAt, sweepAt))
        for family in AddressFamily.allCases { next = .earlier(next, families[family]?.joinAt) }
        return next
    }

    /// The next datagram for the socket.
    public mutating func pollTransmit() -> Transmit? { transmits.popFirst() }

    /// The next thing the owner should know.
    public mutating func pollEvent() -> DHTEvent? { events.popFirst() }

    // MARK: Sending

    mutating func send(_ message: KRPCMessage, to address: TransportAddress, isAnswer: Bool, now: Instant) {
        let datagram = message.encoded
        if isAnswer {
            // Loopback costs nobody anything.
            guard address.address.isLoopback || budget.take(Double(datagram.count), now: now) else {
                counters.dropped += 1
                return
            }
            counters.answersSent += 1
        } else {
            counters.queriesSent += 1
        }
        transmits.append(Transmit(to: address, payload: datagram))
    }

    /// Sends a query.
    ///
    /// - Returns: `false` when too many wait.
    mutating func ask(
        _ method: KRPCQuery.Method, of address: TransportAddress, for purpose: TransactionTable.Purpose, now: Instant
    ) -> Bool {
        let family = AddressFamily(address.address)
        guard let ownID = families[family]?.ownID,
            let id = transactions.begin(purpose, to: address, entropy: &entropy, now: now)
        else { return false }
        reachability.sent(to: address)
        let query = KRPCQuery(sender: ownID, method: method, wants: wants(from: family))
        send(
            KRPCMessage(
                transaction: [UInt8(id >> 8), UInt8(truncatingIfNeeded: id)], body: .query(query),
                isReadOnly: reachability.isReadOnly),
            to: address, isAnswer: false, now: now)
        return true
    }

    /// Nodes of the other family too, while few of them are known (BEP 32).
    private func wants(from family: AddressFamily) -> Set<AddressFamily> {
        let other: AddressFamily = family == .ipv4 ? .ipv6 : .ipv4
        guard let known = families[other]?.table.goodCount, known < 8 else { return [] }
        return [.ipv4, .ipv6]
    }
}

/// What a ``DHTNode`` has done.
public struct DHTCounters: Equatable, Sendable {
    public var queriesSent = 0
    public var queriesReceived = 0
    public var answersSent = 0
    /// Queries over a limit, and what comes from addresses that no node has.
    public var dropped = 0
    /// Datagrams that are no message.
    public var malformed = 0
    /// Answers that nobody waits for, or with another id than expected.
    public var unexpected = 0

    public init() {}
}
