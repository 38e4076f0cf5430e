public import Magnet
public import SwarmBase

/// Announces one swarm to one HTTP tracker (BEP 3), without IO: the owner fetches the URLs it asks for.
///
/// After every call drain ``pollFetch()``, then ``pollEvent()``, then re-read ``nextTimeout``.
public struct HTTPTrackerClient: Sendable {
    /// The tracker's `http:` or `https:` URL.
    public let url: String
    /// How long a fetch may take.
    static let patience: Duration = .seconds(20)

    private let infoHash: InfoHash
    private let peerID: TrackerPeerID
    private let key: UInt32
    /// The UDP port that is announced; 0 until it is known.
    public var port: UInt16
    private var entropy: Entropy
    private var schedule: AnnounceSchedule
    private var event = Announce.Event.started
    private var trackerID: [UInt8]?
    /// Until when the fetch that is under way is waited for.
    private var fetchingUntil: Instant?
    private var fetches = FIFO<String>()
    private var events = FIFO<AnnounceEvent>()

    public init(url: String, infoHash: InfoHash, port: UInt16, entropy: Entropy, now: Instant) {
        var entropy = entropy
        self.url = url
        self.infoHash = infoHash
        self.port = port
        peerID = .random(prefix: "-SS0100-", using: &entropy)
        key = UInt32(truncatingIfNeeded: entropy.next())
        self.entropy = entropy
        schedule = AnnounceSchedule(now: now)
    }

    /// The next moment at which ``handleTimeout(now:)`` has something to do.
    public var nextTimeout: Instant? { fetchingUntil ?? (port == 0 ? nil : schedule.nextAt) }

    /// The next URL to fetch; `handle(body:now:)` or `failed(_:now:)` must follow, but for the last one after `stop`.
    public mutating func pollFetch() -> String? { fetches.popFirst() }

    /// The next thing that happened.
    public mutating func pollEvent() -> AnnounceEvent? { events.popFirst() }

    /// Does what is due.
    public mutating func handleTimeout(now: Instant) {
        if let fetchingUntil {
            if now >= fetchingUntil { failed("it does not answer", now: now) }
        } else if let at = schedule.nextAt, now >= at, port != 0 {
            schedule.began()
            fetchingUntil = now + Self.patience
            fetch()
        }
    }

    /// The body of the reply to the last fetch.
    public mutating func handle(body: [UInt8], now: Instant) {
        guard fetchingUntil != nil else { return }
        do throws(AnnounceError) {
            let reply = try HTTPTrackerMessage.parse(body)
            fetchingUntil = nil
            event = .none
            trackerID = reply.trackerID ?? trackerID
            schedule.succeeded(
                reply, found: reply.peers.contains { $0.port != port }, now: now, entropy: &entropy)
            events.append(.announced(reply))
        } catch {
            failed(error.reason, now: now)
        }
    }

    /// The last fetch brought nothing.
    public mutating func failed(_ reason: String, now: Instant) {
        guard fetchingUntil != nil else { return }
        fetchingUntil = nil
        schedule.failed(now: now, entropy: &entropy)
        events.append(.failed(reason))
    }

    /// Our address has changed, or somebody is missed: announces at once.
    public mutating func hurry(now: Instant) { schedule.hurry(now: now) }

    /// Says that we leave, if the tracker knows of us.
    public mutating func stop() {
        fetchingUntil = nil
        guard event != .started else { return }
        event = .stopped
        fetch()
    }

    private mutating func fetch() {
        let announce = Announce(
            infoHash: infoHash, peerID: peerID, port: port, event: event, key: key,
            numberWanted: event == .stopped ? 0 : 50)
        fetches.append(HTTPTrackerMessage.url(url, announce, trackerID: trackerID))
    }
}
