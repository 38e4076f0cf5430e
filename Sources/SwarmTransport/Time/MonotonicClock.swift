import Glibc
public import NIOCore
public import SwarmBase

/// The two clocks that the cores are given: monotonic time for deadlines, wall-clock time for GUN states.
public enum MonotonicClock {
    /// The monotonic time that event loops schedule by.
    public static var now: Instant { Instant(NIODeadline.now()) }

    /// Milliseconds since 1970, with their fraction: what GUN calls the machine's clock (gun.md §2).
    ///
    /// Not monotonic: the system's clock can be set.
    public static var wallMilliseconds: Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) * 1000 + Double(time.tv_nsec) / 1e6
    }
}

extension Instant {
    /// The same moment on the event loops' clock, which is the origin that ours counts from.
    @inlinable
    public init(_ deadline: NIODeadline) {
        self.init(nanoseconds: Int64(clamping: deadline.uptimeNanoseconds))
    }
}

extension NIODeadline {
    /// The same moment; one before the clock's origin becomes the origin.
    @inlinable
    public init(_ instant: Instant) {
        self = .uptimeNanoseconds(UInt64(clamping: instant.nanoseconds))
    }
}

extension TimeAmount {
    /// The duration in whole nanoseconds, clamped to 64 bits.
    @inlinable
    public init(_ duration: Duration) {
        self = .nanoseconds(duration.nanosecondsClamped)
    }
}
