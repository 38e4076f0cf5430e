/// The limits and times of an association; the defaults are those of the RFC or of what the common peers do.
public struct SCTPConfiguration: Sendable {
    /// The port on both sides: `a=sctp-port` (RFC 8841 §5).
    public var port: UInt16 = 5000
    /// The largest packet sent at first, in bytes: 1280 less IPv6, UDP, DTLS and TURN headers. A multiple of 4, at
    /// least 128.
    public var maxPacketSize = 1188
    /// Up to which size larger packets are probed for (RFC 8899), in bytes; `nil` (the default) for no probing. Only for
    /// an owner that heeds `forbidsFragmentation`. ``largestUsefulPacketSize`` suits jumbo frames.
    public var maxProbedPacketSize: Int?
    /// The size that is tried first, in bytes, and the last one that sizes below are tried for: what Ethernet carries.
    /// 1500 less IPv6 (40), UDP (8) and DTLS (37) headers is 1415. Between it and `maxProbedPacketSize` links have no size.
    public var firstProbedPacketSize = 1400
    /// What jumbo frames carry: 9000 bytes less IPv6 (40), UDP (8) and DTLS (37) headers.
    public static let largestUsefulPacketSize = 8912
    /// How often a probe of one size is sent before that size is held to be too large (MAX_PROBES, RFC 8899 §5.1.2).
    public var maxMTUProbes = 3
    /// After how long a larger size is tried again (PMTU_RAISE_TIMER, RFC 8899 §5.1.1).
    public var mtuRaiseInterval = Duration.seconds(600)
    /// The largest message accepted and sent, in bytes: what is announced as `a=max-message-size`.
    public var maxMessageSize = 262_144
    /// The receive window announced at first, in bytes; at least the largest message and a quarter.
    public var receiveWindow = 4 << 20
    /// Up to how many bytes the window grows while the application keeps up.
    public var maxReceiveWindow = 16 << 20
    /// How many incomplete or waiting pieces may be held: small ones cost more memory than their payload. The window that is
    /// announced lets a peer send no more of them, at the size of the latest.
    public var maxHeldItems = 32_768
    /// How many bytes `send` takes before it refuses (16 MiB, as browsers do).
    public var maxBufferedBytes = 16 << 20
    /// How many messages `send` takes before it refuses: small ones cost more memory than their payload.
    public var maxBufferedMessages = 262_144
    /// How many streams are asked for and allowed each way.
    public var maxStreams: UInt16 = 65_535
    /// Whether message interleaving (I-DATA, RFC 8260) is offered; it is used when the peer offers it too.
    public var offersInterleaving = true
    /// Whether DTLS carries the packets, and so checks their integrity. Then packets without a CRC32C are accepted, and
    /// sent when the peer accepts them too (RFC 9653).
    public var isOverDTLS = false
    /// RTO.Initial; RFC 9260 §16 says 1 s, and so short a start suits paths that ICE has just measured.
    public var rtoInitial = Duration.milliseconds(500)
    /// RTO.Min; must stay above the 200 ms by which peers delay their SACK (RFC 9260 §16 says 1 s).
    public var rtoMin = Duration.milliseconds(220)
    /// RTO.Max (RFC 9260 §16 says 60 s; ICE would have given up by then).
    public var rtoMax = Duration.seconds(10)
    /// The longest time between two INIT or COOKIE ECHO chunks.
    public var handshakeMax = Duration.seconds(5)
    /// How long a SACK waits for company (RFC 9260 §6.2 allows 500 ms).
    public var sackDelay = Duration.milliseconds(40)
    /// How long peers may delay theirs: added to the time after which a lone packet is probed.
    public var peerSackDelay = Duration.milliseconds(200)
    /// Valid.Cookie.Life (RFC 9260 §16).
    public var cookieLifetime = Duration.seconds(60)
    /// How the congestion window answers to the network.
    public var congestionAlgorithm = CongestionAlgorithm.cubic
    /// The congestion window at the start, in packets (RFC 6928's ten).
    public var initialWindowPackets = 10
    /// The congestion window never grows beyond this, in bytes.
    public var maxCongestionWindow = 32 << 20
    /// How much queueing delay this sender causes of its own will (with CUBIC), or half the path's shortest round trip if
    /// that is more; zero for as much as the buffers hold.
    public var queueLimit = Duration.milliseconds(30)
    /// The share of packets that may be lost, while no queue is seen, without being taken for congestion (with CUBIC): 2 %, as
    /// BBRv3 has it; up to 0.2. More is tolerated where a smaller window does not make it less. Zero for none: each loss counts,
    /// as RFC 9438 says.
    public var toleratedLoss = 0.02
    /// How often SHUTDOWN is repeated before the association is given up (Association.Max.Retrans, RFC 9260 §16).
    public var maxShutdownRetransmissions = 8
    /// How often the retransmission timer may expire, or HEARTBEAT go unanswered, in a row, before the association is given
    /// up (Association.Max.Retrans, RFC 9260 §8.1); `nil` (the default) for ever: ICE judges whether the path lives.
    public var maxRetransmissions: Int?
    /// How long an association without traffic waits before it asks for a sign of life (HB.interval, RFC 9260 §8.3);
    /// `nil` (the default) for never: the consent checks of ICE do that.
    public var heartbeatInterval: Duration?

    /// The defaults.
    public init() {}
}

extension SCTPConfiguration {
    /// The most payload one chunk carries in a packet of the base size, I-DATA or not.
    var maxFragment: Int { (maxPacketSize - PacketHeader.size - DataChunk.headerSize) & ~3 }
}
