import SwarmBase

/// Who announced itself for which infohash. Bounded in infohashes, in peers of each, and in what one address may fill.
struct PeerStore: Sendable {
    private struct Swarm: Sendable {
        /// Each endpoint once, in the order in which they came, and until when it is believed.
        var peers: [(endpoint: TransportAddress, expires: Instant)] = []
    }

    private let limits: DHTConfiguration.Storage
    private var swarms: [NodeID: Swarm] = [:]
    /// How many infohashes each address has begun.
    private var begun = SourceCounts()

    init(limits: DHTConfiguration.Storage) { self.limits = limits }

    var infoHashCount: Int { swarms.count }

    /// Whether an announce would be taken: if not, no token is given.
    func takes(_ infoHash: NodeID, from address: IPAddress) -> Bool {
        if let swarm = swarms[infoHash] { return swarm.peers.count < limits.peersPerInfoHash }
        return begun[address] < limits.infoHashesPerSource
    }

    /// Notes a peer.
    ///
    /// - Parameter own: our id: when all is full, what is farthest from it makes room for what is nearer.
    mutating func announce(_ peer: TransportAddress, for infoHash: NodeID, own: NodeID, now: Instant) {
        if swarms[infoHash] == nil {
            guard begun[peer.address] < limits.infoHashesPerSource else { return }
            if swarms.count >= limits.infoHashes {
                guard let farthest = swarms.keys.max(by: { $0.distance(to: own) < $1.distance(to: own) }),
                    infoHash.distance(to: own) < farthest.distance(to: own)
                else { return }
                swarms[farthest] = nil
            }
            begun.add(peer.address)
        }
        let expires = now + limits.peerLifetime
        if let known = swarms[infoHash]?.peers.firstIndex(where: { $0.endpoint == peer }) {
            swarms[infoHash]?.peers[known].expires = expires
        } else if swarms[infoHash, default: Swarm()].peers.count < limits.peersPerInfoHash {
            swarms[infoHash, default: Swarm()].peers.append((peer, expires))
        }
    }

    /// Some of the peers of a family, chosen at random.
    func peers(
        of infoHash: NodeID, family: AddressFamily, atMost count: Int, entropy: inout Entropy, now: Instant
    ) -> [TransportAddress] {
        guard let swarm = swarms[infoHash], count > 0 else { return [] }
        let live = swarm.peers.filter { $0.expires > now && AddressFamily($0.endpoint.address) == family }
            .map(\.endpoint)
        return live.count <= count ? live : Array(live.shuffled(using: &entropy).prefix(count))
    }

    /// Some of the infohashes, chosen at random (BEP 51).
    func samples(atMost count: Int, entropy: inout Entropy) -> [NodeID] {
        Array(swarms.keys.sorted().shuffled(using: &entropy).prefix(count))
    }

    /// Lets go of what has expired.
    mutating func sweep(now: Instant) {
        for infoHash in Array(swarms.keys) {
            let live = swarms[infoHash]?.peers.filter { $0.expires > now } ?? []
            swarms[infoHash] = live.isEmpty ? nil : Swarm(peers: live)
        }
        begun.decay(now: now, every: limits.peerLifetime)
    }
}

/// How much each source has done lately: forgotten as a whole after a while, and bounded.
struct SourceCounts: Sendable {
    private static let most = 8192
    private var counts: [IPAddress: Int] = [:]
    private var forgetAt: Instant?

    subscript(address: IPAddress) -> Int { counts[address] ?? 0 }

    mutating func add(_ address: IPAddress) {
        if counts.count >= Self.most, counts[address] == nil { counts.removeAll() }
        counts[address, default: 0] += 1
    }

    mutating func decay(now: Instant, every interval: Duration) {
        if let forgetAt, now < forgetAt { return }
        if forgetAt != nil { counts.removeAll() }
        forgetAt = now + interval
    }
}
