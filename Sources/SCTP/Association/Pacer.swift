import SwarmBase

/// Spreads bursts: a bucket of tokens that a rate fills (RFC 9002 §7.7 describes the same).
///
/// Its wake-ups are at least a millisecond apart at any rate that fills four packets in less, so that the owner's timers
/// need not be finer than that: whatever falls due within a wake-up leaves together.
struct Pacer: Sendable {
    private let packetSize: Double
    private let shortestBurst: Double
    private var tokens: Double
    private var refilled: Instant?

    /// Below this round trip (2 ms) bursts do no harm and timers are too coarse to help.
    static let shortestRoundTrip: Int64 = 2 * .millisecond

    init(_ configuration: SCTPConfiguration) {
        packetSize = Double(configuration.maxPacketSize)
        shortestBurst = Double(configuration.maxPacketSize * configuration.initialWindowPackets)
        tokens = shortestBurst
    }

    /// When the next packet may leave; `nil` for now.
    ///
    /// - Parameter rate: bytes per second.
    mutating func delay(now: Instant, rate: Double) -> Instant? {
        let rate = max(rate, 1)
        if let refilled, now > refilled {
            // An owner that comes late may send what it missed in two milliseconds.
            let burst = max(shortestBurst, rate * 0.002)
            tokens = min(burst, tokens + rate * Double(now.nanoseconds(since: refilled)) / 1e9)
        }
        refilled = now
        guard tokens < 0 else { return nil }
        // Four packets at a time, or a millisecond: a wake-up per packet costs more than it smooths.
        let wanted = max(4 * packetSize, rate * 0.001) - tokens
        return now.adding(Int64(min(wanted / rate, 1) * 1e9) + 1)
    }

    /// A packet of this size left.
    mutating func sent(_ bytes: Int) { tokens -= Double(bytes) }

    /// Another path: begin with a full bucket.
    mutating func reset() {
        tokens = shortestBurst
        refilled = nil
    }
}
