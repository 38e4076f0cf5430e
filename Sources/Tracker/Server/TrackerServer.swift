import JSON
import Magnet
public import SwarmBase

/// Why a ``TrackerServer`` wants a socket closed.
public enum TrackerCloseReason: Hashable, Sendable {
    /// A message above the limit.
    case messageTooLarge
    /// Too many messages that are not of the protocol.
    case protocolViolation
    /// Too many messages.
    case flooding
    /// It does not read what it is sent.
    case slowReader
}

/// What a ``TrackerServer`` tells its owner.
public enum TrackerServerEvent: Equatable, Sendable {
    /// Close this socket; the server has forgotten it already.
    case close(TrackerLinkID, TrackerCloseReason)
}

/// The server's half of the WebTorrent tracker protocol, without IO: it brings offers to random peers of a swarm and
/// answers back, and keeps nothing else.
///
/// A peer belongs to the socket it announced on, and nobody else can speak for it; an answer is delivered only from the
/// peer that was given the offer, to the socket that made it, once, within ``TrackerServerConfiguration/answerWindow``.
/// The owner reassembles fragments, answers and sends WebSocket pings (one each 30…60 s, closing after two without a
/// pong), and reports what a slow reader leaves unread by ``noteBacklog(_:of:now:)``. After every call drain
/// ``pollTransmit()``, then ``pollEvent()``, then re-read ``nextTimeout``.
public struct TrackerServer: Sendable {
    struct Link: Sendable {
        var addressKey: AddressKey?
        var bucket: TokenBucket
        var backlog = 0
        var dropped = 0
        var malformed = 0
        /// The peer this socket is in each swarm.
        var swarms: [InfoHash: TrackerPeerID] = [:]

        /// Counts a message; of too many in too short a time it is one to drop.
        mutating func mayReceive(now: Instant) -> Bool {
            let isInTime = bucket.take(now: now)
            dropped = max(0, dropped + (isInTime ? -1 : 1))
            return isInTime
        }
    }

    /// What the limit of sockets counts by: an IPv4 address or an IPv6 /64.
    enum AddressKey: Hashable, Sendable {
        case v4(UInt32)
        case v6(UInt64)

        init(_ address: IPAddress) {
            switch address {
            case .v4(let value): self = .v4(value)
            case .v6(let high, _): self = .v6(high)
            }
        }
    }

    /// Counts since the beginning.
    public struct Counters: Equatable, Sendable {
        public var announces = 0
        public var scrapes = 0
        public var offersForwarded = 0
        public var answersForwarded = 0
        /// Answers to offers that were not given to that peer, are too old or were answered.
        public var answersRefused = 0
        /// Announces for a peer that belongs to another socket.
        public var takeoversRefused = 0
        /// Newcomers for whom there was no room.
        public var peersRefused = 0
        public var linksRefused = 0
        public var peersExpired = 0
        public var messagesMalformed = 0
        public var messagesRateLimited = 0
        public var linksClosed = 0
    }

    let configuration: TrackerServerConfiguration
    private var entropy: Entropy
    /// Who gets an offer is drawn with this, which is drawn anew at each sweep: the system's own numbers take a system call each.
    private var draws: Entropy
    private var links: [TrackerLinkID: Link] = [:]
    private var linksByAddress: [AddressKey: Int] = [:]
    private var swarms: [InfoHash: ServerSwarm] = [:]
    private var peerTotal = 0
    private var nextSweep: Instant?
    private var transmits = FIFO<(TrackerLinkID, [UInt8])>()
    private var events = FIFO<TrackerServerEvent>()
    public private(set) var counters = Counters()

    public init(configuration: TrackerServerConfiguration = .init(), entropy: Entropy) {
        self.configuration = configuration
        var entropy = entropy
        draws = .seed(entropy.next())
        self.entropy = entropy
    }

    // MARK: Getters

    /// How many sockets are served.
    public var linkCount: Int { links.count }
    /// How many swarms have peers.
    public var swarmCount: Int { swarms.count }
    /// How many peers there are in all swarms.
    public var peerCount: Int { peerTotal }

