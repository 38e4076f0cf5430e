import Gun
public import JSON
public import SwarmBase

/// The application's own state in the GUN graph.
extension SwarmEngine {
    /// Writes one key of a node; it reaches every member that watches the soul.
    ///
    /// - Parameter value: `null`, a boolean, a finite number, a text, or a link `{"#": soul}`.
    /// - Returns: `false` for any other value, and for an empty soul or key.
    public mutating func put(soul: String, key: String, value: JSONValue, now: Instant) -> Bool {
        gun.put(value, key: key, of: soul, state: applicationClock.next(wall: wall(now)), now: now)
    }

    /// Reports every change of a node from now on, and what is known of it already.
    public mutating func watch(soul: String, now: Instant) {
        for (key, value) in gun.node(soul) { events.append(.state(soul: soul, key: key, value: value)) }
        gun.subscribe(soul, now: now)
    }
}
