public import SwarmBase
import JSON

extension GunClient {
    /// Sends again what was not acknowledged in time, lets go of puts that need not be kept, and decides on writes whose
    /// time has come.
    public mutating func handleTimeout(now: Instant, wall: Double) {
        while let check = checks.popDue(now: now) { handle(check, now: now) }
        while let record = deferred.popDue(now: now) {
            deferredRecords.remove(record)
            deferredBytes -= record.cost
            merge(record, from: nil, now: now, wall: wall)
        }
        evict()
    }

    mutating func firstAttempt(_ id: PutID, _ graph: GunGraph, on link: LinkID, now: Instant) -> GunMessage {
        let message = newID()
        sent.remember(message, .put(id, answeredBy: []), now: now)
        expectAcknowledgement(of: id, on: link, attempts: 1, now: now)
        return .put(message, graph)
    }

    /// Notes that the put was sent, and when to look after it.
    mutating func expectAcknowledgement(of id: PutID, on link: LinkID, attempts: Int, now: Instant) {
        // Each repetition waits twice as long as the one before.
        let due = now + configuration.acknowledgementTimeout * (1 << min(attempts - 1, 6))
        outbox.setDelivery(id, link, .waiting(attempts: attempts, due: due))
        checks.add(.put(id, link), at: due)
    }

    /// Notes that the link was asked, and when to look after the answer.
    mutating func expectAnswer(_ soul: Soul, _ key: Key?, from link: LinkID, attempts: Int, now: Instant) {
        subscriptions[soul]?.asked[key, default: []].insert(link)
        let wait = configuration.acknowledgementTimeout * (1 << min(attempts - 1, 6))
        checks.add(.query(soul, key, link, attempts: attempts), at: now + wait)
    }

    private mutating func handle(_ check: Check, now: Instant) {
        switch check {
        case .put(let id, let link):
            lookAfter(id, on: link, now: now)
        case .repair(let link, let soul): repair(soul, on: link)
        case .neighbours: tellNeighbours(now: now)
        case .query(let soul, let key, let link, let attempts):
            guard links[link] != nil, subscriptions[soul]?.asked[key]?.contains(link) == true else { return }
            guard attempts < configuration.attempts else {
                relayAnswered(soul, on: link, now: now)
                return
            }
            expectAnswer(soul, key, from: link, attempts: attempts + 1, now: now)
            transmit(query(soul, key, on: link, now: now).serialized(), to: link)
        }
    }

    private mutating func lookAfter(_ id: PutID, on link: LinkID, now: Instant) {
        guard let entry = outbox[id] else { return }
        guard links[link] != nil, case .waiting(let attempts, let due) = entry.deliveries[link] else {
            releaseIfSettled(id, now: now)
            return
        }
        // The put may have been sent anew since this check was set.
        guard due <= now else { return }
        guard attempts < configuration.attempts else {
            outbox.setDelivery(id, link, .unanswered)
            releaseIfSettled(id, now: now)
            return
        }
        counters.resentPuts += 1
        // Under a new id, for the old one would be dropped as a duplicate. If the relay has it, it will say nothing:
        // therefore the queries.
        let graph = entry.graph
        let message = newID()
        sent.remember(message, .put(id, answeredBy: []), now: now)
        expectAcknowledgement(of: id, on: link, attempts: attempts + 1, now: now)
        var messages = [GunMessage.put(message, graph)]
        for record in graph.records.prefix(configuration.verifiedKeys) {
            let query = newID()
            sent.remember(query, .verification(id, record.address), now: now)
            messages.append(.get(query, .key(record.soul, record.key)))
        }
        sendBatched(messages, to: link)
    }

    /// Whether the put is in the outbox.
    func isKept(_ id: PutID) -> Bool { outbox[id] != nil }

    mutating func acknowledge(_ id: PutID, on link: LinkID, now: Instant) {
        guard let entry = outbox[id] else { return }
        if case .acknowledged = entry.deliveries[link] { return }
        outbox.setDelivery(id, link, .acknowledged)
        if entry.acknowledgedAt == nil {
            outbox.noteAcknowledged(id, now: now)
            settle(entry.records)
            // Kept a while for links that open later; then looked at once more.
            checks.add(.put(id, link), at: now + configuration.acknowledgedLifetime)
        }
        events.append(.acknowledged(id, link))
        releaseIfSettled(id, now: now)
    }

    /// The relay at the link says no; the others may still say yes.
    mutating func refuse(_ id: PutID, _ fault: JSONText, on link: LinkID, now: Instant) {
        guard outbox[id] != nil else { return }
        outbox.setDelivery(id, link, .refused)
        releaseIfSettled(id, now: now)
        events.append(.refused(id, link, fault.string))
    }

    /// Lets go of a put that has been acknowledged long enough ago and is under way nowhere, and of one that every link
    /// refuses.
    private mutating func releaseIfSettled(_ id: PutID, now: Instant) {
        guard let entry = outbox[id] else { return }
        let deliveries = entry.deliveries.filter { links[$0.key] != nil }.values
        let isWaiting = deliveries.contains { if case .waiting = $0 { true } else { false } }
        if isWaiting { return }
        if let acknowledgedAt = entry.acknowledgedAt {
            if now >= acknowledgedAt + configuration.acknowledgedLifetime { outbox.remove(id) }
        } else if !deliveries.isEmpty, deliveries.allSatisfy({ if case .refused = $0 { true } else { false } }) {
            settle(entry.records)
            outbox.remove(id)
        }
    }
}
