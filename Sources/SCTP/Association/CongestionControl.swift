import SwarmBase

/// How much may be in flight: RFC 9260 §7.2 (slow start, congestion avoidance, fast recovery), which is NewReno by
/// bytes.
///
/// The rest of the association sees only the members of this type, so another algorithm can stand in its place.
struct CongestionControl: Sendable {
    /// What is needed to take a reduction back, should it prove needless.
    private struct Undo: Sendable {
        var window: Int
        var threshold: Int
        /// Retransmissions in this recovery that were not reported as duplicates.
        var retransmissions = 0
        var didRetransmit = false
    }

    private let packetSize: Int
    private let initialWindow: Int
    private var threshold = Int.max
    private var partialBytesAcked = 0
    private var undo: Undo?

    /// The congestion window in bytes (cwnd).
    private(set) var window: Int
    /// Fast recovery lasts until this number is acknowledged (RFC 9260 §7.2.4).
    private(set) var recoveryEnd: TSN?

    init(_ configuration: SCTPConfiguration) {
        packetSize = configuration.maxPacketSize
        initialWindow = configuration.initialWindowPackets * configuration.maxPacketSize
        window = initialWindow
    }

    /// Whether the window grows exponentially.
    var isInSlowStart: Bool { window <= threshold }

    /// Whether losses are being repaired.
    var isInRecovery: Bool { recoveryEnd != nil }

    /// A SACK acknowledged `bytes`; `flight` was in flight before it came.
    mutating func acknowledged(bytes: Int, flight: Int, cumulative: TSN, cumulativeAdvanced: Bool) {
        if let end = recoveryEnd {
            if cumulative >= end { recoveryEnd = nil }
            return
        }
        // The window grows only when it was what held the sender back (§7.2.1, §7.2.2).
        guard cumulativeAdvanced, flight + packetSize > window else { return }
        if isInSlowStart {
            window += min(bytes, 2 * packetSize)
        } else {
            partialBytesAcked += bytes
            if partialBytesAcked >= window {
                partialBytesAcked -= window
                window += packetSize
            }
        }
    }

    /// Fragments are missing: the window is halved, once per recovery (§7.2.3, §7.2.4).
    ///
    /// - Returns: whether a recovery began, so that one packet may go regardless of the window.
    mutating func lost(highestOutstanding: TSN) -> Bool {
        guard recoveryEnd == nil else { return false }
        undo = Undo(window: window, threshold: threshold)
        threshold = max(window / 2, 4 * packetSize)
        window = threshold
        partialBytesAcked = 0
        recoveryEnd = highestOutstanding
        return true
    }

    /// The retransmission timer expired (§7.2.3).
    mutating func timedOut() {
        threshold = max(window / 2, 4 * packetSize)
        window = packetSize
        partialBytesAcked = 0
        recoveryEnd = nil
        undo = nil
    }

    /// A fragment was sent again.
    mutating func retransmitted() {
        undo?.retransmissions += 1
        undo?.didRetransmit = true
    }

    /// The peer reports numbers that came twice. When that is true of all that was sent again, nothing was lost, and
    /// the window is what it was.
    mutating func reportedDuplicates(_ count: Int) {
        guard var state = undo, state.didRetransmit else { return }
        state.retransmissions -= count
        if state.retransmissions <= 0 {
            window = max(window, state.window)
            threshold = max(threshold, state.threshold)
            recoveryEnd = nil
            undo = nil
        } else {
            undo = state
        }
    }

    /// Another path: begin anew.
    mutating func reset() {
        window = initialWindow
        threshold = .max
        partialBytesAcked = 0
        recoveryEnd = nil
        undo = nil
    }

    /// Bytes per second at which packets should leave when the round trip takes `roundTrip`: the window is spread over
    /// a quarter of it, so that bursts do not fill the queue of the narrowest link.
    func pacingRate(roundTrip: Duration) -> Double {
        Double(window) * 4 / max(Double(roundTrip.nanosecondsClamped) / 1e9, 1e-6)
    }
}
