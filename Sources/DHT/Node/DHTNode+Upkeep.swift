import SwarmBase

/// What keeps the table alive.
extension DHTNode {
    /// Looks for our own neighbourhood: at the start, and ever later again while nobody answers.
    mutating func joinIfDue(_ family: AddressFamily, now: Instant) {
        guard let joinAt = families[family]?.joinAt, now >= joinAt, var state = families[family] else { return }
        if state.table.goodCount == 0 {
            let wait = min(Duration.seconds(2) * (1 << min(state.joinFailures, 8)), .seconds(300))
            state.joinFailures += 1
            state.joinAt = now + wait * Double.random(in: 0.75...1.25, using: &entropy)
            state.isConnected = false
            state.table.forgetExplored()
        } else {
            state.joinFailures = 0
            state.joinAt = now + configuration.refreshAfter * Double.random(in: 0.8...1, using: &entropy)
        }
        families[family] = state
        guard !state.doors.isEmpty || !state.saved.isEmpty || state.table.count > 0 else { return }
        begin(Operation(goal: .refresh, target: state.ownID, now: now), families: [family], near: state.saved, now: now)
        families[family]?.saved = []
    }

    /// One silent node is asked whether it is there, one stale bucket is refreshed.
    mutating func upkeep(now: Instant) {
        upkeepAt = now + configuration.upkeepInterval
        reachability.upkeep(now: now)
        for family in families.families {
            // Behind a NAT something has to leave all the time, or the mapping that others see is another one soon.
            ping(
                family,
                silentFor: isMapped(family) ? configuration.upkeepInterval * 2 : configuration.questionableAfter,
                now: now)
            // The more nodes are known the more are asked at a time.
            for _ in 0..<(families[family]?.table.count ?? 0) / 64 {
                ping(family, silentFor: configuration.questionableAfter, now: now)
            }
            if let target = families[family]?.table.staleTarget(
                for: configuration.refreshAfter, entropy: &entropy, now: now)
            {
                begin(Operation(goal: .refresh, target: target, now: now), families: [family], near: [], now: now)
            }
            explore(family, now: now)
        }
        // Searches that had no place to send.
        for id in operations.keys.sorted() { advance(id, now: now) }
    }

    /// Looks once into the next part of the DHT of which few nodes are known; the end of this search begins the next.
    ///
    /// Who joins finds its neighbours. When a search comes to it for a target elsewhere, and it knows nobody there, it tells of its
    /// neighbours, and the search ends among them: so it looks into every part once, as Kademlia has it (§2.3: the buckets that are
    /// farther away than the nearest neighbour are refreshed).
    mutating func explore(_ family: AddressFamily, now: Instant) {
        guard let state = families[family], state.table.goodCount > 0,
            operations.count < configuration.search.most / 2,
            let target = state.table.unexploredTarget(enough: configuration.search.closest, entropy: &entropy)
        else { return }
        begin(Operation(goal: .refresh, target: target, now: now), families: [family], near: [], now: now)
    }

    private mutating func ping(_ family: AddressFamily, silentFor age: Duration, now: Instant) {
        guard transactions.pings < 32, let silent = families[family]?.table.mostSilent(for: age, now: now) else {
            return
        }
        families[family]?.table.asked(silent, now: now)
        _ = ask(.ping, of: silent.address, for: .ping(silent), now: now)
    }

    /// Whether a NAT stands between us and the others: its mapping lives only while something leaves.
    private func isMapped(_ family: AddressFamily) -> Bool {
        guard let address = families[family]?.external.mapping.address else { return false }
        return !hostAddresses.contains(address)
    }
}
