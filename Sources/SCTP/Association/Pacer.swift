import SwarmBase

/// Spreads bursts: a bucket of tokens that a rate fills.
struct Pacer: Sendable {
    private let packetSize: Int
    private let burst: Double
    private var tokens: Double
    private var refilled: Instant?

    /// Below this round trip bursts do no harm and timers are too coarse to help.
    static let shortestRoundTrip = Duration.milliseconds(2)

    init(_ configuration: SCTPConfiguration) {
        packetSize = configuration.maxPacketSize
        burst = Double(configuration.maxPacketSize * 10)
        tokens = burst
    }

    /// When the next packet may leave; `nil` for now.
    mutating func delay(now: Instant, rate: Double) -> Instant? {
        if let refilled, now > refilled {
            tokens = min(burst, tokens + rate * Double((now - refilled).nanosecondsClamped) / 1e9)
        }
        refilled = now
        guard tokens < 0 else { return nil }
        // Four packets at a time: a wake-up per packet costs more than it smooths.
        let wanted = -tokens + Double(4 * packetSize)
        return now + .nanoseconds(Int64(min(wanted / max(rate, 1), 1) * 1e9) + 1)
    }

    /// A packet of this size left.
    mutating func sent(_ bytes: Int) { tokens -= Double(bytes) }

    /// Another path: begin with a full bucket.
    mutating func reset() {
        tokens = burst
        refilled = nil
    }
}
