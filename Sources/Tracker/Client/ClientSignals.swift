import JSON
import Magnet
import SwarmBase

/// Offers and answers that the tracker forwards, and the age of our own.
extension TrackerClient {
    mutating func receiveOffer(
        _ infoHash: InfoHash, _ peer: TrackerPeerID, _ offer: TrackerOfferID, _ sdp: JSONText, now: Instant
    ) {
        let key = ClientSwarm.Unanswered(peerID: peer, offerID: offer)
        guard var swarm = swarms[infoHash], swarm.isStarted, peer != peerID, swarm.unanswered[key] == nil,
            sdp.byteCount <= configuration.maximumSDPByteCount, receivedOffers.take(now: now)
        else {
            counters.ignored += 1
            return
        }
        let oldest = now - configuration.offerLifetime
        swarm.unanswered = swarm.unanswered.filter { $0.value > oldest }
        guard swarm.unanswered.count < configuration.unansweredOffers else {
            counters.ignored += 1
            return
        }
        swarm.unanswered[key] = now
        swarm.noteExchange(configuration)
        swarms[infoHash] = swarm
        counters.offersReceived += 1
        events.append(.offer(TrackerSignal(infoHash: infoHash, peerID: peer, offerID: offer, sdp: sdp.string)))
    }

    mutating func receiveAnswer(
        _ infoHash: InfoHash, _ peer: TrackerPeerID, _ offer: TrackerOfferID, _ sdp: JSONText, now: Instant
    ) {
        expireOldOffers(now: now)
        guard var swarm = swarms[infoHash], peer != peerID, sdp.byteCount <= configuration.maximumSDPByteCount,
            swarm.openOffers.removeValue(forKey: offer) != nil
        else {
            counters.ignored += 1
            return
        }
        swarm.noteExchange(configuration)
        swarms[infoHash] = swarm
        counters.answersReceived += 1
        events.append(.answer(TrackerSignal(infoHash: infoHash, peerID: peer, offerID: offer, sdp: sdp.string)))
    }

    /// Tells of every open offer of a swarm that is being left, or whose socket has gone.
    mutating func expireOffers(of swarm: ClientSwarm, _ infoHash: InfoHash) {
        for (id, _) in swarm.openOffers.sorted(by: { $0.key.text < $1.key.text }) {
            events.append(.offerExpired(infoHash, id))
        }
    }

    /// Ends the offers whose time is over.
    mutating func expireOldOffers(now: Instant) {
        let oldest = now - configuration.offerLifetime
        for infoHash in swarms.keys.sorted() {
            let expired = swarms[infoHash]?.openOffers.filter { $0.value <= oldest } ?? [:]
            for (id, _) in expired.sorted(by: { $0.key.text < $1.key.text }) {
                swarms[infoHash]?.openOffers[id] = nil
                events.append(.offerExpired(infoHash, id))
            }
        }
    }
}
