import SwarmBase

/// Smoothed round-trip time and retransmission timeout (RFC 9260 §6.3.1), in nanoseconds.
struct RoundTripEstimator: Sendable {
    private let initial: Int64
    private let minimum: Int64
    private let maximum: Int64
    private var variation: Int64 = 0
    private var base: Int64

    /// 0 before the first measurement.
    private(set) var smoothedNanoseconds: Int64 = 0
    /// The shortest measurement, 0 before the first: an acknowledgement that comes sooner after a retransmission is of
    /// the original.
    private(set) var shortestNanoseconds: Int64 = 0
    /// How often the timeout doubled since the last answer.
    private(set) var backoffs = 0

    init(_ configuration: SCTPConfiguration) {
        initial = max(1, configuration.rtoInitial.nanosecondsClamped)
        minimum = configuration.rtoMin.nanosecondsClamped
        maximum = max(1, min(configuration.rtoMax.nanosecondsClamped, 3600 * .second))
        base = min(initial, maximum)
    }

    /// The smoothed round trip; `nil` before the first measurement.
    var smoothed: Duration? { smoothedNanoseconds == 0 ? nil : .nanoseconds(smoothedNanoseconds) }

    /// The shortest measurement; `nil` before the first.
    var shortest: Duration? { shortestNanoseconds == 0 ? nil : .nanoseconds(shortestNanoseconds) }

    /// The timeout, doubled for each expiry since the last answer.
    var timeout: Duration { .nanoseconds(timeoutNanoseconds) }

    /// The same in nanoseconds.
    var timeoutNanoseconds: Int64 { min(maximum, base << Int64(min(backoffs, 10))) }

    /// Takes one measurement (C2, C3). One longer than the longest timeout counts as that.
    mutating func measure(_ nanoseconds: Int64) {
        let sample = min(max(nanoseconds, 1000), maximum)
        shortestNanoseconds = shortestNanoseconds == 0 ? sample : min(shortestNanoseconds, sample)
        if smoothedNanoseconds > 0 {
            variation = (variation * 3 + abs(smoothedNanoseconds - sample)) / 4
            smoothedNanoseconds = (smoothedNanoseconds * 7 + sample) / 8
        } else {
            smoothedNanoseconds = sample
            variation = sample / 2
        }
        base = min(maximum, max(minimum, smoothedNanoseconds + variation * 4))
    }

    /// The timer expired (§6.3.3 E2).
    mutating func backOff() { backoffs = min(backoffs + 1, 10) }

    /// The peer answered: the doubling ends.
    mutating func endBackoff() { backoffs = 0 }

    /// Another path: what was measured says nothing any more.
    mutating func reset() {
        smoothedNanoseconds = 0
        shortestNanoseconds = 0
        variation = 0
        base = min(initial, maximum)
        backoffs = 0
    }
}
