import Magnet
import SwarmBase

/// The local network: says by multicast that a member is here, and hears others say so.
///
/// What is announced is derived from the topic and changes each day, so that the network learns neither the infohash nor who
/// meets again tomorrow.
struct LANPlane {
    /// BEP 14: no more than one announcement a minute. The first is said twice, since nothing repeats a lost one sooner.
    static let firstRepeat: Duration = .seconds(1)
    /// How often while nobody was found, and when somebody was (BEP 14: every five minutes).
    static let interval = (alone: Duration.seconds(60), inCompany: Duration.seconds(300))

    private let isUsed: Bool
    private let cookie: String
    private var entropy: Entropy
    private var port: UInt16?
    private var repeats = 0
    private var announcements = FIFO<(group: LANGroup, payload: [UInt8])>()
    private var heard = TokenBucket(rate: 20, burst: 100)
    /// When the next announcement is due.
    private(set) var nextTimeout: Instant?
    /// When announcements were first sent, and when one of ours first came back: then multicast works on this network.
    private(set) var startedAt: Instant?
    private(set) var workedAt: Instant?

    init(isUsed: Bool, entropy: Entropy) {
        var entropy = entropy
        self.isUsed = isUsed
        cookie = entropy.bytes(8).hexadecimal
        self.entropy = entropy
    }

    /// The node's socket has this port now, or the network has changed: says so at once.
    mutating func start(port: UInt16, now: Instant) {
        guard isUsed, port != 0 else { return }
        self.port = port
        repeats = 0
        nextTimeout = now
    }

    mutating func stop() { nextTimeout = nil }

    /// - Parameter infoHashes: what the swarm is called on the local network today.
    mutating func handleTimeout(infoHashes: [InfoHash], isAlone: Bool, now: Instant) {
        guard let port, let due = nextTimeout, now >= due else { return }
        startedAt = startedAt ?? now
        let announcement = LANAnnouncement(port: port, infoHashes: infoHashes, cookie: cookie)
        for group in LANGroup.allCases { announcements.append((group, announcement.bytes(to: group))) }
        let regular = isAlone ? Self.interval.alone : Self.interval.inCompany
        let wait = repeats == 0 ? Self.firstRepeat : regular * Double.random(in: 0.9...1.1, using: &entropy)
        repeats += 1
        nextTimeout = now + wait
    }

    /// How it stands; `nil` when it is not in use. Whether a network carries multicast shows when our own comes back.
    var status: PlaneStatus? {
        guard isUsed else { return nil }
        let latency = startedAt.flatMap { start in workedAt.map { $0 - start } }
        return PlaneStatus(kind: .lan, state: latency == nil ? .trying : .working, latency: latency)
    }

    /// The next announcement to send.
    mutating func pollAnnouncement() -> (group: LANGroup, payload: [UInt8])? { announcements.popFirst() }

    /// Takes an announcement that came on the multicast port.
    ///
    /// - Returns: where its sender is, when it is of this swarm and not our own.
    mutating func receive(
        _ bytes: [UInt8], from source: IPAddress, infoHashes: [InfoHash], now: Instant
    ) -> TransportAddress? {
        guard isUsed, heard.take(now: now), let announcement = LANAnnouncement(parsing: bytes) else { return nil }
        guard announcement.cookie != cookie else {
            workedAt = workedAt ?? now
            return nil
        }
        guard announcement.infoHashes.contains(where: infoHashes.contains) else { return nil }
        return TransportAddress(source, port: announcement.port)
    }
}
