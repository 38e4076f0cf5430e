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
        guard links[link] != nil else { return }
        guard frame.count <= configuration.maximumMessageByteCount else {
            return close(link, .messageTooLarge, now: now)
        }
        guard mayReceive(on: link, now: now) else { return }
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
            for (_, link) in expired { links[link]?.swarms[infoHash] = nil }
            peerTotal -= expired.count
            counters.peersExpired += expired.count
            if swarms[infoHash]?.isEmpty ?? true { swarms[infoHash] = nil }
        }
        nextSweep = nil
        scheduleSweep(now: now)
    }

    // MARK: Limits

    private mutating func mayReceive(on link: TrackerLinkID, now: Instant) -> Bool {
        let isInTime = links[link]?.bucket.take(now: now) ?? false
        let dropped = max(0, (links[link]?.dropped ?? 0) + (isInTime ? -1 : 1))
        links[link]?.dropped = dropped
        if isInTime { return true }
        counters.messagesRateLimited += 1
        if dropped > configuration.droppedMessages { close(link, .flooding, now: now) }
        return false
    }

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
        guard swarms[infoHash]?.peers[peer] != nil else { return }
        swarms[infoHash]?.remove(peer)
        peerTotal -= 1
        if swarms[infoHash]?.isEmpty ?? false { swarms[infoHash] = nil }
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
        let known = swarms[infoHash]?.peers[peer]
        if let owner = known?.link, owner != link {
            counters.takeoversRefused += 1
            return fail(link, "peer_id is in use", "announce", infoHash, isMalformed: false, now: now)
        }
        if message.event == .stopped {
            if known != nil {
                links[link]?.swarms[infoHash] = nil
                removePeer(peer, from: infoHash)
            }
            return reply(to: message, of: infoHash, on: link)
        }
        guard admit(peer, to: infoHash, on: link) else {
            counters.peersRefused += 1
            return fail(link, "too many peers", "announce", infoHash, isMalformed: false, now: now)
        }
        // `left` of null is a peer that does not know yet: WebTorrent without metadata.
        let isComplete = message.event == .completed || message.isComplete
        swarms[infoHash, default: ServerSwarm()].announce(peer, on: link, isComplete: isComplete, now: now)
        if message.event == .completed, known?.isComplete != true { swarms[infoHash]?.downloaded += 1 }
        links[link]?.swarms[infoHash] = peer
        scheduleSweep(now: now)
        reply(to: message, of: infoHash, on: link)
        if !message.offers.isEmpty { forwardOffers(of: message, from: peer, in: infoHash, on: link, now: now) }
    }

    /// Whether a peer is in the swarm or there is room for it. A socket is one peer in a swarm: another id replaces.
    private mutating func admit(_ peer: TrackerPeerID, to infoHash: InfoHash, on link: TrackerLinkID) -> Bool {
        if swarms[infoHash]?.peers[peer] != nil { return true }
        if let former = links[link]?.swarms[infoHash] {
            links[link]?.swarms[infoHash] = nil
            removePeer(former, from: infoHash)
        }
        guard let joined = links[link]?.swarms.count else { return false }
        let count = swarms[infoHash]?.count ?? 0
        guard joined < configuration.swarmsPerLink, count < configuration.peersPerSwarm,
            peerTotal < configuration.maximumPeers
        else { return false }
        peerTotal += 1
        return true
    }

    private mutating func reply(to message: ClientMessage, of infoHash: InfoHash, on link: TrackerLinkID) {
        let swarm = swarms[infoHash]
        var frame = Self.beginning(of: message, capacity: 192)
        frame.append(contentsOf: #","interval":"#.utf8)
        frame.append(decimal: Int(configuration.interval.components.seconds))
        frame.append(contentsOf: #","complete":"#.utf8)
        frame.append(decimal: swarm?.complete ?? 0)
        frame.append(contentsOf: #","incomplete":"#.utf8)
        frame.append(decimal: swarm?.incomplete ?? 0)
        frame.append(UInt8(ascii: "}"))
        transmits.append((link, frame))
    }

    /// What every message of this swarm begins with. What came as JSON leaves as the same JSON.
    private static func beginning(of message: ClientMessage, capacity: Int) -> [UInt8] {
        var frame: [UInt8] = []
        frame.reserveCapacity(capacity)
        frame.append(contentsOf: #"{"action":"announce","info_hash":"#.utf8)
        frame.append(contentsOf: message.frame[message.infoHashPlace])
        return frame
    }

    /// One peer's offer or answer for another.
    private static func signal(
        _ kind: String, _ place: Range<Int>, id: Range<Int>, of message: ClientMessage
    ) -> [UInt8] {
        var frame = beginning(of: message, capacity: 256 + place.count)
        frame.append(contentsOf: #","peer_id":"#.utf8)
        frame.append(contentsOf: message.frame[message.peerIDPlace])
        frame.append(contentsOf: #","offer_id":"#.utf8)
        frame.append(contentsOf: message.frame[id])
        frame.append(contentsOf: ",\"".utf8)
        frame.append(contentsOf: kind.utf8)
        frame.append(contentsOf: "\":".utf8)
        frame.append(contentsOf: message.frame[place])
        frame.append(UInt8(ascii: "}"))
        return frame
    }

    /// Gives each offer to one peer, drawn at random.
    private mutating func forwardOffers(
        of message: ClientMessage, from peer: TrackerPeerID, in infoHash: InfoHash, on link: TrackerLinkID, now: Instant
    ) {
        let oldestOffer = now - configuration.answerWindow
        let receivers =
            swarms[infoHash]?.draw(message.offers.count, using: &entropy) { id, receiver in
                guard id != peer, receiver.link != link, let other = links[receiver.link] else { return false }
                let isOwing =
                    receiver.delivered.count >= configuration.undeliveredAnswersPerPeer
                    && receiver.delivered.count { $0.at >= oldestOffer } >= configuration.undeliveredAnswersPerPeer
                return other.backlog <= configuration.busyBacklog && !isOwing
            } ?? []
        for (offer, receiver) in zip(message.offers, receivers) {
            guard let other = swarms[infoHash]?.peers[receiver]?.link else { continue }
            swarms[infoHash]?.deliver(
                ServerSwarm.Delivered(offerer: peer, link: link, offerID: offer.id, at: now), to: receiver,
                limit: configuration.undeliveredAnswersPerPeer)
            transmits.append((other, Self.signal("offer", offer.place, id: offer.idPlace, of: message)))
            counters.offersForwarded += 1
        }
    }

    /// Gives an answer to the peer whose offer it answers. There is no reply, also when there is nobody to give it to.
    private mutating func forward(
        _ answer: Range<Int>, of message: ClientMessage, from peer: TrackerPeerID, in infoHash: InfoHash,
        on link: TrackerLinkID, now: Instant
    ) {
        guard swarms[infoHash]?.peers[peer]?.link == link, let offerer = message.toPeerID,
            let offerID = message.offerID, message.isAnswerWhole,
            let delivered = swarms[infoHash]?.takeDelivered(
                to: peer, from: offerer, offerID, window: configuration.answerWindow, now: now),
            swarms[infoHash]?.peers[offerer]?.link == delivered.link
        else {
            counters.answersRefused += 1
            return
        }
        transmits.append((delivered.link, Self.signal("answer", answer, id: message.offerIDPlace, of: message)))
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

extension [UInt8] {
    fileprivate mutating func append(decimal number: Int) { append(contentsOf: String(number).utf8) }
}
