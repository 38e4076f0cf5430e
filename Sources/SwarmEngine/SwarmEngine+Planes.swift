public import SwarmBase

/// One URL that the owner is to fetch: an announce to an HTTP tracker.
public struct TrackerFetch: Equatable, Sendable {
    /// To be handed back with what it brought.
    public let id: Int
    public let url: String
}

/// The planes together: all work at once, none waits for another, what they find is one set of members.
extension SwarmEngine {
    /// How it stands with each plane that is in use.
    public var planes: [PlaneStatus] {
        var all = trackers.status + announces.status + dhtPlanes + gun.status
        if let status = lan.status { all.append(status) }
        if !knownPeers.isEmpty {
            let isMet = knownPeers.keys.contains { datagrams.endpoint(of: $0) != nil }
            all.append(PlaneStatus(kind: .known, state: isMet ? .working : .trying))
        }
        for (server, health) in stunHealth.sorted(by: { $0.key.description < $1.key.description }) {
            all.append(health.status(.stun, server.description, reflexive[server].map { [$0] } ?? []))
        }
        for (id, name) in turnServerNames.sorted(by: { $0.value < $1.value }) {
            guard let health = turnHealth[id] else { continue }
            all.append(health.status(.turn, name, turnAddresses[id].map { [$0] } ?? []))
        }
        return all
    }

    /// Announces to one more tracker, over UDP (BEP 15): its name may take a while to resolve.
    ///
    /// - Parameter name: what ``planes`` calls it.
    public mutating func addUDPTracker(_ address: TransportAddress, name: String, now: Instant) {
        guard configuration.usesConnections, !isLeaving else { return }
        announces.addUDP(address, name: name, now: now)
        drainAnnounces(now: now)
    }

    /// The next URL to fetch; report it by `fetched`.
    public mutating func pollFetch() -> TrackerFetch? { announces.pollFetch() }

    /// What a fetch brought.
    ///
    /// - Parameters:
    ///   - body: of an answer with status 200; `nil` for anything else.
    ///   - reason: why there is none.
    public mutating func fetched(_ id: Int, body: [UInt8]?, reason: String = "", now: Instant) {
        guard !isLeaving else { return }
        announces.fetched(id, body, reason: reason, now: now)
        drainAnnounces(now: now)
    }

    /// Takes all that trackers of the BitTorrent kind have to say.
    mutating func drainAnnounces(now: Instant) {
        while let transmit = announces.pollTransmit() { transmits.append(transmit) }
        while let found = announces.pollFound() { seek(found, plane: .tracker, now: now) }
    }

    /// The port at which others reach the socket: as STUN servers see it, or else the socket's own.
    mutating func notePort(now: Instant) {
        let outside = reflexive.values.map(\.port).min()
        if let port = outside ?? hostAddresses.first?.port { announces.setPort(port, now: now) }
    }
}
