import Magnet
import SwarmBase

/// One socket, as its owner names it.
public struct TrackerLinkID: Hashable, Comparable, Sendable {
    public var rawValue: UInt64

    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (a: TrackerLinkID, b: TrackerLinkID) -> Bool { a.rawValue < b.rawValue }
}

/// The peers that know one info-hash. Each has a place, which is its own until a peer is removed.
struct ServerSwarm: Sendable {
    /// An offer that a peer was given and may answer.
    struct Delivered: Sendable {
        var offerer: TrackerPeerID
        /// The offerer's socket: whoever has its peer id later is somebody else.
        var link: TrackerLinkID
        var offerID: OfferKey
        var at: Instant
    }

    struct Peer: Sendable {
        let id: TrackerPeerID
        let link: TrackerLinkID
        var isComplete: Bool
        var lastAnnounce: Instant
        /// Oldest first.
        var delivered: [Delivered] = []
    }

    /// All peers in some order, to draw from.
    private(set) var peers: [Peer] = []
    private var places: [TrackerPeerID: Int] = [:]
    private(set) var complete = 0
    /// How many peers have completed since the swarm came to be.
    var downloaded = 0

    var count: Int { peers.count }
    var incomplete: Int { peers.count - complete }
    var isEmpty: Bool { peers.isEmpty }

    /// Where a peer is.
    func place(of id: TrackerPeerID) -> Int? { places[id] }

    /// Adds a peer that is not there.
    mutating func add(_ id: TrackerPeerID, on link: TrackerLinkID, isComplete: Bool, now: Instant) -> Int {
        places[id] = peers.count
        peers.append(Peer(id: id, link: link, isComplete: isComplete, lastAnnounce: now))
        complete += isComplete ? 1 : 0
        return peers.count - 1
    }

    /// Refreshes the peer at a place.
    mutating func refresh(_ place: Int, isComplete: Bool, now: Instant) {
        complete += (isComplete ? 1 : 0) - (peers[place].isComplete ? 1 : 0)
        peers[place].isComplete = isComplete
        peers[place].lastAnnounce = now
    }

    /// - Returns: whether it was there.
    mutating func remove(_ id: TrackerPeerID) -> Bool {
        guard let place = places.removeValue(forKey: id), let last = peers.popLast() else { return false }
        guard place < peers.count else {
            complete -= last.isComplete ? 1 : 0
            return true
        }
        complete -= peers[place].isComplete ? 1 : 0
        peers[place] = last
        places[last.id] = place
        return true
    }

    /// The places of up to `count` distinct peers beside one, drawn at random from those that `isEligible`.
    ///
    /// So many draws are made that a miss is unlikely unless most peers are not eligible; small swarms are then searched to the end.
    func draw(
        _ count: Int, besides own: Int, using entropy: inout Entropy, where isEligible: (Peer) -> Bool
    ) -> [Int] {
        let count = min(count, peers.count - 1)
        guard count > 0 else { return [] }
        var drawn: [Int] = []
        drawn.reserveCapacity(count)
        for _ in 0..<(16 + 8 * count) {
            let place = Int.random(in: 0..<peers.count, using: &entropy)
            if place != own, !drawn.contains(place), isEligible(peers[place]) {
                drawn.append(place)
                if drawn.count == count { return drawn }
            }
        }
        guard peers.count <= 256 else { return drawn }
        var rest = peers.indices.filter { $0 != own && !drawn.contains($0) }
        while drawn.count < count, !rest.isEmpty {
            rest.swapAt(Int.random(in: 0..<rest.count, using: &entropy), rest.count - 1)
            if let place = rest.popLast(), isEligible(peers[place]) { drawn.append(place) }
        }
        return drawn
    }

    /// Remembers that the peer at a place was given an offer; of more than `limit` the oldest are forgotten.
    mutating func deliver(_ delivered: Delivered, to place: Int, limit: Int) {
        let count = peers[place].delivered.count
        if count >= limit { peers[place].delivered.removeFirst(count - limit + 1) }
        peers[place].delivered.append(delivered)
    }

    /// Takes the record that the peer at a place was given this offer no longer than `window` ago.
    mutating func takeDelivered(
        to place: Int, from offerer: TrackerPeerID, _ offerID: OfferKey, window: Duration, now: Instant
    ) -> Delivered? {
        guard
            let index = peers[place].delivered.firstIndex(where: { $0.offerer == offerer && $0.offerID == offerID })
        else { return nil }
        let delivered = peers[place].delivered.remove(at: index)
        return now - delivered.at <= window ? delivered : nil
    }

    /// Forgets peers that have not announced since `oldest` and offers delivered before `oldestOffer`.
    ///
    /// - Returns: the peers that were forgotten.
    mutating func expire(oldest: Instant, oldestOffer: Instant) -> [Peer] {
        let expired = peers.filter { $0.lastAnnounce < oldest }
        for peer in expired { _ = remove(peer.id) }
        for place in peers.indices {
            guard let first = peers[place].delivered.first, first.at < oldestOffer else { continue }
            peers[place].delivered.removeAll { $0.at < oldestOffer }
        }
        return expired
    }
}
