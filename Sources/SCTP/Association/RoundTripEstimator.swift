import SwarmBase

/// Smoothed round-trip time and retransmission timeout (RFC 9260 §6.3.1).
struct RoundTripEstimator: Sendable {
    private let initial: Duration
    private let minimum: Duration
    private let maximum: Duration
    private var variation = Duration.zero
    private var base: Duration

    /// `nil` before the first measurement.
    private(set) var smoothed: Duration?
    /// The shortest measurement: an acknowledgement that comes sooner after a retransmission is of the original.
    private(set) var shortest: Duration?
    /// How often the timeout doubled since the last answer.
    private(set) var backoffs = 0

    init(_ configuration: SCTPConfiguration) {
        initial = configuration.rtoInitial
        minimum = configuration.rtoMin
        maximum = configuration.rtoMax
        base = initial
    }

    /// The timeout, doubled for each expiry since the last answer.
    var timeout: Duration { min(maximum, base * (1 << min(backoffs, 10))) }

    /// Takes one measurement (C2, C3).
    mutating func measure(_ sample: Duration) {
        let sample = max(sample, .microseconds(1))
        shortest = min(shortest ?? sample, sample)
        if let smoothed {
            let difference = smoothed > sample ? smoothed - sample : sample - smoothed
            variation = variation * 3 / 4 + difference / 4
            self.smoothed = smoothed * 7 / 8 + sample / 8
        } else {
            smoothed = sample
            variation = sample / 2
        }
        base = min(maximum, max(minimum, (smoothed ?? sample) + variation * 4))
    }

    /// The timer expired (§6.3.3 E2).
    mutating func backOff() { backoffs = min(backoffs + 1, 10) }

    /// The peer answered: the doubling ends.
    mutating func endBackoff() { backoffs = 0 }

    /// Another path: what was measured says nothing any more.
    mutating func reset() {
        smoothed = nil
        shortest = nil
        variation = .zero
        base = initial
        backoffs = 0
    }
}
