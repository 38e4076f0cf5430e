/// A moment on a monotonic clock, in nanoseconds since an origin that the clock's owner chose.
///
/// The protocol cores never read a clock: every `handle…`, command and `poll…` takes `now`. In production the owner
/// passes the event loop's monotonic time, in tests and in the simulator a virtual one.
public struct Instant: Hashable, Comparable, Sendable {
    /// Nanoseconds since the origin.
    public var nanoseconds: Int64

    @inlinable
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// The clock's origin.
    public static let zero = Instant(nanoseconds: 0)

    /// A moment later than any that a clock will show: for "never".
    public static let distantFuture = Instant(nanoseconds: .max)

    @inlinable
    public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The moment `duration` after `instant`; saturates at the ends of the scale.
    @inlinable
    public static func + (instant: Instant, duration: Duration) -> Instant {
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.nanosecondsClamped)
        if overflow { return Instant(nanoseconds: duration < .zero ? .min : .max) }
        return Instant(nanoseconds: sum)
    }

    /// The moment `duration` before `instant`.
    @inlinable
    public static func - (instant: Instant, duration: Duration) -> Instant { instant + (.zero - duration) }

    /// The time from `earlier` to `later`; negative when the order is the other way round.
    @inlinable
    public static func - (later: Instant, earlier: Instant) -> Duration {
        let (difference, overflow) = later.nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return .nanoseconds(overflow ? (later > earlier ? .max : .min) : difference)
    }

    @inlinable
    public static func += (instant: inout Instant, duration: Duration) { instant = instant + duration }
}

extension Duration {
    /// The duration in whole nanoseconds, clamped to what 64 bits hold (± 292 years).
    @inlinable
    public var nanosecondsClamped: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflow2) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflow2 ? (seconds < 0 ? .min : .max) : sum
    }

    /// The duration in milliseconds, with its fraction.
    @inlinable
    public var milliseconds: Double { Double(nanosecondsClamped) / 1e6 }
}

extension Optional where Wrapped == Instant {
    /// The earlier of two deadlines, where `nil` means "none".
    @inlinable
    public static func earlier(_ a: Instant?, _ b: Instant?) -> Instant? {
        guard let a else { return b }
        guard let b else { return a }
        return min(a, b)
    }
}
