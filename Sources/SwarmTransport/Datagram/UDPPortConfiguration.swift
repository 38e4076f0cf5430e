public import SwarmBase

/// How a ``UDPPort`` is bound, and its bounds.
public struct UDPPortConfiguration: Sendable {
    /// The address to bind; `nil` is every address of the host, IPv6 and IPv4 alike.
    public var host: IPAddress?
    /// The port to bind; 0 takes a free one.
    public var port: UInt16
    /// What the kernel is asked for, for each direction, in bytes; it may give less.
    public var socketBufferBytes = 4 << 20
    /// How many messages one system call may read, 1 to 64; with offload one holds many datagrams.
    public var readBatch = 32
    /// The longest datagram that is received; a longer one is dropped. Jumbo frames of Ethernet have 9,000 bytes.
    public var maximumDatagramBytes = 9216
    /// How many datagrams are handed out before the event loop turns to its other work.
    public var datagramsPerTurn = 256
    /// How long they are handed out at most, whatever they cost: meanwhile nothing is read, and the system drops what comes
    /// on top of its buffer, of every source alike.
    public var turnDuration = Duration.microseconds(500)
    /// How many datagrams are taken from the socket before that; what is too much waits in `receiveQueueDatagrams`.
    public var datagramsPerRead = 2048
    /// How many datagrams may wait to be handed out, of all sources together; the one that sends most loses first.
    public var receiveQueueDatagrams = 4096
    /// And how many bytes they may have together.
    public var receiveQueueBytes = 8 << 20
    /// How many datagrams may wait for a full socket buffer; what comes on top is dropped and counted.
    public var sendQueueDatagrams = 4096
    /// For how long the socket is polled after single datagrams, where the last ones were answered as quickly: then the next
    /// one finds the event loop awake. Zero for never. See ``UDPPort``.
    public var busyPollingLimit = Duration.zero
    /// Whether runs of equal-sized datagrams pass the kernel as one message (UDP_SEGMENT, UDP_GRO), where it can do that.
    public var usesOffload = true

    public init(host: IPAddress? = nil, port: UInt16 = 0) {
        self.host = host
        self.port = port
    }
}

/// What a ``UDPPort`` did so far.
public struct UDPPortCounters: Hashable, Sendable {
    public var datagramsReceived = 0
    public var bytesReceived = 0
    public var datagramsSent = 0
    public var bytesSent = 0
    /// Datagrams that the kernel refused: no route, filtered, wrong family. Each is as good as lost on the way.
    public var sendErrors = 0
    /// Datagrams dropped because the send queue was full.
    public var sendDrops = 0
    /// Datagrams dropped because too many of their source waited to be handed out, or because they were too long.
    public var receiveDrops = 0
    /// Datagrams that were found by polling the socket.
    public var datagramsPolled = 0
    /// System calls that have sent something.
    public var sendCalls = 0
    /// System calls that have received something.
    public var receiveCalls = 0
    /// Messages of several datagrams that the kernel took as one (UDP_SEGMENT), and the datagrams in them.
    public var joinedSends = 0
    public var datagramsSentJoined = 0
    /// Messages of several datagrams that the kernel gave as one (UDP_GRO), and the datagrams in them.
    public var joinedReceives = 0
    public var datagramsReceivedJoined = 0
    /// Messages of several datagrams that the kernel refused as such, so that they went one by one.
    public var offloadRefusals = 0

    public init() {}
}

/// The port cannot be used as asked.
public enum UDPPortError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another socket holds the address and port.
    case addressInUse(UInt16)
    /// The host has no such address, or the port needs a right that this process lacks; the system's error number.
    case cannotBind(errorNumber: Int32)
    /// The socket is closed.
    case closed

    public var description: String {
        switch self {
        case .addressInUse(let port): "UDP port \(port) is in use by another program"
        case .cannotBind(let number): "cannot bind the UDP port (error \(number))"
        case .closed: "the UDP port is closed"
        }
    }
}
