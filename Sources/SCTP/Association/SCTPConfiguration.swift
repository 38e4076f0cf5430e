/// The limits and times of an association; the defaults are those of the RFC or of what the common peers do.
public struct SCTPConfiguration: Sendable {
    /// The port on both sides: `a=sctp-port` (RFC 8841 §5).
    public var port: UInt16 = 5000
    /// The largest packet sent, in bytes: 1280 less IPv6, UDP, DTLS and TURN headers.
    public var maxPacketSize = 1188
    /// The largest message accepted and sent, in bytes: what is announced as `a=max-message-size`.
    public var maxMessageSize = 262_144
    /// The receive window announced at first, in bytes.
    public var receiveWindow = 4 << 20
    /// Up to how many bytes the window grows while the application keeps up.
    public var maxReceiveWindow = 16 << 20
    /// How many incomplete or waiting pieces may be held: small ones cost more memory than their payload.
    public var maxHeldItems = 32_768
    /// How many bytes `send` takes before it refuses (16 MiB, as browsers do).
    public var maxBufferedBytes = 16 << 20
    /// How many streams are asked for and allowed each way.
    public var maxStreams: UInt16 = 65_535
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
    /// The congestion window at the start, in packets (RFC 6928's ten).
    public var initialWindowPackets = 10
    /// How often SHUTDOWN is repeated before the association is given up (Association.Max.Retrans, RFC 9260 §16).
    public var maxShutdownRetransmissions = 8

    /// The defaults.
    public init() {}

    /// The most payload one DATA chunk carries.
    var maxFragment: Int { (maxPacketSize - PacketHeader.size - DataChunk.headerSize) & ~3 }
}
