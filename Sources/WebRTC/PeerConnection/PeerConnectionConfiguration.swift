public import DTLS
public import ICE
public import SCTP

/// The limits and times of a connection and of the layers in it.
public struct PeerConnectionConfiguration: Sendable {
    public var ice = ICEConfiguration()
    public var dtls = DTLSConfiguration()
    public var sctp = SCTPConfiguration()
    /// What is read of a peer's description.
    public var sdp = SDPLimits()
    /// DTLS datagrams that are kept while the peer's description is not here yet: its client may be faster than its
    /// answer. Two flights of a fragmented ClientHello.
    public var maximumEarlyDatagrams = 16
    /// The longest of them, in bytes: no peer's handshake has longer ones on a path of 1500.
    public var maximumEarlyDatagramSize = 1500
    /// Bytes that `send` takes on all channels together before the peer's description is here.
    public var maximumEarlyBytes = 1 << 20
    /// Channels that are open or opening at a time on this side's demand.
    public var maximumChannels = 1024
    /// Leaves room in each packet for TURN's header, as is done anyway when a relayed candidate of either side is known by
    /// the time of the first offer and answer. For an owner that will trickle one.
    public var mayBeRelayed = false
    /// How long a connection without a path waits for an ICE restart before it is closed.
    public var restartGrace: Duration = .seconds(60)
    /// How long `close(lingering: true)` waits for the peer to acknowledge what was sent.
    public var lingerTimeout: Duration = .seconds(1)

    public init() {}
}
