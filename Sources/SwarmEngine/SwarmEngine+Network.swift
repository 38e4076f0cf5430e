import ICE
public import SwarmBase
import WebRTC

/// What the engine does when the network changes under it, or seems to.
extension SwarmEngine {
    /// How often relays and trackers are asked at most whether they are still there.
    private static let linkProbeInterval = Duration.seconds(5)

    /// The addresses of this machine at which the socket can be reached. Call again when they change: after `linkClosed` for the links that
    /// have gone with an address.
    public mutating func setHostAddresses(_ addresses: [TransportAddress], now: Instant) {
        guard addresses != hostAddresses else { return }
        let former = hostAddresses
        hostAddresses = addresses
        let others = localCandidates.filter { $0.kind != .host }
        localCandidates = []
        let hosts = addresses.enumerated().map { Candidate.host($1, rank: UInt16(clamping: $0)) }
        addLocalCandidates((configuration.connectsDirectly ? hosts : []) + others, now: now)
        if let port = addresses.first?.port { lan.start(port: port, now: now) }
        dht?.setHostAddresses(addresses, now: now)
        drainDHT(now: now)
        notePort(now: now)
        if !former.isEmpty { networkChanged(hasMoved: Set(former).isDisjoint(with: addresses), now: now) }
    }

    /// The machine reaches others by another way than before, or wakes from sleep, though its addresses are the same.
    public mutating func routesChanged(now: Instant) {
        guard !hostAddresses.isEmpty, !isLeaving else { return }
        networkChanged(hasMoved: false, now: now)
    }

    /// Every path is asked at once whether it still holds, and every connection is restarted, with the addresses of now.
    ///
    /// - Parameter hasMoved: none of the former addresses is left: what was on its way by them is lost, and messages do not wait until
    ///   that shows.
    private mutating func networkChanged(hasMoved: Bool, now: Instant) {
        stun.refresh(now: now)
        drainSTUN(now: now)
        turn.networkChanged(now: now)
        drainTURN(now: now)
        trackers.networkChanged(now: now)
        drainTrackers(now: now)
        gun.hurry(now: now)
        gun.handleTimeout(now: now, wall: wall(now))
        datagrams.networkChanged(now: now)
        announces.hurry(now: now)
        for connection in allConnections {
            connection.peerConnection.networkChanged(now: now)
            drain(connection, now: now)
        }
        for member in everybody {
            if hasMoved { member.session.doubtConnection(now: now) }
            member.session.probe()
            if member.negotiation.phase == .connected { member.restart = (now, 0) }
            member.negotiation.hurry(now: now)
            negotiate(with: member, now: now)
            pump(member, now: now)
        }
        drainGun(now: now)
    }

    /// A path fell silent. Perhaps the whole network did, of which TCP would tell in a minute: so the links are asked.
    mutating func probeLinks(now: Instant) {
        if let last = linksProbedAt, now - last < Self.linkProbeInterval {
            // They may have died since: no path need fall silent once more until they are asked.
            probeLinksAt = last + Self.linkProbeInterval
            return
        }
        probeLinksAt = nil
        linksProbedAt = now
        for link in gun.openLinks { linkProbes.append(.probe(link)) }
    }
}
