import Magnet
public import SwarmBase

/// The local network.
extension SwarmEngine {
    /// The next announcement to send to a multicast group, from every interface.
    public mutating func pollAnnouncement() -> (group: LANGroup, payload: [UInt8])? { lan.pollAnnouncement() }

    /// An announcement came on the port of the multicast groups.
    public mutating func handle(announcement: [UInt8], from source: IPAddress, now: Instant) {
        guard !isLeaving, let address = lan.receive(announcement, from: source, infoHashes: lanHashes, now: now) else {
            return
        }
        seek([address], plane: .lan, now: now)
    }

    /// What the swarm is called on the local network: today, and around midnight on the neighbouring day too.
    private var lanHashes: [InfoHash] { followedDays.sorted().map { topic.lanHash(day: $0) } }

    mutating func announceOnLAN(now: Instant) {
        guard let due = lan.nextTimeout, now >= due else { return }
        lan.handleTimeout(infoHashes: lanHashes, isAlone: !members.values.contains { $0.session.isUp }, now: now)
    }
}
