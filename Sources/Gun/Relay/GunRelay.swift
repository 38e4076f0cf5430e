import JSON
public import SwarmBase

/// A GUN relay: merges what its links write, tells those who asked, keeps it in storage, and answers queries.
///
/// Sans-IO. After any call the owner drains ``pollTransmit()``, then ``pollEvent()``, then re-reads ``nextTimeout``.
/// Frames are WebSocket text frames; `wall` is milliseconds since 1970.
///
/// Writes go to the links that are subscribed to the key or its node, at once and never back to the writer, and to the
/// configured relays. A put is acknowledged when storage has every record of it that was accepted; one that changes
/// nothing is acknowledged too, and one with a fault is refused whole with `err`. A query is answered from memory or
/// storage, with "not found" when neither has it; then the links that might have it are asked.
public struct GunRelay: Sendable {
    /// The bounds it was made with.
    public let configuration: GunRelayConfiguration
    /// What it has done so far.
    public internal(set) var counters = GunRelayCounters()

    var entropy: Entropy
    let pid: JSONText
    var links: [LinkID: RelayLink] = [:]
    var addresses = AddressTable()
    var events = FIFO<GunRelayEvent>()
    var routes: RecentTable<MessageID, AnswerRoute>
    /// Answers that have passed, by what they answer and their content (gun.md §5.1).
    var passedAnswers: RecentTable<PassedAnswer, Bool>
    var memory: GraphMemory
    var subscriptions = SubscriptionTable()
    var storage = RelayStorage()
    var lanes = ReadLanes()
    var deferred = DeadlineQueue<DeferredPut>()
    var deferredBytes = 0
    /// Nodes in memory that are to be forgotten.
    var ephemeral = DeadlineQueue<Soul>()
    /// The configured relays by their numbers; each outlives its links.
    var peers: [Int: RelayPeer] = [:]
    var flights = DeadlineQueue<FederatedPut>()
    /// The numbers of the changes in the log, when one is kept.
    var changes: ChangeNumbers?
    var applicationCopies: TokenBucket
    var jobs: [JobID: PutJob] = [:]
    var nextJob: JobID = 0
    /// How many bytes wait for links.
    public internal(set) var queuedBytes = 0
    private var ready = FIFO<LinkID>()
    private var nextHeartbeat: Instant?

    public init(configuration: GunRelayConfiguration = GunRelayConfiguration(), entropy: Entropy) {
        self.configuration = configuration
        self.entropy = entropy
        pid = MessageID.random(using: &self.entropy).text
        routes = RecentTable(capacity: configuration.rememberedMessages, lifetime: configuration.routeLifetime)
        passedAnswers = RecentTable(
            capacity: configuration.rememberedMessages / 16, lifetime: configuration.routeLifetime)
        memory = GraphMemory(budget: configuration.memoryBytes)
        applicationCopies = TokenBucket(
            rate: configuration.applicationCopiesPerSecond, burst: configuration.applicationCopiesPerSecond)
    }

    /// How many links are open.
    public var linkCount: Int { links.count }

    /// How many souls someone is subscribed to.
    public var subscribedSoulCount: Int { subscriptions.count }

    /// How many bytes the graph in memory takes, near enough.
    public var memoryBytes: Int { memory.cost }

    /// How many bytes wait to be stored.
    public var unstoredBytes: Int { storage.unstoredBytes }

    /// How many records wait for the clock.
    public var deferredCount: Int { deferred.count }

    /// How many records configured relays are still to be told, those that are away included.
    public var pendingFederation: Int { peers.values.reduce(0) { $0 + $1.pendingCount } }

    /// How many configured relays are linked.
    public var linkedPeers: Int { peers.values.count { $0.link != nil } }

    // MARK: Links

