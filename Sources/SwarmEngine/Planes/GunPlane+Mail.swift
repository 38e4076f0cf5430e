import Gun
import JSON
import SwarmBase

/// Mail as the graph carries it: durable records of souls that members may have too.
extension GunPlane {
    /// Leaves an item for a member: it is repeated until a relay has it, and goes to the members that follow the soul.
    mutating func leave(
        _ text: String, for peer: PeerID, key: String, of soul: Soul, state: Double, now: Instant
    ) -> PutID? {
        guard let key = Key(key) else { return nil }
        let put = client.put(
            soul, [(key, .string(text))], state: state, durable: true, audience: .everybody, now: now)
        left[put] = peer
        return put
    }

    /// The next item that a relay has acknowledged, and whom it is for.
    mutating func pollStored() -> (put: PutID, peer: PeerID)? { stored.popFirst() }

    /// Sets an item to `null`, in place of what was read and of nothing that was written later.
    mutating func clear(_ address: RecordAddress, after state: Double, now: Instant) {
        client.put(
            address.soul, [(address.key, .null)], state: max(state + 0.001, state.nextUp), durable: true,
            audience: .everybody, now: now)
    }

    /// Whether a member follows the soul.
    func isFollowed(_ soul: Soul) -> Bool { client.isFollowed(soul) }

    /// Lets go of a soul altogether.
    mutating func forget(_ soul: Soul) { client.forget(soul) }
}
