import SwarmBase

/// What all links from one address share. An IPv6 host has a whole /64, so that counts as one.
struct AddressTable: Sendable {
    struct Shares: Sendable {
        var links = 0
        var subscriptions = 0
        var messages: TokenBucket
        var bytes: TokenBucket
        var written: TokenBucket
    }

    /// How many addresses are remembered, those without a link included.
    private static let mostAddresses = 16_384

    private var shares: [IPAddress: Shares] = [:]

    var count: Int { shares.count }

    /// The name under which an address is counted; `nil` for the host itself, where a reverse proxy speaks for everybody.
    static func name(_ address: IPAddress?) -> IPAddress? {
        guard let address, !address.isLoopback else { return nil }
        if case .v6(let high, _) = address { return .v6(high, 0) }
        return address
    }

    subscript(name: IPAddress) -> Shares? { shares[name] }

    mutating func linkOpened(_ name: IPAddress?, _ configuration: GunRelayConfiguration, now: Instant) {
        guard let name else { return }
        let limits = configuration.perAddress
        shares[
            name,
            default: Shares(
                messages: TokenBucket(rate: limits.messagesPerSecond, burst: limits.messageBurst, now: now),
                bytes: TokenBucket(rate: limits.bytesPerSecond, burst: limits.byteBurst, now: now),
                written: TokenBucket(rate: limits.writtenBytesPerSecond, burst: limits.writtenByteBurst, now: now))
        ].links += 1
    }

    mutating func linkClosed(_ name: IPAddress?, subscriptions: Int) {
        guard let name, var share = shares[name] else { return }
        share.links -= 1
        share.subscriptions -= subscriptions
        // What it has used up is remembered when it goes, or to come anew would fill its buckets.
        shares[name] = share
        if shares.count > Self.mostAddresses { shares = shares.filter { $0.value.links > 0 } }
    }

    /// Counts a frame.
    ///
    /// - Returns: how long the link is to be left unread.
    mutating func receive(_ name: IPAddress?, messages: Int, bytes: Int, now: Instant) -> Duration {
        guard let name, let index = shares.index(forKey: name) else { return .zero }
        let slower = shares.values[index].messages.borrow(Double(messages), now: now)
        return max(slower, shares.values[index].bytes.borrow(Double(bytes), now: now))
    }

    /// Whether the address may write so much more.
    mutating func write(_ name: IPAddress?, bytes: Int, now: Instant) -> Bool {
        guard let name, let index = shares.index(forKey: name) else { return true }
        return shares.values[index].written.take(Double(bytes), now: now)
    }

    mutating func subscribed(_ name: IPAddress?, _ change: Int) {
        guard let name, let index = shares.index(forKey: name) else { return }
        shares.values[index].subscriptions += change
    }
}
