internal import ICE
internal import SwarmBase

/// The tables of a ``DatagramRouter``; connections are slots here.
struct RoutingTable: Sendable {
    enum Route {
        case slot(Int)
        case bindingRequest, stunAnswer, channelData, dht, signaling, dropped
    }

    /// How long the id of a request that was sent is known, at least. Longer than any check is repeated.
    private let transactionLifetime: Duration
    private let maximumTransactions: Int
    /// How many addresses of one connection are kept: the latest.
    private static let maximumAddressesPerConnection = 32

    private var ufrags: [Ufrag: Int] = [:]
    private var ufragsBySlot: [Int: [Ufrag]] = [:]
    private var addresses: [TransportAddress: Int] = [:]
    private var addressesBySlot: [Int: [TransportAddress]] = [:]
    // Two generations: the older one is dropped whole, so that forgetting costs nothing per request.
    private var transactions: [STUNTransactionID: Int] = [:]
    private var olderTransactions: [STUNTransactionID: Int] = [:]
    private var nextRotation: Instant?

    init(transactionLifetime: Duration, maximumTransactions: Int) {
        self.transactionLifetime = transactionLifetime
        self.maximumTransactions = maximumTransactions
    }

    func route(_ datagram: [UInt8], from source: TransportAddress) -> Route {
        switch DatagramKind(datagram) {
        case .stun: routeSTUN(datagram)
        case .dtls: addresses[source].map { .slot($0) } ?? .dropped
        case .channelData: .channelData
        case .bencoded: .dht
        case .signaling: .signaling
        case .unknown: .dropped
        }
    }

    private func routeSTUN(_ datagram: [UInt8]) -> Route {
        switch STUNMessage.messageClass(of: datagram) {
        case .request, .indication:
            guard let range = STUNMessage.localUfragRange(of: datagram) else { return .bindingRequest }
            guard let ufrag = Ufrag(datagram[range]), let slot = ufrags[ufrag] else { return .dropped }
            return .slot(slot)
        case .success, .error:
            guard let id = STUNMessage.transactionID(of: datagram) else { return .dropped }
            return (transactions[id] ?? olderTransactions[id]).map { .slot($0) } ?? .stunAnswer
        case nil:
            return .dropped
        }
    }

    mutating func setUfrags(_ new: [String], for slot: Int) {
        let new = new.compactMap { Ufrag(Array($0.utf8)[...]) }
        // After each datagram they are mostly what they were.
        if new == ufragsBySlot[slot] ?? [] { return }
        for ufrag in ufragsBySlot[slot] ?? [] where ufrags[ufrag] == slot { ufrags[ufrag] = nil }
        ufragsBySlot[slot] = new.isEmpty ? nil : new
        for ufrag in new { ufrags[ufrag] = slot }
    }

    mutating func noteRequest(_ id: STUNTransactionID, by slot: Int, now: Instant) {
        let isDue = nextRotation.map { $0 <= now } ?? false
        if isDue || transactions.count >= maximumTransactions {
            olderTransactions = transactions
            transactions = [:]
            nextRotation = nil
        }
        nextRotation = nextRotation ?? now + transactionLifetime
        transactions[id] = slot
    }

    func slot(at address: TransportAddress) -> Int? { addresses[address] }

    /// - Returns: another slot that had the address before.
    mutating func setAddress(_ address: TransportAddress, to slot: Int) -> Int? {
        let before = addresses[address]
        guard before != slot else { return nil }
        addresses[address] = slot
        addressesBySlot[slot, default: []].append(address)
        if let count = addressesBySlot[slot]?.count, count > Self.maximumAddressesPerConnection,
            let oldest = addressesBySlot[slot]?.removeFirst(), addresses[oldest] == slot
        {
            addresses[oldest] = nil
        }
        if let before { addressesBySlot[before]?.removeAll { $0 == address } }
        return before
    }

    mutating func remove(_ slot: Int) {
        setUfrags([], for: slot)
        for address in addressesBySlot.removeValue(forKey: slot) ?? [] where addresses[address] == slot {
            addresses[address] = nil
        }
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
