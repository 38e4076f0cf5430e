import SwarmBase

/// When to dial a relay again: at once the first time (within 250 ms), then ever later, with jitter.
struct Redial: Sendable {
    /// The longest wait after the first failure.
    static let first: Duration = .milliseconds(200)
    /// The longest wait ever.
    static let longest: Duration = .seconds(15)
    /// A link that was up this long starts from the beginning.
    static let stable: Duration = .seconds(10)

    private var failures = 0
    private var openedAt: Instant?
    /// When to dial; `nil` while a dial is under way or the link is open.
    private(set) var dialAt: Instant?

    init(now: Instant) { dialAt = now }

    mutating func dialing() { dialAt = nil }

    mutating func opened(now: Instant) {
        openedAt = now
        dialAt = nil
    }

    mutating func closed(now: Instant, entropy: inout Entropy) {
        if let openedAt, now - openedAt >= Self.stable { failures = 0 }
        openedAt = nil
        let wait = min(Self.first * (1 << min(failures, 10)), Self.longest)
        failures += 1
        dialAt = now + wait * Double.random(in: 0.5...1, using: &entropy)
    }

    /// Something changed (the network came back): no reason to wait.
    mutating func hurry(now: Instant) {
        failures = 0
        if dialAt != nil { dialAt = now }
    }
}
