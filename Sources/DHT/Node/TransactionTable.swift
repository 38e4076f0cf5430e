import SwarmBase

/// The queries that wait for an answer. An answer counts only from the address that was asked.
struct TransactionTable: Sendable {
    enum Purpose: Sendable {
        /// A step of a search; `nil` for an address whose id was not known.
        case lookup(OperationID, AddressFamily, NodeContact?)
        case store(OperationID)
        /// Is the node there?
        case ping(NodeContact)
    }

    struct Transaction: Sendable {
        let destination: TransportAddress
        let purpose: Purpose
        let sentAt: Instant
        var isSlow = false
    }

    /// A query whose time has come.
    enum Due: Sendable {
        case slow(Transaction)
        case failed(Transaction)
    }

    private let most: Int
    private let slowAfter: Duration
    private let failsAfter: Duration
    private var table: [UInt16: Transaction] = [:]
    // All wait equally long, so the oldest is the first of its queue.
    private var slowQueue = FIFO<(id: UInt16, sentAt: Instant)>()
    private var failQueue = FIFO<(id: UInt16, sentAt: Instant)>()
    /// Pings that wait.
    private(set) var pings = 0

    init(most: Int, slowAfter: Duration, failsAfter: Duration) {
        self.most = min(most, 1 << 15)
        self.slowAfter = slowAfter
        self.failsAfter = failsAfter
    }

    var count: Int { table.count }

    /// Notes a query.
    ///
    /// - Returns: its id; `nil` when too many wait.
    mutating func begin(
        _ purpose: Purpose, to destination: TransportAddress, entropy: inout Entropy, now: Instant
    ) -> UInt16? {
        guard table.count < most else { return nil }
        var id = UInt16(truncatingIfNeeded: entropy.next())
        // At most half of all ids are taken.
        while table[id] != nil { id = UInt16(truncatingIfNeeded: entropy.next()) }
        table[id] = Transaction(destination: destination, purpose: purpose, sentAt: now)
        slowQueue.append((id, now))
        failQueue.append((id, now))
        if case .ping = purpose { pings += 1 }
        return id
    }

    /// Takes the query that is answered.
    mutating func end(_ id: [UInt8], from source: TransportAddress) -> Transaction? {
        guard id.count == 2 else { return nil }
        let number = UInt16(id[0]) << 8 | UInt16(id[1])
        guard let transaction = table[number], transaction.destination == source else { return nil }
        remove(number, transaction)
        return transaction
    }

    /// The next query that became slow or has failed.
    mutating func next(now: Instant) -> Due? {
        while let first = slowQueue.first, now - first.sentAt >= slowAfter {
            _ = slowQueue.popFirst()
            guard var transaction = table[first.id], transaction.sentAt == first.sentAt else { continue }
            transaction.isSlow = true
            table[first.id] = transaction
            return .slow(transaction)
        }
        while let first = failQueue.first, now - first.sentAt >= failsAfter {
            _ = failQueue.popFirst()
            guard let transaction = table[first.id], transaction.sentAt == first.sentAt else { continue }
            remove(first.id, transaction)
            return .failed(transaction)
        }
        return nil
    }

    var nextTimeout: Instant? {
        .earlier(slowQueue.first.map { $0.sentAt + slowAfter }, failQueue.first.map { $0.sentAt + failsAfter })
    }

    private mutating func remove(_ id: UInt16, _ transaction: Transaction) {
        table[id] = nil
        if case .ping = transaction.purpose { pings -= 1 }
    }
}
