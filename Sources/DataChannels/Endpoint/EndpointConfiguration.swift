public import Logging

/// A TURN server that an ``Endpoint`` may be reached through.
public struct TURNServer: Hashable, Sendable {
    /// `turn:host:port`, `turn:host:port?transport=tcp` or `turns:host:port` (RFC 7065).
    public var uri: String
    /// 1 to 508 bytes.
    public var username: String
    public var password: String

    public init(uri: String, username: String, password: String) {
        self.uri = uri
        self.username = username
        self.password = password
    }
}

/// How an ``Endpoint`` is set up. The defaults suit a program that talks to browsers and to its like.
public struct EndpointConfiguration: Sendable {
    /// The address to bind, as text; `nil` is every address of the host, IPv6 and IPv4 alike.
    public var host: String?
    /// The UDP port; 0 takes a free one.
    public var port: UInt16 = 0
    /// `stun:host:port` (RFC 7064): servers that are asked where the world sees us.
    public var stunServers: [String] = []
    /// Servers through which peers can reach us when they cannot directly.
    public var turnServers: [TURNServer] = []
    /// Whether 127.0.0.1 is told to peers although the host has other addresses: for two programs on one machine.
    public var includesLoopback = false
    /// Whether to answer plain STUN binding requests, as a STUN server does.
    public var answersBindingRequests = false
    /// The certificate that peers know the endpoint by; `nil` makes one.
    public var certificate: EndpointCertificate?
    /// How many connections there may be at a time.
    public var maximumConnections = 65_536
    /// The most bytes of messages that are kept unread for one channel: beyond, its peer is made to wait.
    public var mostUnreadBytes = 1 << 20
    /// The most messages that are kept unread for one channel.
    public var mostUnreadMessages = 16_384
    /// `DataChannel.send` waits while more bytes than this are to be sent on its channel.
    public var highWaterMark = 1 << 20
    /// The longest message that is taken from a peer, in bytes, and announced to it (RFC 8841 §6.1).
    public var maximumMessageSize = 262_144
    /// Where single messages are answered quicker than this, as on one machine or in one rack, the endpoint's thread stays awake
    /// for up to so long to take the next one at once, at the cost of processor time. Elsewhere it never does. Zero for
    /// never.
    public var busyPollingLimit = Duration.microseconds(200)
    /// What is going on, for those who look into it; connections log at `debug` and below.
    public var logger = Logger(label: "swarm-space.data-channels")

    public init() {}
}
