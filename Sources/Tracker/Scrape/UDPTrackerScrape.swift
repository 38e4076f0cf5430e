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
    private var request: UDPTrackerRequest
    private var transmits = FIFO<Transmit>()
    /// What came of it; `nil` while it is under way.
    public private(set) var result: Result<ScrapeReply, AnnounceError>?

    public init(address: TransportAddress, infoHash: InfoHash, entropy: Entropy, now: Instant) {
        self.address = address
        self.infoHash = infoHash
        var entropy = entropy
        let number = UInt32(truncatingIfNeeded: entropy.next())
        self.entropy = entropy
        request = UDPTrackerRequest(UDPTrackerMessage.connect(transaction: number), transaction: number, now: now)
        transmits.append(Transmit(to: address, payload: request.datagram))
    }

    /// The next moment at which ``handleTimeout(now:)`` has something to do.
    public var nextTimeout: Instant? { result == nil ? request.due : nil }

    /// The next datagram.
    public mutating func pollTransmit() -> Transmit? { transmits.popFirst() }

    /// Asks again, as often and as late as ``UDPTrackerClient`` does.
    public mutating func handleTimeout(now: Instant) {
        guard result == nil, now >= request.due else { return }
        guard request.repeats(now: now) else {
            result = .failure(.refused("it does not answer"))
            return
        }
        transmits.append(Transmit(to: address, payload: request.datagram))
    }

    /// Takes a datagram; what is no answer of this tracker's is passed over.
    public mutating func handle(_ bytes: [UInt8], from source: TransportAddress, now: Instant) {
        guard result == nil, source == address,
            let (number, reply) = UDPTrackerMessage.parse(bytes, isIPv6: address.address.isIPv6),
            number == request.transaction
        else { return }
        switch (isConnecting, reply) {
        case (true, .connected(let connection)):
            isConnecting = false
            let number = UInt32(truncatingIfNeeded: entropy.next())
            request = UDPTrackerRequest(
                UDPTrackerMessage.scrape([infoHash], connection: connection, transaction: number),
                transaction: number, now: now)
            transmits.append(Transmit(to: address, payload: request.datagram))
        case (false, .scraped(let replies)):
            result = replies.first.map { .success($0) } ?? .failure(.malformed)
        case (_, .error(let text)):
            result = .failure(.refused(text))
        default: return
        }
    }
}
