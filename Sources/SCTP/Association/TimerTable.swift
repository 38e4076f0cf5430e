import SwarmBase

/// The timers of an association (RFC 9260 §6.3, §8; RFC 6525 §5.1.1).
enum AssociationTimer: Int, CaseIterable, Sendable {
    /// T1-init and T1-cookie.
    case handshake
    /// T3-rtx.
    case retransmission
    case tailLossProbe
    case delayedSack
    case forwardTSN
    case reconfiguration
    /// T2-shutdown.
    case shutdown
    /// The next packet may leave then.
    case pacing
}

/// When each timer is due.
struct TimerTable: Sendable {
    private var deadlines = [Instant?](repeating: nil, count: AssociationTimer.allCases.count)

    subscript(timer: AssociationTimer) -> Instant? {
        get { deadlines[timer.rawValue] }
        set { deadlines[timer.rawValue] = newValue }
    }

    /// The earliest deadline.
    var next: Instant? {
        var earliest: Instant?
        for deadline in deadlines { earliest = .earlier(earliest, deadline) }
        return earliest
    }

    /// Whether `timer` is due; if so it is stopped.
    mutating func fires(_ timer: AssociationTimer, at now: Instant) -> Bool {
        guard let deadline = self[timer], deadline <= now else { return false }
        self[timer] = nil
        return true
    }

    mutating func stopAll() {
        for index in deadlines.indices { deadlines[index] = nil }
    }
}
