internal import ICE
public import SwarmBase

/// Finds the connection that a datagram on the shared socket is for.
///
/// STUN is never routed by address, as two connections can come from one: requests go by our ufrag, answers by their
/// transaction id. DTLS carries no such name, so it goes by a table of addresses that authenticated STUN has taught us,
/// with at most one connection per address: the one that was validated last. So a stranger's ClientHello reaches no connection
/// at all, and neither does a request with a ufrag that is none of ours: each costs a lookup in a table, allocates nothing
/// and is not answered. What the router keeps grows with connections and what they send, never with what comes.
public struct DatagramRouter<ID: Hashable & Sendable>: Sendable {
    /// Where a datagram goes.
    public enum Route: Hashable, Sendable {
        /// To `PeerConnection.handle(datagram:from:now:)` of this connection.
        case connection(ID)
        /// A STUN request without a USERNAME: for the STUN server, if there is one.
        case bindingRequest
        /// A STUN answer to a transaction of none of the connections: for the node's own STUN or TURN client.
        case stunAnswer
        /// First byte 64…79: from a TURN server of ours, or nobody's.
        case channelData
        /// A bencoded dictionary: for the DHT.
        case dht
        /// Nobody's: unknown ufrags get no answer, unknown addresses no DTLS.
        case dropped
    }

    /// How long the id of a request that was sent is known, at least. Longer than any check is repeated.
    private let transactionLifetime: Duration
    private let maximumTransactions: Int

    private var ufrags: [Ufrag: ID] = [:]
    private var ufragsByID: [ID: [Ufrag]] = [:]
    private var addresses: [TransportAddress: ID] = [:]
    private var addressesByID: [ID: [TransportAddress]] = [:]
    // Two generations: the older one is dropped whole, so that forgetting costs nothing per request.
    private var transactions: [STUNTransactionID: ID] = [:]
    private var olderTransactions: [STUNTransactionID: ID] = [:]
    private var nextRotation: Instant?

    /// How many addresses of one connection are kept: the latest.
    private let maximumAddressesPerConnection = 32

    /// - Parameters:
    ///   - transactionLifetime: how long answers are expected, at least.
    ///   - maximumTransactions: how many are known at most, twice over; the oldest half goes first.
    public init(transactionLifetime: Duration = .seconds(60), maximumTransactions: Int = 65_536) {
        self.transactionLifetime = transactionLifetime
        self.maximumTransactions = maximumTransactions
    }

    /// Finds where a datagram goes.
    public func route(_ datagram: [UInt8], from source: TransportAddress) -> Route {
        switch DatagramKind(datagram) {
        case .stun: routeSTUN(datagram)
        case .dtls: addresses[source].map(Route.connection) ?? .dropped
        case .channelData: .channelData
        case .bencoded: .dht
        case .unknown: .dropped
        }
    }

    private func routeSTUN(_ datagram: [UInt8]) -> Route {
        switch STUNMessage.messageClass(of: datagram) {
        case .request, .indication:
            guard let range = STUNMessage.localUfragRange(of: datagram) else { return .bindingRequest }
            return Ufrag(datagram[range]).flatMap { ufrags[$0] }.map(Route.connection) ?? .dropped
        case .success, .error:
            guard let id = STUNMessage.transactionID(of: datagram) else { return .dropped }
            return (transactions[id] ?? olderTransactions[id]).map(Route.connection) ?? .stunAnswer
        case nil:
            return .dropped
        }
    }

    /// Sets the local ufrags of a connection: `PeerConnection.localUfrags`, after each offer or answer.
    ///
    /// - Parameter new: of 1…16 bytes each, as ours are (they have 8); others find nothing.
    public mutating func setUfrags(_ new: [String], for connection: ID) {
        let new = new.compactMap { Ufrag(Array($0.utf8)[...]) }
        for ufrag in ufragsByID[connection] ?? [] where ufrags[ufrag] == connection { ufrags[ufrag] = nil }
        ufragsByID[connection] = new.isEmpty ? nil : new
        for ufrag in new { ufrags[ufrag] = connection }
    }

    /// Notes a datagram that a connection sends, so that the answer finds back. Everything but STUN requests is free.
    public mutating func noteTransmit(_ datagram: [UInt8], by connection: ID, now: Instant) {
        guard let first = datagram.first, first < 4, STUNMessage.messageClass(of: datagram) == .request,
            let id = STUNMessage.transactionID(of: datagram)
        else { return }
        let isDue = nextRotation.map { $0 <= now } ?? false
        if isDue || transactions.count >= maximumTransactions {
            olderTransactions = transactions
            transactions = [:]
            nextRotation = nil
        }
        nextRotation = nextRotation ?? now + transactionLifetime
        transactions[id] = connection
    }

    /// Notes that authenticated STUN came from an address: `PeerConnectionEvent.addressValidated`.
    ///
    /// - Returns: the connection that had the address before, which is to be closed: DTLS of two sessions from one
    ///   address cannot be told apart, and the newer one is the one that the peer means.
    public mutating func addressValidated(_ address: TransportAddress, by connection: ID) -> ID? {
        let before = addresses[address]
        guard before != connection else { return nil }
        addresses[address] = connection
        addressesByID[connection, default: []].append(address)
        if let count = addressesByID[connection]?.count, count > maximumAddressesPerConnection,
            let oldest = addressesByID[connection]?.removeFirst(), addresses[oldest] == connection
        {
            addresses[oldest] = nil
        }
        if let before { addressesByID[before]?.removeAll { $0 == address } }
        return before
    }

    /// The connection that DTLS from this address goes to.
    public func connection(at address: TransportAddress) -> ID? { addresses[address] }

    /// Forgets a connection: nothing is routed to it any more.
    public mutating func remove(_ connection: ID) {
        setUfrags([], for: connection)
        for address in addressesByID.removeValue(forKey: connection) ?? [] where addresses[address] == connection {
            addresses[address] = nil
        }
        // Its transactions are left to age: an answer to one of them goes to a connection that its owner has forgotten.
    }
}

/// A ufrag of ours as a key: no heap, and nothing of Unicode to look at.
private struct Ufrag: Hashable {
    let high: UInt64
    let low: UInt64
    let count: UInt8

    /// - Returns: `nil` when there are not 1…16 bytes.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard (1...16).contains(bytes.count) else { return nil }
        var (high, low) = (UInt64(0), UInt64(0))
        for byte in bytes {
            high = high << 8 | low >> 56
            low = low << 8 | UInt64(byte)
        }
        self.high = high
        self.low = low
        count = UInt8(bytes.count)
    }
}
