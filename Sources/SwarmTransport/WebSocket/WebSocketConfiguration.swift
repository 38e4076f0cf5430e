/// The limits and times of one WebSocket.
public struct WebSocketConfiguration: Sendable {
    /// How long TCP may take to connect, for each address of the host.
    public var connectTimeout: Duration = .seconds(5)
    /// How long resolving, TCP, TLS and the upgrade may take together.
    public var openTimeout: Duration = .seconds(10)
    /// The longest message that is accepted, whole or in fragments, in bytes; a longer one closes with 1009.
    public var maximumMessageBytes = 4 << 20
    /// How many frames one message may consist of; more closes with 1008.
    public var maximumFragments = 4096
    /// A ping leaves after a time drawn from this range, so that many connections do not ping at once.
    public var pingInterval: ClosedRange<Duration> = .seconds(15) ... .seconds(20)
    /// How many intervals may pass without a single byte from the peer; then it counts as dead.
    public var missedPongs = 2
    /// How many bytes may wait for the peer to read them; one message may always wait. More closes the connection.
    public var maximumBufferedBytes = 16 << 20
    /// How long the peer may take to answer our close frame.
    public var closeTimeout: Duration = .seconds(1)
    /// More header fields of the client's request, such as `Origin`.
    public var headers: [(name: String, value: String)] = []

    public init() {}

    /// What a server grants to strangers: 4 MiB may wait for a reader, as much as the longest message.
    public static var server: Self {
        var result = Self()
        result.maximumBufferedBytes = 4 << 20
        return result
    }
}

/// One message, whole.
public enum WebSocketMessage: Hashable, Sendable {
    /// The UTF-8 of a text message; it has been checked to be valid.
    case text([UInt8])
    case binary([UInt8])

    /// The bytes of either kind.
    public var bytes: [UInt8] {
        switch self {
        case .text(let bytes), .binary(let bytes): bytes
        }
    }
}

/// Why a WebSocket is no more, or never was.
public enum WebSocketCloseReason: Error, Hashable, Sendable, CustomStringConvertible {
    /// We closed it.
    case requested
    /// The peer closed it, with this code (1005 when it gave none, RFC 6455 §7.1.5).
    case closedByPeer(code: UInt16, reason: String)
    /// No TCP or TLS connection came about; what the system said.
    case cannotConnect(String)
    /// The server answered the upgrade with this HTTP status.
    case refused(status: Int)
    /// Opening took too long.
    case openTimedOut
    /// No byte came for too long, pings included.
    case unresponsive
    /// The peer does not read what we send.
    case slowReader
    /// The peer broke RFC 6455 or a limit; the code that it was told.
    case violation(code: UInt16)
    /// The connection ended without a close frame.
    case lost

    public var description: String {
        switch self {
        case .requested: "closed"
        case .closedByPeer(let code, let reason):
            "closed by the peer with code \(code)" + (reason.isEmpty ? "" : " (\(reason))")
        case .cannotConnect(let error): "cannot connect: \(error)"
        case .refused(let status): "the server refused the WebSocket with HTTP status \(status)"
        case .openTimedOut: "connecting took too long"
        case .unresponsive: "the peer does not answer any more"
        case .slowReader: "the peer reads too slowly"
        case .violation(let code): "the peer broke the WebSocket protocol or a limit (code \(code))"
        case .lost: "the connection broke"
        }
    }
}
