import SwarmBase

/// When to dial a relay again: at once the first time (within 250 ms), every second for half a minute, which is what a
/// restart takes, then ever later; with jitter.
struct Redial: Sendable {
    /// The longest wait after the first failure.
    static let first: Duration = .milliseconds(200)
    /// The longest wait in the first `restartTime`, in which most relays come back.
    static let brisk: Duration = .seconds(1)
    static let restartTime: Duration = .seconds(30)
    /// The longest wait ever.
    static let longest: Duration = .seconds(15)
    /// A link that was up this long starts from the beginning.
    static let stable: Duration = .seconds(10)

    private var failures = 0
    private var downSince: Instant?
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
        if let openedAt, now - openedAt >= Self.stable { forget() }
        openedAt = nil
        let downSince = downSince ?? now
        self.downSince = downSince
        let isBrisk = now - downSince < Self.restartTime
        let wait = min(Self.first * (1 << min(failures, 10)), isBrisk ? Self.brisk : Self.longest)
        // The doubling goes on from where the brisk dialling was.
        failures = isBrisk && wait == Self.brisk ? failures : failures + 1
        dialAt = now + wait * Double.random(in: 0.5...1, using: &entropy)
    }

    /// Something changed (the network came back): no reason to wait.
    mutating func hurry(now: Instant) {
        forget()
        if dialAt != nil { dialAt = now }
    }

    private mutating func forget() {
        failures = 0
        downSince = nil
    }
}
