import SwarmBase

/// The timers of an association (RFC 9260 §6.3, §8; RFC 6525 §5.1.1; RFC 8985 §6.3, §7; RFC 8899 §5.1.1).
enum AssociationTimer: Int, CaseIterable, Sendable {
    /// T1-init and T1-cookie.
    case handshake
    /// T3-rtx.
    case retransmission
    /// What was sent before something that has arrived is lost then.
    case reordering
    case tailLossProbe
    case delayedSack
    case forwardTSN
    case reconfiguration
    /// T2-shutdown.
    case shutdown
    /// The next packet may leave then.
    case pacing
    /// The next HEARTBEAT is due, or the answer to the last one is overdue.
    case heartbeat
    /// A path MTU probe is due, or its answer overdue.
    case mtuProbe
}

/// When each timer is due.
struct TimerTable: Sendable {
    private static let count = 11
    /// `distantFuture` stands for "not running".
    private var deadlines = InlineArray<11, Instant>(repeating: .distantFuture)

    subscript(timer: AssociationTimer) -> Instant? {
        get {
            let deadline = deadlines[timer.rawValue]
            return deadline == .distantFuture ? nil : deadline
        }
        set { deadlines[timer.rawValue] = newValue ?? .distantFuture }
    }

    /// Whether `timer` runs.
    func isRunning(_ timer: AssociationTimer) -> Bool { deadlines[timer.rawValue] != .distantFuture }

    /// The earliest deadline.
    var next: Instant? {
        var earliest = Instant.distantFuture
        for index in 0..<Self.count where deadlines[index] < earliest { earliest = deadlines[index] }
        return earliest == .distantFuture ? nil : earliest
    }

    /// Whether `timer` is due; if so it is stopped.
    mutating func fires(_ timer: AssociationTimer, at now: Instant) -> Bool {
        let deadline = deadlines[timer.rawValue]
        guard deadline <= now, deadline != .distantFuture else { return false }
        deadlines[timer.rawValue] = .distantFuture
        return true
    }

    mutating func stopAll() {
        for index in 0..<Self.count { deadlines[index] = .distantFuture }
    }
}
