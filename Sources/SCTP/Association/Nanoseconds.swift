import SwarmBase

// `Duration` has 128 bits, and turning one into nanoseconds divides them: too dear for every packet. So what is computed
// per packet is in plain nanoseconds, and configuration is converted once.
extension Instant {
    /// The moment so many nanoseconds later; saturates.
    func adding(_ nanoseconds: Int64) -> Instant {
        let (sum, overflow) = self.nanoseconds.addingReportingOverflow(nanoseconds)
        if overflow { return Instant(nanoseconds: nanoseconds < 0 ? .min : .max) }
        return Instant(nanoseconds: sum)
    }

    /// The nanoseconds from `earlier` to this moment; 0 when it is the later one.
    func nanoseconds(since earlier: Instant) -> Int64 {
        let (difference, overflow) = nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return overflow ? (self > earlier ? .max : 0) : max(0, difference)
    }
}

extension Int64 {
    /// A millisecond in nanoseconds.
    static let millisecond: Int64 = 1_000_000
    /// A second in nanoseconds.
    static let second: Int64 = 1_000_000_000
}
