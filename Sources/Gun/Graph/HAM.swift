import JSON

/// The conflict resolution that every peer runs for itself, key by key: whoever has heard the same writes, in whatever
/// order, holds the same values.
public enum HAM {
    /// What becomes of a write.
    public enum Outcome: Equatable, Sendable {
        /// It replaces what is held.
        case accept
        /// What is held stays.
        case ignore
        /// Its state is ahead of our clock: to be decided again when the clock has come there.
        case deferred
    }

    /// Decides on one write.
    ///
    /// - Parameters:
    ///   - incoming: the value and state that arrived.
    ///   - held: what is known of that key, if anything.
    ///   - wall: our clock, in milliseconds since 1970. A state equal to it is not in the future.
    public static func decide(incoming: GunEntry, held: GunEntry?, wall: Double) -> Outcome {
        if incoming.state > wall { return .deferred }
        return supersedes(incoming, held) ? .accept : .ignore
    }

    /// Whether `incoming` wins over `held`, whatever the clock says: the later state, and of two equal states the value
    /// whose JSON text is greater, compared by UTF-16 code units.
    public static func supersedes(_ incoming: GunEntry, _ held: GunEntry?) -> Bool {
        guard let held else { return true }
        if incoming.state != held.state { return incoming.state > held.state }
        if incoming.value == held.value { return false }
        return text(of: held.value) < text(of: incoming.value)
    }

    /// How long a write is to wait for the clock: whole milliseconds, rounded up, at least one, for before its time it
    /// would only be put off again. At most 2^31 − 1; then it is looked at again.
    static func deferral(of state: Double, wall: Double) -> Duration {
        let ahead = min(max(state - wall, 1), 2_147_483_646)
        let whole = Int(ahead)
        return .milliseconds(Double(whole) < ahead ? whole + 1 : whole)
    }

    private static func text(of value: GunValue) -> JSONText {
        var bytes: [UInt8] = []
        value.serialize(into: &bytes)
        return JSONText(utf8: bytes)
    }
}