    /// The next moment at which ``handleTimeout(now:)`` has something to do; `nil` while there is no peer.
    public var nextTimeout: Instant? { nextSweep }

    /// The next text frame and the socket it is for.
    public mutating func pollTransmit() -> (link: TrackerLinkID, frame: [UInt8])? { transmits.popFirst() }

    /// The next event.
    public mutating func pollEvent() -> TrackerServerEvent? { events.popFirst() }

    // MARK: Input

    /// A socket is open.
    ///
    /// - Parameter address: whose socket; `nil` exempts it from the limit per address (tests, Unix sockets).
    /// - Returns: false when there is no room: close it at once.
    public mutating func linkOpened(_ link: TrackerLinkID, from address: IPAddress?, now: Instant) -> Bool {
        let key = address.map(AddressKey.init)
        let siblings = key.map { linksByAddress[$0] ?? 0 } ?? 0
        guard links[link] == nil, links.count < configuration.maximumLinks, siblings < configuration.linksPerAddress
        else {
            counters.linksRefused += 1
            return false
        }
        if let key { linksByAddress[key] = siblings + 1 }
        let bucket = TokenBucket(
            rate: Double(configuration.messagesPerSecond), burst: Double(configuration.messageBurst), now: now)
        links[link] = Link(addressKey: key, bucket: bucket)
        return true
    }

    /// A socket has closed: its peers leave all swarms at once.
    public mutating func linkClosed(_ link: TrackerLinkID, now: Instant) {
        guard let closed = links.removeValue(forKey: link) else { return }
        if let key = closed.addressKey, let count = linksByAddress[key] {
            linksByAddress[key] = count > 1 ? count - 1 : nil
        }
        for (infoHash, peer) in closed.swarms { removePeer(peer, from: infoHash) }
    }

    /// So many bytes wait to be written to a socket.
    public mutating func noteBacklog(_ byteCount: Int, of link: TrackerLinkID, now: Instant) {
        links[link]?.backlog = byteCount
        if byteCount > configuration.maximumBacklog { close(link, .slowReader, now: now) }
    }

    /// A text or binary message came in, reassembled.
    public mutating func receive(_ frame: [UInt8], on link: TrackerLinkID, now: Instant) {
        guard let place = links.index(forKey: link) else { return }
        guard frame.count <= configuration.maximumMessageByteCount else {
            return close(link, .messageTooLarge, now: now)
        }
        guard links.values[place].mayReceive(now: now) else {
            counters.messagesRateLimited += 1
            if links.values[place].dropped > configuration.droppedMessages { close(link, .flooding, now: now) }
            return
        }
        guard
            let message = ClientMessage(
                frame, maximumByteCount: configuration.maximumMessageByteCount,
                maximumOffers: configuration.offersPerAnnounce, maximumHashes: configuration.scrapeHashes)
        else { return fail(link, "invalid message", nil, nil, now: now) }
        switch message.action {
        case .announce: announce(message, on: link, now: now)
        case .scrape: scrape(message, on: link, now: now)
        case .other: fail(link, "invalid action", nil, message.infoHash, now: now)
        }
    }

    /// Forgets what is too old.
    public mutating func handleTimeout(now: Instant) {
        guard let due = nextSweep, now >= due else { return }
        let oldest = now - configuration.expiry
        let oldestOffer = now - configuration.answerWindow
        for infoHash in Array(swarms.keys) {
            let expired = swarms[infoHash]?.expire(oldest: oldest, oldestOffer: oldestOffer) ?? []
            for peer in expired { links[peer.link]?.swarms[infoHash] = nil }
            peerTotal -= expired.count
            counters.peersExpired += expired.count
            if swarms[infoHash]?.isEmpty ?? true { swarms[infoHash] = nil }
        }
        draws = .seed(entropy.next())
        nextSweep = nil
        scheduleSweep(now: now)
    }

    // MARK: Limits

    private mutating func close(_ link: TrackerLinkID, _ reason: TrackerCloseReason, now: Instant) {
        guard links[link] != nil else { return }
        counters.linksClosed += 1
        linkClosed(link, now: now)
        transmits.removeAll { $0.0 == link }
        events.append(.close(link, reason))
    }

