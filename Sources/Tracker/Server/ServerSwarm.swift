import Magnet
import SwarmBase

/// One socket, as its owner names it.
public struct TrackerLinkID: Hashable, Comparable, Sendable {
    public var rawValue: UInt64

    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (a: TrackerLinkID, b: TrackerLinkID) -> Bool { a.rawValue < b.rawValue }
}

/// The peers that know one info-hash.
struct ServerSwarm: Sendable {
    /// An offer that a peer was given and may answer.
    struct Delivered: Sendable {
        var offerer: TrackerPeerID
        /// The offerer's socket: whoever has its peer id later is somebody else.
        var link: TrackerLinkID
        var offerID: TrackerOfferID
        var at: Instant
    }

    struct Peer: Sendable {
        var link: TrackerLinkID
        var isComplete: Bool
        var lastAnnounce: Instant
        /// Where the peer is in `order`.
        var place: Int
        /// Oldest first.
        var delivered: [Delivered] = []
    }

    private(set) var peers: [TrackerPeerID: Peer] = [:]
    /// All peers in some order, to draw from.
    private var order: [TrackerPeerID] = []
    private(set) var complete = 0
    /// How many peers have completed since the swarm came to be.
    var downloaded = 0

    var count: Int { order.count }
    var incomplete: Int { order.count - complete }
    var isEmpty: Bool { order.isEmpty }

    /// Adds a peer or refreshes it.
    mutating func announce(_ id: TrackerPeerID, on link: TrackerLinkID, isComplete: Bool, now: Instant) {
        if var peer = peers[id] {
            complete += (isComplete ? 1 : 0) - (peer.isComplete ? 1 : 0)
            peer.isComplete = isComplete
            peer.lastAnnounce = now
            peers[id] = peer
        } else {
            peers[id] = Peer(link: link, isComplete: isComplete, lastAnnounce: now, place: order.count)
            order.append(id)
            complete += isComplete ? 1 : 0
        }
    }

    mutating func remove(_ id: TrackerPeerID) {
        guard let peer = peers.removeValue(forKey: id), let last = order.popLast() else { return }
        if last != id {
            order[peer.place] = last
            peers[last]?.place = peer.place
        }
        complete -= peer.isComplete ? 1 : 0
    }

    /// Up to `count` distinct peers, drawn at random from those that `isEligible`.
    ///
    /// Small swarms are searched to the end. In a large one so many draws are made that a miss is unlikely unless most
    /// peers are not eligible.
    func draw(
        _ count: Int, using entropy: inout Entropy, where isEligible: (TrackerPeerID, Peer) -> Bool
    ) -> [TrackerPeerID] {
        guard count > 0 else { return [] }
        var drawn: [TrackerPeerID] = []
        if order.count <= 256 {
            var rest = order
            while drawn.count < count, !rest.isEmpty {
                rest.swapAt(Int.random(in: 0..<rest.count, using: &entropy), rest.count - 1)
                if let id = rest.popLast(), let peer = peers[id], isEligible(id, peer) { drawn.append(id) }
            }
            return drawn
        }
        for _ in 0..<(16 + 8 * count) where drawn.count < count {
            let id = order[Int.random(in: 0..<order.count, using: &entropy)]
            if !drawn.contains(id), let peer = peers[id], isEligible(id, peer) { drawn.append(id) }
        }
        return drawn
    }

    /// Remembers that `receiver` was given an offer; of more than `limit` the oldest are forgotten.
    mutating func deliver(_ delivered: Delivered, to receiver: TrackerPeerID, limit: Int) {
        guard let count = peers[receiver]?.delivered.count else { return }
        if count >= limit { peers[receiver]?.delivered.removeFirst(count - limit + 1) }
        peers[receiver]?.delivered.append(delivered)
    }

    /// Takes the record that `answerer` was given this offer no longer than `window` ago.
    mutating func takeDelivered(
        to answerer: TrackerPeerID, from offerer: TrackerPeerID, _ offerID: TrackerOfferID, window: Duration,
        now: Instant
    ) -> Delivered? {
        guard
            let place = peers[answerer]?.delivered.firstIndex(where: { $0.offerer == offerer && $0.offerID == offerID }
            ),
            let delivered = peers[answerer]?.delivered.remove(at: place)
        else { return nil }
        return now - delivered.at <= window ? delivered : nil
    }

    /// Forgets peers that have not announced since `oldest` and offers delivered before `oldestOffer`.
    ///
    /// - Returns: the peers that were forgotten.
    mutating func expire(oldest: Instant, oldestOffer: Instant) -> [(TrackerPeerID, TrackerLinkID)] {
        var expired: [(TrackerPeerID, TrackerLinkID)] = []
        for id in order {
            guard let peer = peers[id] else { continue }
            if peer.lastAnnounce < oldest {
                expired.append((id, peer.link))
            } else if let first = peer.delivered.first, first.at < oldestOffer {
                peers[id]?.delivered.removeAll { $0.at < oldestOffer }
            }
        }
        for (id, _) in expired { remove(id) }
        return expired
    }
}
