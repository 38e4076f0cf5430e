import JSON
import Magnet
import SwarmBase

/// What a client keeps of one swarm.
struct ClientSwarm: Sendable {
    /// An offer that awaits our answer.
    struct Unanswered: Hashable, Sendable {
        var peerID: TrackerPeerID
        var offerID: TrackerOfferID
    }

    var left: Int
    var wantedOffers: Int
    /// Whether the tracker has heard of us on this socket.
    var isStarted = false
    var announceAt: Instant?
    /// Until when the announce in hand waits for offers.
    var gatheringUntil: Instant?
    /// Whether offers were asked for and not yet supplied.
    var isSupplyOutstanding = false
    var lastAnnounce: Instant?
    var interval: Duration?
    var minimumInterval: Duration = .zero
    /// 0.9…1 of the interval, drawn for every announce, so that clients do not march in step.
    var jitter = 1.0
    var trackerID: JSONText?
    /// What the last reply counted, us included.
    var population: Int?
    /// Whether an offer or an answer has come through this socket.
    var hasExchanged = false
    var repeatsDone = 0
    /// When each offer of ours was sent.
    var openOffers: [TrackerOfferID: Instant] = [:]
    /// When each offer came in.
    var unanswered: [Unanswered: Instant] = [:]

    init(left: Int, wantedOffers: Int) {
        self.left = left
        self.wantedOffers = wantedOffers
    }

    /// How many offers the next announce should have.
    func offersToAsk(_ configuration: TrackerClientConfiguration) -> Int {
        let room = configuration.openOffersPerSwarm - openOffers.count
        let useful = population.map { max($0, configuration.offersWhenAlone) } ?? .max
        return min(wantedOffers, room, useful)
    }

    /// Finds the time of the next announce from that of the last one.
    mutating func scheduleNext(_ configuration: TrackerClientConfiguration) {
        guard let last = lastAnnounce, gatheringUntil == nil else { return }
        let range = configuration.intervalRange
        let interval = interval.map { min(max($0, range.lowerBound), range.upperBound) }
        let regular = (interval ?? configuration.initialInterval).nanosecondsClamped
        var delay: Duration = .nanoseconds(Int64(Double(regular) * jitter))
        let isAlone = population.map { $0 <= 1 } ?? false
        let repeats = isAlone ? configuration.earlyRepeats.prefix(1) : configuration.earlyRepeats[...]
        if !hasExchanged, repeatsDone < repeats.count {
            delay = min(delay, max(repeats[repeatsDone], minimumInterval))
        }
        announceAt = last + delay
    }

    /// An offer or an answer has come: no early repeat is needed any more.
    mutating func noteExchange(_ configuration: TrackerClientConfiguration) {
        guard !hasExchanged else { return }
        hasExchanged = true
        scheduleNext(configuration)
    }

    /// The socket has gone, and with it what the tracker knew of us.
    mutating func forgetSession() {
        openOffers = [:]
        unanswered = [:]
        isStarted = false
        hasExchanged = false
        repeatsDone = 0
        gatheringUntil = nil
        isSupplyOutstanding = false
        population = nil
        announceAt = nil
    }

    /// One announce; `offers` is nil with `stopped`.
    func announce(
        _ infoHash: InfoHash, from peerID: TrackerPeerID, event: String?, offers: [TrackerOffer]?
    ) -> [UInt8] {
        var message: JSONObject = [
            "action": "announce", "info_hash": .bytes(infoHash.bytes), "peer_id": .bytes(peerID.bytes),
            "numwant": .integer(offers?.count ?? 0), "uploaded": 0, "downloaded": 0, "left": .integer(left),
        ]
        if let event { message["event"] = .string(event) }
        if let trackerID { message["trackerid"] = .text(trackerID) }
        if let offers {
            message["offers"] = .array(
                offers.map { offer in
                    ["offer_id": .text(offer.id.text), "offer": ["type": "offer", "sdp": .string(offer.sdp)]]
                })
        }
        return JSONValue.object(message).serialized()
    }
}
