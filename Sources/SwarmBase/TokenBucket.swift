/// Limits a rate: `burst` at once, `rate` a second in the long run.
public struct TokenBucket: Sendable {
    private let rate: Double
    private let burst: Double
    private var tokens: Double
    private var last: Instant

    /// A full bucket.
    ///
    /// - Parameter now: when it begins to fill; as it is full, any moment before the first `take` will do.
    public init(rate: Double, burst: Double, now: Instant = .zero) {
        self.rate = rate
        self.burst = burst
        tokens = burst
        last = now
    }

    private mutating func fill(now: Instant) {
        guard now > last else { return }
        tokens = min(burst, tokens + rate * (now - last).milliseconds / 1000)
        last = now
    }

    /// Takes tokens whether they are there or not.
    ///
    /// - Returns: how long it takes until the debt is paid; zero when there is none.
    public mutating func borrow(_ count: Double = 1, now: Instant) -> Duration {
        fill(now: now)
        tokens -= count
        return tokens >= 0 ? .zero : .milliseconds(min(-tokens / rate * 1000, 1e9))
    }

    /// Takes tokens if they are there; if not, takes none.
    public mutating func take(_ count: Double = 1, now: Instant) -> Bool {
        fill(now: now)
        guard tokens >= count else { return false }
        tokens -= count
        return true
    }
}
