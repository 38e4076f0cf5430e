public import Logging
import Magnet
import SwarmBase
public import SwarmEngine
import SwarmTransport

/// How a member takes part in a swarm.
public struct SwarmConfiguration: Sendable {
    /// The name others see, at most 64 bytes of UTF-8.
    public var name = ""
    /// Trackers beside those of the invite: WebTorrent's (`ws:`, `wss:`), and those of BitTorrent (`udp:`, `http:`, `https:`).
    public var trackers: [String] = []
    /// GUN relays beside those of the invite: `ws:`, `wss:`, `http:` or `https:` URLs.
    public var relays: [String] = []
    /// STUN servers, `HOST:PORT` each.
    public var stunServers: [String] = []
    /// Whether members are looked for, and signals exchanged, through the mainline DHT.
    public var usesDHT = true
    /// Nodes of the DHT to begin with, `HOST:PORT` each; when there are none, and none are known from an earlier run, the public
    /// ones of ``publicDHTNodes``.
    public var dhtBootstrap: [String] = []
    /// TURN servers, through which a member is reached that no direct path leads to.
    public var turnServers: [TURNServerConfiguration] = []
    /// The paths that may carry messages. Signals still travel by every plane.
    public var paths: Set<PathKind> = Set(PathKind.allCases)
    /// The UDP port; 0 takes a free one.
    public var port: UInt16 = 0
    /// Where identity and conversations are kept; `nil` keeps nothing, and the identity is a new one each time.
    public var dataDirectory: String?
    /// Whether what waits for members that are away is left for them at relays and with other members, and theirs is kept here
    /// (with a data directory).
    public var usesMail = true
    /// Whether members are looked for on the local network, by multicast (BEP 14).
    public var usesLocalNetwork = true
    /// Whether members on the same machine are told of loopback, also when the machine has other addresses.
    public var includesLoopback = false
    /// Whether sealed messages between two members that do not reach each other are handed on, if both are connected with this one.
    public var forwards = true
    /// How many events may be unread before members are asked to send no more; at half of it they may again.
    public var mostUnreadEvents = 1000
    /// Whether a member takes part in conversations with this one; asked at each of its runs, on the node's event loop. Its identity is
    /// authenticated: its record is signed with it. `nil` admits everybody.
    public var admits: (@Sendable (Applicant) -> Bool)?
    /// Whether a message is taken; asked on the node's event loop before it is handed on. The sender learns that a message was rejected.
    /// `nil` takes all.
    public var accepts: (@Sendable (_ sender: PeerID, _ content: MessageContent) -> Bool)?
    /// What each member may send. What is more waits at the sender; nothing is lost. `nil` for as much as it can.
    public var rateLimit: RateLimit?
    /// Where connections to relays and trackers are logged. Nothing of what members say is.
    public var logger = Logger(label: "swarm-space") { _ in SwiftLogNoOpLogHandler() }

    public init() {}

    /// The usual ways into the public DHT.
    public static let publicDHTNodes = [
        "router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "dht.libtorrent.org:25401",
    ]

    /// How many relays, and how many trackers, are used at most.
    static let mostSites = 32

    /// Throws what is wrong with it, if anything; `Swarm.join` does that too.
    public func validate() throws(SwarmError) {
        for url in trackers where TrackerLocation(url) == nil {
            throw SwarmError(
                .invalidConfiguration,
                "\(url) is no tracker: give its URL, such as wss://node.example.org/ or udp://tracker.example.org:6969")
        }
        for url in relays where WebSocketURL(url) == nil {
            throw SwarmError(
                .invalidConfiguration,
                "\(url) is no GUN relay: give its URL, such as wss://node.example.org/gun")
        }
        for server in stunServers where MagnetLink.Endpoint(server) == nil {
            throw SwarmError(
                .invalidConfiguration,
                "\(server) is no STUN server: give a host and a port, such as stun.example.org:3478")
        }
        for node in dhtBootstrap where MagnetLink.Endpoint(node) == nil {
            throw SwarmError(
                .invalidConfiguration,
                "\(node) is no node of the DHT: give a host and a port, such as node.example.org:7750")
        }
        for server in turnServers {
            guard server.location != nil else {
                throw SwarmError(
                    .invalidConfiguration,
                    """
                    \(server.url) is no TURN server: give turn:host:port, turn:host:port?transport=tcp or turns:host:port
                    """)
            }
            guard server.settings(at: TransportAddress(.v4(0), port: 1)) != nil else {
                throw SwarmError(.invalidConfiguration, "the user of \(server.url) needs a name of 1 to 508 bytes")
            }
        }
        if paths == [.turn], turnServers.isEmpty {
            throw SwarmError(.invalidConfiguration, "the turn path needs a TURN server")
        }
        if paths.isEmpty { throw SwarmError(.invalidConfiguration, "no path is left to send messages by") }
    }
}