    private mutating func scheduleSweep(now: Instant) {
        guard nextSweep == nil, !swarms.isEmpty else { return }
        nextSweep = now + .nanoseconds(max(1_000_000, configuration.interval.nanosecondsClamped / 4))
    }

    private mutating func removePeer(_ peer: TrackerPeerID, from infoHash: InfoHash) {
        guard let index = swarms.index(forKey: infoHash), swarms.values[index].remove(peer) else { return }
        peerTotal -= 1
        if swarms.values[index].isEmpty { swarms.remove(at: index) }
    }

    // MARK: Messages

    private mutating func send(_ message: JSONObject, to link: TrackerLinkID) {
        transmits.append((link, JSONValue.object(message).serialized()))
    }

    /// Answers what is not of the protocol, with everything that tells the client which message is meant.
    private mutating func fail(
        _ link: TrackerLinkID, _ reason: String, _ action: JSONText?, _ infoHash: InfoHash?, isMalformed: Bool = true,
        now: Instant
    ) {
        if isMalformed {
            counters.messagesMalformed += 1
            links[link]?.malformed += 1
            if let malformed = links[link]?.malformed, malformed > configuration.malformedMessages {
                return close(link, .protocolViolation, now: now)
            }
        }
        var message: JSONObject = ["failure reason": .string(reason)]
        if let action { message["action"] = .text(action) }
        if let infoHash { message["info_hash"] = .bytes(infoHash.bytes) }
        send(message, to: link)
    }

    private mutating func announce(_ message: ClientMessage, on link: TrackerLinkID, now: Instant) {
        guard let infoHash = message.infoHash else { return fail(link, "invalid info_hash", "announce", nil, now: now) }
        guard let peer = message.peerID else { return fail(link, "invalid peer_id", "announce", infoHash, now: now) }
        if let answer = message.answerPlace {
            return forward(answer, of: message, from: peer, in: infoHash, on: link, now: now)
        }
        counters.announces += 1
        var swarm = swarms.index(forKey: infoHash)
        let known = swarm.flatMap { swarms.values[$0].place(of: peer) }
        if let swarm, let known, swarms.values[swarm].peers[known].link != link {
            counters.takeoversRefused += 1
            return fail(link, "peer_id is in use", "announce", infoHash, isMalformed: false, now: now)
        }
        let frames = ServerFrames(for: message)
        if message.event == .stopped {
            if known != nil {
                links[link]?.swarms[infoHash] = nil
                removePeer(peer, from: infoHash)
            }
            return reply(frames, of: swarms.index(forKey: infoHash), on: link)
        }
        // `left` of null is a peer that does not know yet: WebTorrent without metadata.
        let isComplete = message.event == .completed || message.isComplete
        let place: Int
        if let swarm, let known {
            if message.event == .completed, !swarms.values[swarm].peers[known].isComplete {
                swarms.values[swarm].downloaded += 1
            }
            swarms.values[swarm].refresh(known, isComplete: isComplete, now: now)
            place = known
        } else {
            guard admit(to: infoHash, on: link) else {
                counters.peersRefused += 1
                return fail(link, "too many peers", "announce", infoHash, isMalformed: false, now: now)
            }
            peerTotal += 1
            links[link]?.swarms[infoHash] = peer
            place = swarms[infoHash, default: ServerSwarm()].add(peer, on: link, isComplete: isComplete, now: now)
            if message.event == .completed { swarms[infoHash]?.downloaded += 1 }
            swarm = swarms.index(forKey: infoHash)
        }
        scheduleSweep(now: now)
        reply(frames, of: swarm, on: link)
        guard let swarm, !message.offers.isEmpty else { return }
        forwardOffers(of: message, frames, from: place, in: swarm, on: link, now: now)
    }

    /// Whether there is room for a newcomer. A socket is one peer in a swarm: another id replaces.
    private mutating func admit(to infoHash: InfoHash, on link: TrackerLinkID) -> Bool {
        if let former = links[link]?.swarms.removeValue(forKey: infoHash) { removePeer(former, from: infoHash) }
        guard let joined = links[link]?.swarms.count else { return false }
        return joined < configuration.swarmsPerLink && (swarms[infoHash]?.count ?? 0) < configuration.peersPerSwarm
            && peerTotal < configuration.maximumPeers
    }

