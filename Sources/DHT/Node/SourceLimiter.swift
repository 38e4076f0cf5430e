import SwarmBase

/// Limits what one address may ask (a /64 of IPv6 counts as one): who asks too much is not heard for a while. Bounded.
struct SourceLimiter: Sendable {
    private struct Source: Sendable {
        var bucket: TokenBucket
        var silentUntil: Instant?
    }

    private let limits: DHTConfiguration.Service
    // Two generations: when the young one is full the old one is let go, so memory is bounded whoever floods.
    private var young: [UInt64: Source] = [:]
    private var old: [UInt64: Source] = [:]

    init(limits: DHTConfiguration.Service) { self.limits = limits }

    var count: Int { young.count + old.count }

    /// Whether nothing is heard of this address at present.
    func isSilenced(_ address: IPAddress, now: Instant) -> Bool {
        guard let until = (young[Self.key(address)] ?? old[Self.key(address)])?.silentUntil else { return false }
        return now < until
    }

    /// Whether one more query is taken.
    mutating func takes(_ address: IPAddress, now: Instant) -> Bool {
        if address.isLoopback { return true }
        let key = Self.key(address)
        var source =
            young[key] ?? old.removeValue(forKey: key)
            ?? Source(
                bucket: TokenBucket(rate: limits.queriesPerSource.rate, burst: limits.queriesPerSource.burst, now: now))
        if let until = source.silentUntil {
            guard now >= until else { return false }
            source.silentUntil = nil
        }
        let isTaken = source.bucket.take(now: now)
        if !isTaken { source.silentUntil = now + limits.silence }
        if young.count >= limits.sources / 2, young[key] == nil {
            old = young
            young = [:]
        }
        young[key] = source
        return isTaken
    }

    private static func key(_ address: IPAddress) -> UInt64 {
        switch address {
        case .v4(let value): UInt64(value)
        // No /64 in use begins with 32 zero bits.
        case .v6(let high, _): high
        }
    }
}
