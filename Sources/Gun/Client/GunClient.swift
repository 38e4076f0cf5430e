public import SwarmBase
import JSON

/// A GUN peer that writes and listens through any number of relays at once.
///
/// Sans-IO. After any call the owner drains ``pollTransmit()``, then ``pollEvent()``, then re-reads ``nextTimeout``.
/// Frames are WebSocket text frames; `wall` is milliseconds since 1970.
///
/// Puts go out on every open link at once. A durable one is kept until a relay has it: it is sent again after a
/// reconnect, and after a silence, then with a query that reads it back, for relays do not acknowledge what they knew
/// already. Silence is never taken for failure. Subscriptions are renewed on every link that opens. Everything that
/// comes in goes through conflict resolution, so an event is given once for each write that won.
public struct GunClient: Sendable {
    /// The bounds it was made with.
    public let configuration: GunClientConfiguration
    /// What it has done so far.
    public internal(set) var counters = GunClientCounters()

    /// What one of our messages was for.
    enum Sent: Sendable {
        /// The links that have answered a put that is not kept.
        case put(PutID, answeredBy: Set<LinkID>)
        case query(Soul, Key?)
        case verification(PutID, RecordAddress)
    }

    struct Link: Sendable {
        let kind: GunLinkKind
        var pid: JSONText?
        var answers: TokenBucket
        var answerBytes: TokenBucket
        /// Of a member: how many queries it may send.
        var queries: TokenBucket
        /// Of a member: whom it says it is connected to.
        var neighbours: Set<JSONText> = []
        /// Of a member: what it is still to be given.
        var queue = MemberQueue()
        var isWritable = true
        /// Of a relay: what it may lack.
        var repairs: [Soul: Repair] = [:]
    }

    struct Subscription: Sendable {
        var isNode = false
        var keys: Set<Key> = []
        /// Who may be asked.
        var audience = GunAudience.relays
        /// The links that have been asked and have not answered; for the node under `nil`.
        var asked: [Key?: Set<LinkID>] = [:]

        func wants(_ key: Key) -> Bool { isNode || keys.contains(key) }
    }

    /// What is to be looked at again after a while.
    enum Check: Sendable {
        case put(PutID, LinkID)
        case query(Soul, Key?, LinkID, attempts: Int)
        case repair(LinkID, Soul)
        case neighbours
    }

    var entropy: Entropy
    let pid: JSONText
    var links: [LinkID: Link] = [:]
    var memory: GraphMemory
    var subscriptions: [Soul: Subscription] = [:]
    var outbox = Outbox()
    var sent: RecentTable<MessageID, Sent>
    var heardQueries: RecentTable<MessageID, Bool>
    var checks = DeadlineQueue<Check>()
    var deferred = DeadlineQueue<GunRecord>()
    var deferredRecords: Set<GunRecord> = []
    var deferredBytes = 0
    var events = FIFO<GunClientEvent>()
    /// The souls that everybody may have.
    var shared: Set<Soul> = []
    /// Which members follow what.
    var followers = SubscriptionTable()
    /// The members whose queues are not empty.
    var pushing: Set<LinkID> = []
    /// When members are told whom else we are connected to.
    var tellNeighboursAt: Instant?
    /// A link has closed since the neighbours were told.
    var hasLostLink = false
    var storage = FIFO<GunStorageChange>()
    private var output = FIFO<(LinkID, [UInt8])>()
    private var nextPut: UInt64 = 0

    public init(configuration: GunClientConfiguration = GunClientConfiguration(), entropy: Entropy) {
        self.configuration = configuration
        self.entropy = entropy
        pid = MessageID.random(using: &self.entropy).text
        memory = GraphMemory(budget: configuration.memoryBytes)
        sent = RecentTable(capacity: configuration.sentMessages, lifetime: configuration.sentLifetime)
        heardQueries = RecentTable(capacity: configuration.sentMessages, lifetime: .seconds(30))
    }

    // MARK: State

    /// What we hold of a key.
    public func entry(_ soul: Soul, _ key: Key) -> GunEntry? { memory.entry(soul, key) }

    /// What we hold of a node; `nil` when nothing.
    public func node(_ soul: Soul) -> GunNode? {
        memory.nodes[soul].flatMap { $0.node.entries.isEmpty ? nil : $0.node }
    }

    /// The links that are open.
    public var openLinks: [LinkID] { links.keys.sorted() }

    /// How many durable puts are kept.
    public var outboxCount: Int { outbox.entries.count }

    /// How many durable puts no link has acknowledged yet.
    public var unacknowledgedCount: Int { outbox.entries.values.count { $0.acknowledgedAt == nil } }

    // MARK: Links

