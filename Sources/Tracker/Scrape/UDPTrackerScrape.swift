public import Magnet
public import SwarmBase

/// Asks one UDP tracker how many it knows in a swarm (BEP 15), without IO. It is done once ``result`` is there.
///
/// After every call drain ``pollTransmit()``, then re-read ``nextTimeout``.
public struct UDPTrackerScrape: Sendable {
    /// Where the tracker is.
    public let address: TransportAddress
    private let infoHash: InfoHash
    private var entropy: Entropy
    private var isConnecting = true
    private var transaction: UInt32 = 0
    private var datagram: [UInt8] = []
    private var sends = 0
    private var due: Instant?
    private var transmits = FIFO<Transmit>()
    /// What came of it; `nil` while it is under way.
    public private(set) var result: Result<ScrapeReply, AnnounceError>?

    public init(address: TransportAddress, infoHash: InfoHash, entropy: Entropy, now: Instant) {
        self.address = address
        self.infoHash = infoHash
        self.entropy = entropy
        let number = UInt32(truncatingIfNeeded: self.entropy.next())
        send(UDPTrackerMessage.connect(transaction: number), number, now: now)
    }

    /// The next moment at which ``handleTimeout(now:)`` has something to do.
    public var nextTimeout: Instant? { result == nil ? due : nil }

    /// The next datagram.
    public mutating func pollTransmit() -> Transmit? { transmits.popFirst() }

    /// Asks again, as often and as late as ``UDPTrackerClient`` does.
    public mutating func handleTimeout(now: Instant) {
        guard result == nil, let at = due, now >= at else { return }
        guard sends < UDPTrackerClient.retransmissions.count else {
            result = .failure(.refused("it does not answer"))
            return
        }
        repeatRequest(now: now)
    }

    /// Takes a datagram; what is no answer of this tracker's is passed over.
    public mutating func handle(_ bytes: [UInt8], from source: TransportAddress, now: Instant) {
        guard result == nil, source == address,
            let (number, reply) = UDPTrackerMessage.parse(bytes, isIPv6: address.address.isIPv6),
            number == transaction
        else { return }
        switch (isConnecting, reply) {
        case (true, .connected(let connection)):
            isConnecting = false
            let number = UInt32(truncatingIfNeeded: entropy.next())
            send(
                UDPTrackerMessage.scrape([infoHash], connection: connection, transaction: number), number, now: now)
        case (false, .scraped(let replies)):
            result = replies.first.map { .success($0) } ?? .failure(.malformed)
        case (_, .error(let text)):
            result = .failure(.refused(text))
        default: return
        }
    }

    private mutating func send(_ datagram: [UInt8], _ transaction: UInt32, now: Instant) {
        self.datagram = datagram
        self.transaction = transaction
        sends = 0
        repeatRequest(now: now)
    }

    private mutating func repeatRequest(now: Instant) {
        transmits.append(Transmit(to: address, payload: datagram))
        due = now + UDPTrackerClient.retransmissions[sends]
        sends += 1
    }
}
