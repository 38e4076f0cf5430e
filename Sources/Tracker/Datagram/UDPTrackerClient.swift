public import Magnet
public import SwarmBase

/// What an announcing client tells its owner.
public enum AnnounceEvent: Hashable, Sendable {
    /// The tracker answered.
    case announced(AnnounceReply)
    /// It did not, or refused; it is asked again later.
    case failed(String)
}

/// Announces one swarm to one UDP tracker (BEP 15), over the node's shared socket, without IO.
///
/// After every call drain ``pollTransmit()``, then ``pollEvent()``, then re-read ``nextTimeout``.
public struct UDPTrackerClient: Sendable {
    /// BEP 15: a client may use a connection id for one minute.
    static let connectionLifetime: Duration = .seconds(60)

    private enum Exchange {
        case connecting
        case announcing
    }

    /// Where the tracker is.
    public let address: TransportAddress
    private let infoHash: InfoHash
    private let peerID: TrackerPeerID
    private let key: UInt32
    /// The UDP port that is announced; 0 until it is known.
    public var port: UInt16
    private var entropy: Entropy
    private var schedule: AnnounceSchedule
    private var connection: (id: UInt64, until: Instant)?
    private var request: (exchange: Exchange, sent: UDPTrackerRequest)?
    private var event = Announce.Event.started
    private var transmits = FIFO<Transmit>()
    private var events = FIFO<AnnounceEvent>()

    public init(address: TransportAddress, infoHash: InfoHash, port: UInt16, entropy: Entropy, now: Instant) {
        var entropy = entropy
        self.address = address
        self.infoHash = infoHash
        self.port = port
        peerID = .random(prefix: "-SS0100-", using: &entropy)
        key = UInt32(truncatingIfNeeded: entropy.next())
        self.entropy = entropy
        schedule = AnnounceSchedule(now: now)
    }

    /// The next moment at which ``handleTimeout(now:)`` has something to do.
    public var nextTimeout: Instant? { request?.sent.due ?? (port == 0 ? nil : schedule.nextAt) }

    /// The next datagram for the shared socket.
    public mutating func pollTransmit() -> Transmit? { transmits.popFirst() }

    /// The next thing that happened.
    public mutating func pollEvent() -> AnnounceEvent? { events.popFirst() }

    /// Does what is due.
    public mutating func handleTimeout(now: Instant) {
        if var pending = request {
            guard now >= pending.sent.due else { return }
            guard pending.sent.repeats(now: now) else { return fail("it does not answer", now: now) }
            transmits.append(Transmit(to: address, payload: pending.sent.datagram))
            request = pending
        } else if let at = schedule.nextAt, now >= at, port != 0 {
            schedule.began()
            begin(now: now)
        }
    }

    /// Takes a datagram.
    ///
    /// - Returns: whether it was an answer of this tracker that was awaited.
    public mutating func handle(_ datagram: [UInt8], from source: TransportAddress, now: Instant) -> Bool {
        guard source == address, let pending = request,
            let (transaction, reply) = UDPTrackerMessage.parse(datagram, isIPv6: address.address.isIPv6),
            transaction == pending.sent.transaction
        else { return false }
        switch (pending.exchange, reply) {
        case (.connecting, .connected(let id)):
            connection = (id, now + Self.connectionLifetime)
            announce(now: now)
        case (.announcing, .announced(let reply)):
            request = nil
            event = .none
            let isFound = reply.peers.contains { $0.port != port }
            schedule.succeeded(reply, found: isFound, now: now, entropy: &entropy)
            events.append(.announced(reply))
        case (_, .error(let text)):
            connection = nil
            fail(text, now: now)
        default:
            return false
        }
        return true
    }

    /// Our address has changed, or somebody is missed: announces at once.
    public mutating func hurry(now: Instant) { schedule.hurry(now: now) }

    /// Says that we leave, if the tracker knows of us and would listen without being asked first.
    public mutating func stop(now: Instant) {
        request = nil
        guard event != .started, let connection, now < connection.until else { return }
        event = .stopped
        let transaction = UInt32(truncatingIfNeeded: entropy.next())
        let datagram = UDPTrackerMessage.announce(message, connection: connection.id, transaction: transaction)
        transmits.append(Transmit(to: address, payload: datagram))
    }

    private var message: Announce {
        Announce(
            infoHash: infoHash, peerID: peerID, port: port, event: event, key: key,
            numberWanted: event == .stopped ? 0 : 50)
    }

    private mutating func begin(now: Instant) {
        if let connection, now < connection.until { return announce(now: now) }
        let transaction = UInt32(truncatingIfNeeded: entropy.next())
        send(.connecting, UDPTrackerMessage.connect(transaction: transaction), transaction, now: now)
    }

    private mutating func announce(now: Instant) {
        guard let connection else { return }
        let transaction = UInt32(truncatingIfNeeded: entropy.next())
        let datagram = UDPTrackerMessage.announce(message, connection: connection.id, transaction: transaction)
        send(.announcing, datagram, transaction, now: now)
    }

    private mutating func send(_ exchange: Exchange, _ datagram: [UInt8], _ transaction: UInt32, now: Instant) {
        request = (exchange, UDPTrackerRequest(datagram, transaction: transaction, now: now))
        transmits.append(Transmit(to: address, payload: datagram))
    }

    private mutating func fail(_ reason: String, now: Instant) {
        request = nil
        connection = nil
        schedule.failed(now: now, entropy: &entropy)
        events.append(.failed(reason))
    }
}
