import SwarmBase

/// Limits a rate: `burst` at once, `rate` a second in the long run.
struct TokenBucket: Sendable {
    private let rate: Double
    private let burst: Double
    private var tokens: Double
    private var last: Instant

    init(rate: Double, burst: Double, now: Instant) {
        self.rate = rate
        self.burst = burst
        tokens = burst
        last = now
    }

    /// Takes tokens if they are there.
    mutating func take(_ count: Double = 1, now: Instant) -> Bool {
        if now > last {
            tokens = min(burst, tokens + rate * (now - last).milliseconds / 1000)
            last = now
        }
        guard tokens >= count else { return false }
        tokens -= count
        return true
    }
}
