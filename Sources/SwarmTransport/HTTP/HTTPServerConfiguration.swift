public import SwarmBase

/// Where an ``HTTPServer`` listens and what it grants.
public struct HTTPServerConfiguration: Sendable {
    /// The address to bind; `nil` is every address of the host, IPv6 and IPv4 alike.
    public var host: IPAddress?
    /// The TCP port; 0 takes a free one.
    public var port: UInt16
    /// Certificate and key for `https:` and `wss:`; `nil` speaks plain HTTP.
    public var tls: ServerTLS?
    /// All header fields of a request together, in bytes.
    public var maximumHeaderBytes = 16 << 10
    public var maximumHeaderFields = 100
    /// A request's body; a longer one is answered with 413.
    public var maximumBodyBytes = 64 << 10
    /// How long a new connection may take for its first request, and TLS before it.
    public var firstRequestTimeout: Duration = .seconds(10)
    /// How long a connection may take from one answer to the end of the next request.
    public var idleTimeout: Duration = .seconds(60)
    /// Connections at a time, WebSockets included; one more is closed at once.
    public var maximumConnections = 4096
    /// The same for one remote address. Loopback is free: a reverse proxy on this host speaks for everybody.
    public var maximumConnectionsPerAddress = 512
    /// Bytes of HTTP answers that may wait for a client to read them.
    public var maximumBufferedBytes = 1 << 20
    /// Bytes of WebSocket messages that have come in part, over all connections; beyond, the one with the most is cut.
    public var maximumReceivingBytes = 64 << 20
    /// How long ``HTTPServer/stop()`` waits for clients to take their leave.
    public var stopTimeout: Duration = .seconds(1)
    /// The limits of the accepted WebSockets.
    public var webSocket = WebSocketConfiguration.server

    public init(host: IPAddress? = nil, port: UInt16 = 0, tls: ServerTLS? = nil) {
        self.host = host
        self.port = port
        self.tls = tls
    }
}

/// What an ``HTTPServer`` did so far.
public struct HTTPServerCounters: Hashable, Sendable {
    public var connectionsAccepted = 0
    /// Connections closed at once because of a limit.
    public var connectionsRefused = 0
    public var requests = 0
    public var webSocketsAccepted = 0
    public var webSocketsRefused = 0
    /// WebSockets cut because too much of their messages had come in part.
    public var webSocketsCut = 0

    public init() {}
}

/// The server cannot listen as asked.
public enum HTTPServerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another socket holds the address and port.
    case addressInUse(UInt16)
    /// The host has no such address, or the port needs a right that this process lacks; the system's error number.
    case cannotBind(errorNumber: Int32)
    /// The server was stopped.
    case stopped

    public var description: String {
        switch self {
        case .addressInUse(let port): "TCP port \(port) is in use by another program"
        case .cannotBind(let number): "cannot listen on the TCP port (error \(number))"
        case .stopped: "the server is stopped"
        }
    }
}
