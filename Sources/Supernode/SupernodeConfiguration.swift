public import Gun
public import SwarmBase
public import SwarmTransport
public import Tracker

/// What a ``Supernode`` serves, where, and within which bounds.
public struct SupernodeConfiguration: Sendable {
    /// The address to bind; `nil` is every address of the host, IPv6 and IPv4 alike.
    public var host: IPAddress?
    /// The TCP port, and the UDP port of the same number; 0 takes one that is free for both.
    public var port: UInt16
    /// Where the graph is kept; `nil` keeps it in memory, and it is gone with the process.
    public var dataDirectory: String?
    /// PEM files for `https:` and `wss:`; both or none.
    public var tls: (certificateFile: String, keyFile: String)?
    /// The host name or address that the URLs are made with; `nil` finds an address of this host.
    public var publicName: String?
    /// What opens the operator's view, `/status.json`, to others than this host; `nil` opens it to nobody else.
    public var statusToken: String?
    /// Other GUN relays to keep a link to, such as `wss://relay.example/gun`.
    public var peers: [WebSocketURL] = []
    /// The bounds of the GUN relay, and its rule: that of user space (`WriteRule.userSpace()`).
    public var relay = GunRelayConfiguration()
    /// The bounds of the tracker; its announce interval among them.
    public var tracker = TrackerServerConfiguration()
    /// The bounds of the graph's file.
    public var store: SQLiteStoreConfiguration
    /// STUN requests a second that are answered, for one source and in all.
    public var stunRequestsPerSecond = (perSource: 50, total: 5000)
    /// TCP connections at a time.
    public var maximumConnections = 8192
    /// Bytes of WebSocket messages that have come in part, over all connections; beyond, the one with the most is cut.
    public var maximumReceivingBytes = 64 << 20
    /// TCP connections at a time from one address; loopback is free.
    public var maximumConnectionsPerAddress = 512

    public init(host: IPAddress? = nil, port: UInt16 = 7750, dataDirectory: String? = nil) {
        self.host = host
        self.port = port
        self.dataDirectory = dataDirectory
        relay.rule = .userSpace()
        store = SQLiteStoreConfiguration()
        // The relay bounds what waits for the disk by itself, at 128 MiB.
        store.maximumPendingBytes = 256 << 20
    }

    /// Sets what one address may do; loopback is free.
    public mutating func limitAddresses(connections: Int, messagesPerSecond: Int, writtenMegabytesPerHour: Int) {
        maximumConnectionsPerAddress = connections
        relay.perAddress.messagesPerSecond = Double(messagesPerSecond)
        relay.perAddress.messageBurst = Double(messagesPerSecond) * 2
        relay.perAddress.writtenBytesPerSecond = Double(writtenMegabytesPerHour) * 1e6 / 3600
    }

    /// Sets the bounds so that the process takes about so many bytes under any load.
    ///
    /// The program and its libraries, SQLite's pages, sockets and what the allocator holds in reserve take about 40 MiB and
    /// a quarter of the rest; the relay has what is left.
    public mutating func setMemory(_ bytes: Int) {
        let rule = relay.rule
        relay = GunRelayConfiguration(fitting: max(bytes - (40 << 20), 16 << 20) * 3 / 4)
        relay.rule = rule
        maximumReceivingBytes = max(bytes / 8, 8 << 20)
    }
}

/// Where a ``Supernode`` is reached.
public struct SupernodeEndpoints: Hashable, Sendable {
    /// The number of both ports.
    public var port: UInt16
    /// The page.
    public var http: String
    /// The GUN relay's WebSocket.
    public var gun: String
    /// The tracker's WebSocket.
    public var tracker: String
    /// `HOST:PORT` of the STUN server.
    public var udp: String
}

/// Why a ``Supernode`` did not start.
public enum SupernodeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another program has the TCP port, or the UDP port of the same number.
    case portInUse(UInt16)
    /// The address or port cannot be bound; what the system said.
    case cannotBind(String)
    /// The certificate or key cannot be used.
    case tls(TLSSetupError)
    /// The data directory cannot be used.
    case directory(FileError)
    /// The graph's file cannot be used.
    case store(StoreError)
    /// It was started or stopped before.
    case alreadyUsed

    public var description: String {
        switch self {
        case .portInUse(let port): "port \(port) is in use by another program: choose another with --port, or 0 for any"
        case .cannotBind(let text): text
        case .tls(let error): error.description
        case .directory(let error): error.description
        case .store(let error): error.description
        case .alreadyUsed: "a supernode is started once"
        }
    }
}

/// What a ``Supernode`` is doing now.
public struct SupernodeStatus: Hashable, Sendable {
    public var uptime: Duration
    public var gunLinks: Int
    public var subscribedSouls: Int
    public var trackerLinks: Int
    public var swarms: Int
    public var trackerPeers: Int
    public var connections: Int
    public var stunRequests: Int
    /// Whether the graph's file took the last write.
    public var isHealthy: Bool
}