    /// A relay or a member is connected: it is asked for everything we are subscribed to, a relay is given the puts it may
    /// lack.
    ///
    /// A link may open again under the number it had; what it acknowledged before counts.
    public mutating func linkOpened(_ link: LinkID, kind: GunLinkKind = .relay, now: Instant) {
        guard links[link] == nil else { return }
        let queryBurst = Double(configuration.followedByMember)
        links[link] = Link(
            kind: kind,
            answers: TokenBucket(
                rate: configuration.answersPerSecond, burst: configuration.answersPerSecond, now: now),
            answerBytes: TokenBucket(
                rate: configuration.answerBytesPerSecond, burst: configuration.answerBytesPerSecond, now: now),
            queries: TokenBucket(rate: configuration.queriesPerSecond, burst: queryBurst, now: now))
        neighboursChanged(now: now)
        if kind == .member { greet(link) }
        var messages = allQueries(on: link, now: now)
        for id in kind == .relay ? outbox.entries.keys.sorted() : [] {
            guard let entry = outbox[id] else { continue }
            if case .acknowledged = entry.deliveries[link] { continue }
            if case .refused = entry.deliveries[link] { continue }
            messages.append(firstAttempt(id, entry.graph, on: link, now: now))
        }
        sendBatched(messages, to: link)
    }

    /// The queries for everything that we follow.
    mutating func allQueries(on link: LinkID, now: Instant) -> [GunMessage] {
        var messages: [GunMessage] = []
        for soul in subscriptions.keys.sorted() { messages += queries(soul, on: link, now: now) }
        return messages
    }

    /// The connection is gone.
    public mutating func linkClosed(_ link: LinkID, now: Instant) {
        guard links.removeValue(forKey: link) != nil else { return }
        outbox.linkClosed(link)
        followers.removeAll(link)
        pushing.remove(link)
        hasLostLink = true
        neighboursChanged(now: now)
        for soul in subscriptions.keys {
            for key in subscriptions[soul]?.asked.keys.map({ $0 }) ?? [] {
                subscriptions[soul]?.asked[key]?.remove(link)
            }
        }
        // Checks of a link that is gone are recognised when they are due.
    }

    // MARK: Writing

    /// Writes keys of one node.
    ///
    /// The local graph takes the values that win over what it holds; what does not win is not sent. Our own writes give
    /// no ``GunClientEvent/changed(_:_:_:state:)``.
    ///
    /// - Parameters:
    ///   - state: the writer's clock in milliseconds since 1970, finite: see ``StateClock``.
    ///   - durable: whether to keep and repeat it until a relay has it. A put of the same key takes its place.
    ///   - audience: who may have the soul from now on.
    @discardableResult
    public mutating func put(
        _ soul: Soul, _ values: [(Key, GunValue)], state: Double, durable: Bool, audience: GunAudience = .relays,
        now: Instant
    ) -> PutID {
        precondition(state.isFinite, "a state is a finite number")
        let id = newPut()
        if audience == .everybody { shared.insert(soul) }
        memory.hold(soul, isComplete: false)
        var records: [RecordAddress: GunRecord] = [:]
        for (key, value) in values {
            let record = GunRecord(soul: soul, key: key, value: value, state: state)
            if memory.merge(record) { records[record.address] = record }
        }
        let accepted = records.values.sorted { $0.key < $1.key }
        guard !accepted.isEmpty else {
            events.append(.superseded(id))
            return id
        }
        for record in accepted {
            supersede(record.address)
            keep(record, isPending: durable)
            forward(record.address, from: nil, now: now)
        }
        let graph = GunGraph(accepted)
        if durable { outbox.add(id, accepted) }
        let message = newID()
        sent.remember(message, .put(id, answeredBy: []), now: now)
        let frame = GunMessage.put(message, graph).serialized()
        for link in openLinks where links[link]?.kind == .relay {
            transmit(frame, to: link)
            if durable { expectAcknowledgement(of: id, on: link, attempts: 1, now: now) }
        }
        if durable { boundOutbox() }
        evict()
        return id
    }

    mutating func newPut() -> PutID {
        nextPut += 1
        return PutID(number: nextPut)
    }

    mutating func supersede(_ address: RecordAddress) {
        if let (id, wasAcknowledged) = outbox.supersede(address), !wasAcknowledged { events.append(.superseded(id)) }
    }

    mutating func boundOutbox() {
        while outbox.entries.count > configuration.outboxPuts || outbox.cost > configuration.outboxBytes,
            let oldest = outbox.oldestAcknowledged() ?? outbox.oldest()
        {
            if let entry = outbox[oldest], entry.acknowledgedAt == nil {
                events.append(.dropped(oldest))
                settle(entry.records)
            }
            outbox.remove(oldest)
        }
    }

    // MARK: Listening

    /// Listens to a node, or to one key of it.
    ///
    /// What is held already gives no event; ``node(_:)`` and ``entry(_:_:)`` show it.
    ///
    /// - Parameter audience: who is asked, and may have the soul from now on.
    public mutating func subscribe(
        _ soul: Soul, key: Key? = nil, audience: GunAudience = .relays, now: Instant
    ) {
        if audience == .everybody {
            shared.insert(soul)
            subscriptions[soul]?.audience = .everybody
        }
        let subscription = subscriptions[soul]
        if subscription?.isNode == true || key.map({ subscription?.keys.contains($0) == true }) == true { return }
        memory.hold(soul, isComplete: false)
        if let key {
            subscriptions[soul, default: Subscription(audience: audience)].keys.insert(key)
        } else {
            subscriptions[soul, default: Subscription(audience: audience)].isNode = true
        }
        ask(soul, key, now: now)
    }

