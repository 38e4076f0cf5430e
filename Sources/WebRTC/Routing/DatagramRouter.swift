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
        /// First byte `S`: what members say to each other straight over the socket.
        case signaling
        /// Nobody's: unknown ufrags get no answer, unknown addresses no DTLS.
        case dropped
    }

    // The tables hold small numbers instead of IDs: so they are no generic code, which would be several times slower, and
    // an ID is looked at only when a connection was found.
    private var table: RoutingTable
    private var slots: [ID: Int] = [:]
    private var connections: [ID?] = []
    private var freeSlots: [Int] = []

    /// - Parameters:
    ///   - transactionLifetime: how long answers are expected, at least.
    ///   - maximumTransactions: how many are known at most, twice over; the oldest half goes first.
    public init(transactionLifetime: Duration = .seconds(60), maximumTransactions: Int = 65_536) {
        table = RoutingTable(transactionLifetime: transactionLifetime, maximumTransactions: maximumTransactions)
    }

    /// Finds where a datagram goes.
    @specialized(where ID == UInt64)
    public func route(_ datagram: [UInt8], from source: TransportAddress) -> Route {
        switch table.route(datagram, from: source) {
        case .slot(let slot): connections[slot].map(Route.connection) ?? .dropped
        case .bindingRequest: .bindingRequest
        case .stunAnswer: .stunAnswer
        case .channelData: .channelData
        case .dht: .dht
        case .signaling: .signaling
        case .dropped: .dropped
        }
    }

    /// Sets the local ufrags of a connection: `PeerConnection.localUfrags`, after each offer or answer.
    ///
    /// - Parameter new: of 1…16 bytes each, as ours are (they have 8); others find nothing.
    public mutating func setUfrags(_ new: [String], for connection: ID) {
        table.setUfrags(new, for: slot(of: connection))
    }

    /// Notes a datagram that a connection sends, so that the answer finds back. Everything but STUN requests is free.
    @specialized(where ID == UInt64)
    public mutating func noteTransmit(_ datagram: [UInt8], by connection: ID, now: Instant) {
        guard let first = datagram.first, first < 4, STUNMessage.messageClass(of: datagram) == .request,
            let id = STUNMessage.transactionID(of: datagram)
        else { return }
        table.noteRequest(id, by: slot(of: connection), now: now)
    }

    /// Notes that authenticated STUN came from an address: `PeerConnectionEvent.addressValidated`.
    ///
    /// - Returns: the connection that had the address before, which is to be closed: DTLS of two sessions from one
    ///   address cannot be told apart, and the newer one is the one that the peer means.
    public mutating func addressValidated(_ address: TransportAddress, by connection: ID) -> ID? {
        table.setAddress(address, to: slot(of: connection)).flatMap { connections[$0] }
    }

    /// The connection that DTLS from this address goes to.
    public func connection(at address: TransportAddress) -> ID? { table.slot(at: address).flatMap { connections[$0] } }

    /// Forgets a connection: nothing is routed to it any more. (Its transactions are left to age. An answer to one of them
    /// may go to a connection that came after it, which does not know the transaction.)
    public mutating func remove(_ connection: ID) {
        guard let slot = slots.removeValue(forKey: connection) else { return }
        table.remove(slot)
        connections[slot] = nil
        freeSlots.append(slot)
    }

    private mutating func slot(of connection: ID) -> Int {
        if let known = slots[connection] { return known }
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            connections[slot] = connection
        } else {
            slot = connections.count
            connections.append(connection)
        }
        slots[connection] = slot
        return slot
    }
}