    /// A peer has connected; it is greeted.
    ///
    /// - Parameters:
    ///   - address: where it comes from, for what links from one address share.
    ///   - peer: which of the configured relays it is, by a number that stays the same from link to link: it is told
    ///     what is written here, and asked for what we do not have.
    public mutating func linkOpened(_ link: LinkID, from address: IPAddress? = nil, peer: Int? = nil, now: Instant) {
        guard links[link] == nil else { return }
        let name = AddressTable.name(address)
        links[link] = RelayLink(configuration: configuration, address: name, peer: peer, now: now)
        addresses.linkOpened(name, configuration, now: now)
        if nextHeartbeat == nil { nextHeartbeat = now + configuration.heartbeat }
        send(.handshake(newID(), pid: pid, answering: nil), to: link)
        if let peer { peerOpened(peer, link, now: now) }
    }

    /// A connection is gone: its subscriptions end, its puts still count.
    public mutating func linkClosed(_ link: LinkID, now: Instant) {
        forget(link)
    }

    /// - Returns: whether the link was known.
    @discardableResult
    private mutating func forget(_ link: LinkID) -> Bool {
        guard let state = links.removeValue(forKey: link) else { return false }
        addresses.linkClosed(state.address, subscriptions: subscriptions.count(of: link))
        subscriptions.removeAll(link)
        queuedBytes -= state.queuedBytes
        if let peer = state.peer { peerClosed(peer, link) }
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
        guard forget(link) else { return }
        if reason == .slowReader { counters.slowReaders += 1 }
        events.append(.close(link, reason))
    }

    // MARK: Output

    /// The next frame to send. Frames of several links take turns.
    public mutating func pollTransmit() -> (LinkID, [UInt8])? {
        while let link = ready.popFirst() {
            // A link whose number was used again is listed twice; its queue says what is true.
            guard let (frame, bytes, isReady) = links[link]?.popFrame(packed: configuration.packedBytes) else {
                continue
            }
            if isReady { ready.append(link) }
            queuedBytes -= bytes
            counters.framesSent += 1
            counters.bytesSent += frame.count
            goOn(link)
            return (link, frame)
        }
        return nil
    }

    /// The next thing the owner is to do.
    public mutating func pollEvent() -> GunRelayEvent? { events.popFirst() }

    /// When ``handleTimeout(now:wall:)`` is to be called at the latest.
    public var nextTimeout: Instant? {
        .earlier(
            .earlier(nextHeartbeat, deferred.nextDeadline), .earlier(flights.nextDeadline, ephemeral.nextDeadline))
    }

    /// Sends heartbeats, decides on writes whose time has come and forgets nodes whose time is over.
    public mutating func handleTimeout(now: Instant, wall: Double) {
        if let due = nextHeartbeat, due <= now {
            nextHeartbeat = now + configuration.heartbeat
            for link in links.keys.sorted() { enqueue(GunFrame.heartbeatBytes, for: link) }
        }
        while let put = deferred.popDue(now: now) {
            deferredBytes -= put.bytes
            // The link may have been closed and its number used again.
            if let state = links[put.link], state.deferredCount > 0 {
                links[put.link]?.deferredCount -= 1
                links[put.link]?.deferredBytes = max(state.deferredBytes - put.bytes, 0)
            }
            submit(put.unit, now: now, wall: wall)
        }
        while let flight = flights.popDue(now: now) { taken(flight, now: now) }
        while let soul = ephemeral.popDue(now: now) { expire(soul, now: now, wall: wall) }
        flush()
    }

    mutating func newID() -> MessageID { .random(using: &entropy) }

    mutating func send(_ message: GunMessage, to link: LinkID) { enqueue(message.serialized(), for: link) }

    mutating func enqueue(_ frame: [UInt8], for link: LinkID) {
        switch links[link]?.append(frame, limit: configuration.queuedBytesPerLink) {
        case .becameReady:
            ready.append(link)
            queuedBytes += frame.count
        case .tooMuch: close(link, .slowReader)
        case .done: queuedBytes += frame.count
        case nil: break
        }
        // Readers that are slow together must not take what the others need.
        while queuedBytes > configuration.queuedBytes,
            let slowest = links.max(by: { ($0.value.queuedBytes, $0.key) < ($1.value.queuedBytes, $1.key) })
        {
            close(slowest.key, .slowReader)
        }
    }
}

/// An answer, by what it answers and what is in it.
struct PassedAnswer: Hashable, Sendable {
    var answered: MessageID
    var hash: Int32
}
