public import SwarmBase

/// How bytes get to a TURN server. What is relayed is UDP in any case.
public enum TURNTransport: Hashable, Sendable {
    /// The node's shared UDP socket.
    case udp
    /// A TCP or TLS connection, which the owner makes and carries the bytes of.
    case stream
}

/// Which families of addresses a server is asked for.
public enum TURNAddressFamilies: Hashable, Sendable {
    case ipv4
    case ipv6
    /// One of each in the same allocation (RFC 8656 §18.11); a server that has no IPv6 gives the IPv4 one.
    case both
}

/// A TURN server and how to use it.
public struct TURNServer: Hashable, Sendable {
    public var address: TransportAddress
    public var transport: TURNTransport
    public var credentials: TURNCredentials
    public var families: TURNAddressFamilies

    public init(
        address: TransportAddress, transport: TURNTransport = .udp, credentials: TURNCredentials,
        families: TURNAddressFamilies = .ipv4
    ) {
        self.address = address
        self.transport = transport
        self.credentials = credentials
        self.families = families
    }
}

/// Names a server of a ``TURNClient``.
public struct TURNServerID: Hashable, Sendable {
    let number: Int
}

/// Names one user of allocations: a session, or the node itself. The owner chooses the numbers.
public struct TURNUser: Hashable, Sendable {
    public let number: UInt64

    public init(_ number: UInt64) { self.number = number }
}

/// Why there is no allocation on a server.
public enum TURNFailure: Hashable, Sendable {
    /// No answer.
    case unreachable
    /// The stream could not be opened, was closed, or carried something else than TURN.
    case disconnected
    /// User name or password are wrong, or the way to prove them is not known here.
    case unauthorized
    /// 486: the user has too many allocations.
    case quotaReached
    /// 508: the server has no port left.
    case insufficientCapacity
    /// 437: an older allocation of this socket is in the way, or the one in use is gone.
    case allocationMismatch
    /// The server answered with another error, or with a success that makes no sense: its code, or 0.
    case refused(code: UInt16)
}

extension TURNFailure: CustomStringConvertible {
    /// What the server does, in words.
    public var description: String {
        switch self {
        case .unreachable: "does not answer"
        case .disconnected: "cannot be connected to, or hung up"
        case .unauthorized: "refuses the user name or password"
        case .quotaReached: "has given this user all it may have"
        case .insufficientCapacity: "has no address left"
        case .allocationMismatch: "holds another allocation for this port"
        case .refused(let code): "refused (\(code))"
        }
    }
}

/// What a ``TURNClient`` tells its owner.
public enum TURNEvent: Hashable, Sendable {
    /// A server lends this address: a relayed candidate. `mapped` is where the server sees us: over UDP a
    /// server-reflexive candidate. Comes twice when there is one of each family.
    case allocated(TURNServerID, relayed: TransportAddress, mapped: TransportAddress)
    /// The address is ours no longer.
    case lost(TURNServerID, relayed: TransportAddress)
    /// There is no allocation; it is tried again later while anybody wants it.
    case failed(TURNServerID, TURNFailure)
    /// A connection to a stream server is wanted: ``TURNClient/streamOpened(_:now:)`` or
    /// ``TURNClient/streamClosed(_:now:)`` answers this.
    case connect(TURNServerID, TransportAddress)
    /// The connection is not needed any more.
    case disconnect(TURNServerID)
    /// The server will not let packets from or to this peer pass (403).
    case peerRefused(TURNServerID, IPAddress)
}

/// A datagram that came through a relay.
public struct TURNReceived: Hashable, Sendable {
    /// The relayed address that it came to.
    public let relay: TransportAddress
    /// Who sent it.
    public let peer: TransportAddress
    public let payload: [UInt8]
}

/// The timers and bounds of a ``TURNClient``.
public struct TURNClientConfiguration: Sendable {
    /// RTO: the first retransmission over UDP; doubled for each further one (RFC 8489 §6.2.1).
    public var initialRetransmissionTimeout: Duration = .milliseconds(500)
    /// Rc: how often a request is sent over UDP (RFC 8489 §6.2.1).
    public var maximumSends = 7
    /// Rm: how many times the first timeout the last sending is waited for (RFC 8489 §6.2.1).
    public var finalWaitFactor = 16
    /// Ti: how long an answer over a stream, or the stream itself, is waited for (RFC 8489 §6.2.2).
    public var streamTimeout: Duration = .milliseconds(39_500)
    /// The lifetime that is asked for (RFC 8656 §3.2).
    public var lifetime: Duration = .seconds(600)
    /// How long before its end an allocation is refreshed; a short one at half its life.
    public var refreshMargin: Duration = .seconds(60)
    /// Permissions live five minutes (RFC 8656 §9).
    public var permissionRefreshInterval: Duration = .seconds(240)
    /// Channels live ten minutes (RFC 8656 §12).
    public var channelRefreshInterval: Duration = .seconds(540)
    /// A number is not given to another peer before its binding has ended and five minutes have passed
    /// (RFC 8656 §12.1).
    public var channelQuarantine: Duration = .seconds(900)
    /// When something was sent to a UDP server this long ago, a Binding indication keeps the NAT's mapping.
    public var keepaliveInterval: Duration = .seconds(25)
    /// The first wait after a failure; doubled by each further one.
    public var initialRetryInterval: Duration = .seconds(1)
    /// The longest wait after a failure. 486, 508 and a wrong password wait this long at once.
    public var maximumRetryInterval: Duration = .seconds(120)
    /// When a peer that was refused is asked for again.
    public var refusalLifetime: Duration = .seconds(60)

    /// More servers than this are not taken.
    public var maximumServers = 8
    /// How many new challenges in a row a request is repeated for.
    public var maximumChallenges = 4
    /// How many other servers (300) are tried one after the other.
    public var maximumRedirects = 1
    /// Peers of one allocation: no more can have a channel.
    public var maximumPeers = 2048
    /// Datagrams that wait for one peer's permission; the oldest goes first.
    public var maximumWaiting = 8
    /// The longest datagram that is relayed.
    public var maximumPayload = 16_384

    public init() {}
}
