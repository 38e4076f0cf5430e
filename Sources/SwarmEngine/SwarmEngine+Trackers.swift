import SwarmBase
import Tracker

/// Trackers: offers to whoever is there, and their answers.
extension SwarmEngine {
    mutating func drainTrackers(now: Instant) {
        while let event = trackers.pollEvent(now: now) {
            if case .warning = event {} else { trackersSpokeAt = now }
            switch event {
            case .wantsOffers(let count, let tracker):
                // Offer ids are random: the connection's own is inside the sealed offer, where the tracker does not see it.
                let offers = openOffers(count, now: now).compactMap { sdp in
                    TrackerOfferID(bytes: entropy.bytes(20)).map { TrackerOffer(id: $0, sdp: sdp) }
                }
                trackers.supply(offers, tracker: tracker, now: now)
            case .offer(let signal, let tracker):
                if let answer = takeOpenOffer(signal.sdp, now: now) {
                    trackers.answer(answer, to: signal, tracker: tracker, now: now)
                }
            case .answer(let signal):
                takeTrackerAnswer(signal.sdp, now: now)
            case .warning(let text):
                events.append(.warning(text))
            }
        }
    }
}