    private mutating func reply(
        _ frames: ServerFrames, of swarm: Dictionary<InfoHash, ServerSwarm>.Index?, on link: TrackerLinkID
    ) {
        let (complete, incomplete) = swarm.map { (swarms.values[$0].complete, swarms.values[$0].incomplete) } ?? (0, 0)
        let interval = configuration.interval.components.seconds
        transmits.append((link, frames.reply(interval: interval, complete: complete, incomplete: incomplete)))
    }

    /// Gives each offer to one peer, drawn at random.
    private mutating func forwardOffers(
        of message: ClientMessage, _ frames: ServerFrames, from place: Int,
        in swarm: Dictionary<InfoHash, ServerSwarm>.Index, on link: TrackerLinkID, now: Instant
    ) {
        let oldestOffer = now - configuration.answerWindow
        let mostOwed = configuration.undeliveredAnswersPerPeer
        var stream = draws
        defer { draws = stream }
        let receivers = swarms.values[swarm].draw(message.offers.count, besides: place, using: &stream) { receiver in
            guard receiver.link != link, let other = links.index(forKey: receiver.link) else { return false }
            let isOwing =
                receiver.delivered.count >= mostOwed
                && receiver.delivered.count { $0.at >= oldestOffer } >= mostOwed
            return links.values[other].backlog <= configuration.busyBacklog && !isOwing
        }
        let offerer = swarms.values[swarm].peers[place].id
        for (offer, receiver) in zip(message.offers, receivers) {
            swarms.values[swarm].deliver(
                ServerSwarm.Delivered(offerer: offerer, link: link, offerID: offer.id, at: now), to: receiver,
                limit: mostOwed)
            let other = swarms.values[swarm].peers[receiver].link
            transmits.append((other, frames.signal("offer", offer.place, id: offer.idPlace)))
            counters.offersForwarded += 1
        }
    }

    /// Gives an answer to the peer whose offer it answers. There is no reply, also when there is nobody to give it to.
    private mutating func forward(
        _ answer: Range<Int>, of message: ClientMessage, from peer: TrackerPeerID, in infoHash: InfoHash,
        on link: TrackerLinkID, now: Instant
    ) {
        guard let swarm = swarms.index(forKey: infoHash), let place = swarms.values[swarm].place(of: peer),
            swarms.values[swarm].peers[place].link == link, let offerer = message.toPeerID,
            let offerID = message.offerID, message.isAnswerWhole,
            let delivered = swarms.values[swarm].takeDelivered(
                to: place, from: offerer, offerID, window: configuration.answerWindow, now: now),
            let receiver = swarms.values[swarm].place(of: offerer),
            swarms.values[swarm].peers[receiver].link == delivered.link
        else {
            counters.answersRefused += 1
            return
        }
        let frame = ServerFrames(for: message).signal("answer", answer, id: message.offerIDPlace)
        transmits.append((delivered.link, frame))
        counters.answersForwarded += 1
    }

    private mutating func scrape(_ message: ClientMessage, on link: TrackerLinkID, now: Instant) {
        counters.scrapes += 1
        guard let hashes = message.scraped else {
            return fail(link, "full scrapes are not allowed", "scrape", nil, isMalformed: false, now: now)
        }
        guard !hashes.isEmpty else { return fail(link, "invalid info_hash", "scrape", nil, now: now) }
        var files = JSONObject()
        for hash in hashes {
            let swarm = swarms[hash]
            files[JSONText(latin1: hash.bytes)] = [
                "complete": .integer(swarm?.complete ?? 0), "incomplete": .integer(swarm?.incomplete ?? 0),
                // Who is complete has downloaded, whether or not the tracker was told when.
                "downloaded": .integer(max(swarm?.downloaded ?? 0, swarm?.complete ?? 0)),
            ]
        }
        send(
            [
                "action": "scrape", "files": .object(files),
                "flags": ["min_request_interval": .integer(Int(configuration.interval.components.seconds))],
            ], to: link)
    }
}
