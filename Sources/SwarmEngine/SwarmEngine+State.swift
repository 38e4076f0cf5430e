package import Gun
public import JSON
package import SEA
public import SwarmBase

/// The shared graph: what the application writes and watches.
extension SwarmEngine {
    /// Writes one key of a node; it reaches every member that follows the soul, through relays and directly.
    ///
    /// In nodes that this member owns (`~` and its id) the value is signed.
    ///
    /// - Parameter value: `null`, a boolean, a finite number, a text, or a link `{"#": soul}`.
    /// - Returns: `false` for any other value, for an empty soul or key, and for what the rule of user space refuses.
    public mutating func put(soul: String, key: String, value: JSONValue, now: Instant) -> Bool {
        guard let soul = Soul(soul), let key = Key(key), let value = GunValue(value) else { return false }
        let identity = identity
        do throws(GraphWriteFault) {
            try gun.write([(soul, key)], now: now, wall: wall(now)) { state in
                [GunRecord(soul: soul, key: key, value: value, state: state).signed(by: identity.pair)]
            }
        } catch {
            return false
        }
        graphChanges.append((soul, key))
        drainGun(now: now)
        return true
    }

    /// Reports every change of a node by others from now on, and what is known of it already.
    public mutating func watch(soul: String, now: Instant) {
        guard let soul = Soul(soul) else { return }
        watched.insert(soul)
        for record in gun.held(soul)?.records ?? [] { tell(record) }
        gun.follow(soul, now: now)
        drainGun(now: now)
    }

    func isWatched(_ soul: Soul) -> Bool { watched.contains(soul) }

    mutating func tell(_ record: GunRecord) {
        events.append(
            .state(soul: record.soul.text.string, key: record.key.text.string, value: record.content.json))
    }

    /// Works on the graph directly, and then does what that has caused.
    package mutating func withGraph<Result>(
        now: Instant, _ body: (_ graph: inout GunPlane, _ wall: Double) -> Result
    ) -> Result {
        let result = body(&gun, wall(now))
        drainGun(now: now)
        return result
    }

    /// Looks at the graph.
    package func readGraph<Result>(_ body: (GunPlane) -> Result) -> Result { body(gun) }

    /// The next key of the shared graph that has changed, by others or by ``put(soul:key:value:now:)``.
    package mutating func pollGraphChange() -> (soul: Soul, key: Key)? { graphChanges.popFirst() }

    /// The number of the lane that a message to a member would go in now.
    package func lane(for options: MessageOptions, to peer: PeerID) -> Int {
        members[peer]?.session.lane(for: options).index ?? 0
    }

    /// Whether ``pollEvent()`` or ``pollExchange()`` has something.
    package var hasEvents: Bool { !events.isEmpty || !exchanges.isEmpty }

    /// The number that the next batch of ``pollStorage()`` will have.
    package var nextStorageBatch: UInt64 { nextBatch }

    /// The pair that signs in this member's own nodes.
    package var ownPair: SEAPair { identity.pair }
}

extension GunRecord {
    /// The record with its value signed, if its node belongs to that pair; as it is otherwise.
    package func signed(by pair: SEAPair) -> GunRecord {
        guard UserSoul.owner(of: soul.text) == pair.pub, key != "pub" || soul.text != JSONText("~" + pair.pub),
            let text = pair.signGraphValue(
                value.json, at: GraphPosition(soul: soul.text, key: key.text, state: state))
        else { return self }
        return GunRecord(soul: soul, key: key, value: .text(text), state: state)
    }
}
