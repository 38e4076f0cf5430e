public import SwarmBase
import JSON

/// A GUN relay: merges what its links write, tells those who asked, keeps it in storage, and answers queries.
///
/// Sans-IO. After any call the owner drains ``pollTransmit()``, then ``pollEvent()``, then re-reads ``nextTimeout``.
/// Frames are WebSocket text frames; `wall` is milliseconds since 1970.
///
/// Writes go to the links that are subscribed to the key or its node, at once and never back to the writer. A put is
/// acknowledged when storage has every record of it that was accepted; one that changes nothing is acknowledged too, and
/// one with a fault is refused whole with `err`. A query is answered from memory or storage, with "not found" when
/// neither has it; then the links that might have it are asked.
public struct GunRelay: Sendable {
    /// The bounds it was made with.
    public let configuration: GunRelayConfiguration
    /// What it has done so far.
    public internal(set) var counters = GunRelayCounters()

    var entropy: Entropy
    let pid: JSONText
    var links: [LinkID: RelayLink] = [:]
    var events = FIFO<GunRelayEvent>()
    var routes: RecentTable<MessageID, AnswerRoute>
    var memory: GraphMemory
    var subscriptions = SubscriptionTable()
    var storage = RelayStorage()
    var deferred = DeadlineQueue<DeferredPut>()
    var deferredBytes = 0
    /// The links to relays of ours, in the order in which they opened.
    private(set) var relayLinks: [LinkID] = []
    var jobs: [JobID: PutJob] = [:]
    var nextJob: JobID = 0
    private var ready = FIFO<LinkID>()
    private var nextHeartbeat: Instant?

    public init(configuration: GunRelayConfiguration = GunRelayConfiguration(), entropy: Entropy) {
        self.configuration = configuration
        self.entropy = entropy
        pid = MessageID.random(using: &self.entropy).text
        routes = RecentTable(capacity: configuration.rememberedMessages, lifetime: configuration.routeLifetime)
        memory = GraphMemory(budget: configuration.memoryBytes)
    }

    /// How many links are open.
    public var linkCount: Int { links.count }

    /// How many souls someone is subscribed to.
    public var subscribedSoulCount: Int { subscriptions.count }

    /// How many bytes the graph in memory takes, near enough.
    public var memoryBytes: Int { memory.cost }

    // MARK: Links

    /// A peer has connected; it is greeted.
    ///
    /// - Parameter isRelay: whether it is a relay that we chose ourselves: it is asked for what we do not have.
    public mutating func linkOpened(_ link: LinkID, isRelay: Bool = false, now: Instant) {
        guard links[link] == nil else { return }
        links[link] = RelayLink(configuration: configuration, isRelay: isRelay, now: now)
        if isRelay { relayLinks.append(link) }
        if nextHeartbeat == nil { nextHeartbeat = now + configuration.heartbeat }
        send(.handshake(newID(), pid: pid, answering: nil), to: link)
    }

    /// A connection is gone: its subscriptions end, its puts still count.
    public mutating func linkClosed(_ link: LinkID, now: Instant) {
        forget(link)
    }

    /// - Returns: whether the link was known.
    @discardableResult
    private mutating func forget(_ link: LinkID) -> Bool {
        guard links.removeValue(forKey: link) != nil else { return false }
        subscriptions.removeAll(link)
        relayLinks.removeAll { $0 == link }
        if links.isEmpty { nextHeartbeat = nil }
        return true
    }

    /// The owner's socket is full, or takes more again. While it is full nothing is handed out for the link.
    public mutating func linkWritabilityChanged(_ link: LinkID, isWritable: Bool) {
        guard links[link] != nil else { return }
        links[link]?.isWritable = isWritable
        if links[link]?.becomeReady() == true { ready.append(link) }
    }

    mutating func close(_ link: LinkID, _ reason: GunCloseReason) {
        if forget(link) { events.append(.close(link, reason)) }
    }

    // MARK: Output

    /// The next frame to send. Frames of several links take turns.
    public mutating func pollTransmit() -> (LinkID, [UInt8])? {
        while let link = ready.popFirst() {
            // A link whose number was used again is listed twice; its queue says what is true.
            guard let (frame, isReady) = links[link]?.popFrame() else { continue }
            if isReady { ready.append(link) }
            counters.framesSent += 1
            counters.bytesSent += frame.count
            return (link, frame)
        }
        return nil
    }

    /// The next thing the owner is to do.
    public mutating func pollEvent() -> GunRelayEvent? { events.popFirst() }

    /// When ``handleTimeout(now:wall:)`` is to be called at the latest.
    public var nextTimeout: Instant? { .earlier(nextHeartbeat, deferred.nextDeadline) }

    /// Sends heartbeats and decides on writes whose time has come.
    public mutating func handleTimeout(now: Instant, wall: Double) {
        if let due = nextHeartbeat, due <= now {
            nextHeartbeat = now + configuration.heartbeat
            for link in links.keys.sorted() { enqueue(GunFrame.heartbeatBytes, for: link) }
        }
        while let put = deferred.popDue(now) {
            deferredBytes -= put.bytes
            // The link may have been closed and its number used again.
            if let state = links[put.link], state.deferredCount > 0 {
                links[put.link]?.deferredCount -= 1
                links[put.link]?.deferredBytes = max(state.deferredBytes - put.bytes, 0)
            }
            submit(put.unit, now: now, wall: wall)
        }
        flush()
    }

    mutating func newID() -> MessageID { .random(using: &entropy) }

    mutating func send(_ message: GunMessage, to link: LinkID) { enqueue(message.serialized(), for: link) }

    mutating func enqueue(_ frame: [UInt8], for link: LinkID) {
        switch links[link]?.append(frame, limit: configuration.queuedBytesPerLink) {
        case .becameReady: ready.append(link)
        case .tooMuch: close(link, .slowReader)
        case .done, nil: break
        }
    }
}
