import SwarmBase

/// What one member may send to another. What is more is not lost: it waits at the sender.
public struct RateLimit: Equatable, Sendable {
    public var messagesPerSecond: Double
    public var bytesPerSecond: Double
    /// How many seconds' worth may come at once.
    public var burst: Double

    public init(messagesPerSecond: Double, bytesPerSecond: Double, burst: Double = 2) {
        self.messagesPerSecond = max(0.01, messagesPerSecond)
        self.bytesPerSecond = max(1, bytesPerSecond)
        self.burst = max(0.1, burst)
    }
}

/// How much a member has sent lately.
struct RateMeter: Sendable {
    /// In seconds: how far ahead of its limit the member is.
    private var ahead = 0.0
    private var at = Instant.zero
    /// Until when nothing more is taken.
    private(set) var pausedUntil: Instant?

    /// - Returns: whether the member has to wait now.
    mutating func count(messages: Int, bytes: Int, _ limit: RateLimit, now: Instant) -> Bool {
        ahead = max(0, ahead - max(0, (now - at).milliseconds / 1000))
        at = now
        ahead += max(Double(messages) / limit.messagesPerSecond, Double(bytes) / limit.bytesPerSecond)
        guard ahead > limit.burst else { return pausedUntil != nil }
        // Half of the burst is free again then: acknowledgements are not to open and close the window for each message.
        let seconds = min(max(ahead - limit.burst / 2, 0.001), 3600)
        pausedUntil = now + .milliseconds(Int64((seconds * 1000).rounded(.up)))
        return true
    }

    /// - Returns: whether the member may send again.
    mutating func handleTimeout(now: Instant) -> Bool {
        guard let until = pausedUntil, now >= until else { return false }
        pausedUntil = nil
        return true
    }
}