    /// Asks every link again for what we are subscribed to at that soul: for relays that lost track of us.
    public mutating func refresh(_ soul: Soul, now: Instant) {
        for link in openLinks where links[link]?.kind == .relay {
            sendBatched(queries(soul, on: link, now: now), to: link)
        }
    }

    /// Stops listening. Relays have no word for that: they go on sending, and it is ignored.
    public mutating func unsubscribe(_ soul: Soul, key: Key? = nil, now: Instant) {
        if let key {
            subscriptions[soul]?.keys.remove(key)
            subscriptions[soul]?.asked[key] = nil
        } else {
            subscriptions[soul]?.isNode = false
            subscriptions[soul]?.asked[nil] = nil
        }
        if let rest = subscriptions[soul], !rest.isNode, rest.keys.isEmpty { subscriptions[soul] = nil }
    }

    /// Lets go of a node altogether: it is neither followed nor held nor kept any more, and what no relay has of it is given up.
    public mutating func forget(_ soul: Soul) {
        subscriptions[soul] = nil
        for (id, entry) in outbox.entries where entry.records.keys.allSatisfy({ $0.soul == soul }) { outbox.remove(id) }
        guard let node = memory.nodes[soul]?.node else { return }
        memory.forget(soul)
        forget(node)
    }

    private mutating func ask(_ soul: Soul, _ key: Key?, now: Instant) {
        guard !links.isEmpty else { return }
        let frame = query(soul, key, now: now).serialized()
        for link in openLinks where mayAsk(link, soul) {
            expectRepair(of: soul, on: link)
            expectAnswer(soul, key, from: link, attempts: 1, now: now)
            transmit(frame, to: link)
        }
    }

    /// The queries that renew a subscription on one link.
    private mutating func queries(_ soul: Soul, on link: LinkID, now: Instant) -> [GunMessage] {
        guard let subscription = subscriptions[soul], mayAsk(link, soul) else { return [] }
        if subscription.isNode { expectRepair(of: soul, on: link) }
        let keys: [Key?] = subscription.isNode ? [nil] : subscription.keys.sorted()
        return keys.map { key in
            expectAnswer(soul, key, from: link, attempts: 1, now: now)
            return query(soul, key, on: link, now: now)
        }
    }

    private func mayAsk(_ link: LinkID, _ soul: Soul) -> Bool {
        links[link]?.kind == .relay || subscriptions[soul]?.audience == .everybody
    }

    mutating func query(_ soul: Soul, _ key: Key?, on link: LinkID? = nil, now: Instant) -> GunMessage {
        let id = newID()
        sent.remember(id, .query(soul, key), now: now)
        let query = key.map { GunQuery.key(soul, $0) } ?? .node(soul)
        var message = GunMessage.get(id, query)
        // A member that has the same need not send it. Relays that have the same would not answer at all.
        if let link, links[link]?.kind == .member, let node = node(soul) {
            let held = query.select(from: node)
            if !held.isEmpty { message.hash = ContentHash.of(GunGraph(held)) }
        }
        return message
    }

    // MARK: Output

    /// The next frame to send.
    public mutating func pollTransmit() -> (LinkID, [UInt8])? {
        while let (link, frame) = output.popFirst() {
            guard links[link] != nil else { continue }
            counters.framesSent += 1
            return (link, frame)
        }
        guard let push = nextPush() else { return nil }
        counters.framesSent += 1
        return push
    }

    /// The next thing that happened.
    public mutating func pollEvent() -> GunClientEvent? { events.popFirst() }

    /// When ``handleTimeout(now:wall:)`` is to be called at the latest.
    public var nextTimeout: Instant? { .earlier(checks.nextDeadline, deferred.nextDeadline) }

    mutating func newID() -> MessageID { .random(using: &entropy) }

    mutating func transmit(_ frame: [UInt8], to link: LinkID) { output.append((link, frame)) }

    /// Sends messages in as few frames as their size allows.
    mutating func sendBatched(_ messages: [GunMessage], to link: LinkID) {
        let limit = links[link]?.kind == .member ? configuration.memberFrameBytes : configuration.frameBytes
        var batch: [[UInt8]] = []
        var bytes = 0
        for message in messages {
            let text = message.serialized()
            if !batch.isEmpty, bytes + text.count > limit {
                transmit(GunFrame.batch(batch), to: link)
                batch = []
                bytes = 0
            }
            batch.append(text)
            bytes += text.count
        }
        if !batch.isEmpty { transmit(GunFrame.batch(batch), to: link) }
    }

    mutating func evict() {
        guard memory.cost > configuration.memoryBytes else { return }
        var forgotten: [GunNode] = []
        memory.evict { soul, _ in
            subscriptions[soul] != nil || outbox.holds(soul)
        } forgetting: {
            forgotten.append($0)
        }
        for node in forgotten { forget(node) }
        for address in memory.trim() {
            counters.trimmedKeys += 1
            if configuration.isKept, shared.contains(address.soul) {
                storage.append(.forget(address.soul, address.key))
            }
        }
    }
}
