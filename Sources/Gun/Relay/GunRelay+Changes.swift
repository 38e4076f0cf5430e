import SwarmBase

/// The log of changes: how a relay knows, across its own restarts, what a configured relay has still to be told.
///
/// Every record that is stored is numbered. When nothing is noted or read for a relay, all that was changed so far is with
/// it or on its way: the puts that are under way at such a moment are a checkpoint. When the last of them is acknowledged,
/// so is every change before it, and that number is what outlives the process.
extension GunRelay {
    /// Takes up the log of changes. To be called once, before anything else.
    ///
    /// Configured relays that have acknowledged a change which the log still follows are offered what came after it;
    /// the others all that is kept.
    public mutating func resume(_ log: ChangeLog) {
        guard configuration.hasStorage else { return }
        changes = ChangeNumbers(first: log.first, last: log.last)
        for (number, acknowledged) in log.acknowledged {
            var peer = peers[number] ?? RelayPeer()
            peer.acknowledged = acknowledged
            peer.offer = offer(since: acknowledged)
            peers[number] = peer
        }
    }

    mutating func beginCheckpoint(_ number: Int) {
        guard let changes, let peer = peers[number], peer.link != nil, peer.checkpoint == nil, peer.offer == nil,
            !peer.hasPending, peer.loading == 0, peer.acknowledged.map({ $0 < changes.last }) ?? true
        else { return }
        peers[number]?.checkpoint = RelayPeer.Checkpoint(change: changes.last, puts: Set(peer.inFlight.keys))
        if peer.inFlight.isEmpty { finishCheckpoint(number) }
    }

    /// A put has been acknowledged, or counts as such.
    mutating func passCheckpoint(_ number: Int, _ id: MessageID) {
        guard peers[number]?.checkpoint?.puts.remove(id) != nil, peers[number]?.checkpoint?.puts.isEmpty == true else {
            return
        }
        finishCheckpoint(number)
    }

    private mutating func finishCheckpoint(_ number: Int) {
        guard let change = peers[number]?.checkpoint?.change else { return }
        peers[number]?.checkpoint = nil
        peers[number]?.acknowledged = change
        events.append(.changes(.acknowledged(peer: number, change: change)))
        trimChanges()
    }

    /// Lets go of changes that all have acknowledged, a thousand at a time, and of those beyond the log's bound.
    mutating func trimChanges() {
        guard let numbers = changes else { return }
        let needed = peers.values.map { $0.acknowledged.map { $0 + 1 } ?? numbers.first }.min() ?? numbers.first
        let limit = configuration.federation.changes
        let kept = numbers.last + 1 - min(numbers.first, numbers.last + 1)
        var first = needed >= numbers.first + 1000 ? needed : numbers.first
        if kept > limit { first = max(first, numbers.last + 1 - limit / 4 * 3) }
        guard first > numbers.first else { return }
        changes?.first = first
        events.append(.changes(.forget(through: first - 1)))
    }
}
