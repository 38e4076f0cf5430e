/// Hands out the states of our own writes: the wall clock, made strictly increasing by fractions of a millisecond.
///
/// For up to 2,500 writes within one millisecond it stays less than a millisecond ahead of the wall clock, so that no
/// peer with a right clock defers them. A wall clock that is set back by a second or less does not show, for of two
/// writes of one key the later must win; one that is set back further is followed.
public struct StateClock: Sendable {
    private var last = -Double.infinity

    public init() {}

    /// The state for the next write.
    ///
    /// - Parameter wall: milliseconds since 1970.
    public mutating func next(wall: Double) -> Double {
        if last < wall || last > wall + 1_000 {
            last = wall
        } else if last < wall + 0.5 {
            last += 0.001
        } else {
            // Doubles of this size are 0.00024 ms apart.
            last = last.nextUp
        }
        return last
    }
}
