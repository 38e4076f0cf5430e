/// A channel's number: its SCTP stream in both directions, 0 to 65,534 (RFC 8831 §6.5).
public typealias DataChannelID = UInt16

/// What a channel is to be (RFC 8831 §6.4, RFC 8832 §5.1).
public struct DataChannelOptions: Hashable, Sendable {
    /// A name, at most 65,535 bytes of UTF-8; several channels may share one.
    public var label: String
    /// The name of the protocol spoken on it, at most 65,535 bytes of UTF-8.
    public var `protocol`: String
    /// Whether messages arrive in the order they were sent.
    public var isOrdered: Bool
    /// How far a message is worth repeating.
    public var reliability: Reliability
    /// What the channel gets of the connection beside others that have something to send, if the peer can mix messages
    /// (RFC 8260): 128 is low, 256 normal, 512 high, 1024 extra high (RFC 8831 §6.4); 0 counts as normal.
    public var priority: UInt16
    /// The channel's number when both sides agreed on it by other means; then nothing is negotiated.
    public var negotiatedID: DataChannelID?

    /// How far a message is worth repeating (RFC 8832 §5.1).
    public enum Reliability: Hashable, Sendable {
        /// Until it arrives.
        case reliable
        /// At most so many times after the first sending.
        case maxRetransmits(UInt16)
        /// For so many milliseconds after `send`.
        case maxPacketLifeTime(UInt16)
    }

    public init(
        label: String, protocol: String = "", isOrdered: Bool = true, reliability: Reliability = .reliable,
        priority: UInt16 = 256, negotiatedID: DataChannelID? = nil
    ) {
        self.label = label
        self.protocol = `protocol`
        self.isOrdered = isOrdered
        self.reliability = reliability
        self.priority = priority
        self.negotiatedID = negotiatedID
    }

    /// The limit of repetitions, if that is the reliability.
    public var maxRetransmits: UInt16? {
        if case .maxRetransmits(let count) = reliability { count } else { nil }
    }

    /// The lifetime in milliseconds, if that is the reliability.
    public var maxPacketLifeTime: UInt16? {
        if case .maxPacketLifeTime(let milliseconds) = reliability { milliseconds } else { nil }
    }
}

/// Text or bytes (RFC 8831 §8).
public enum DataChannelMessageKind: Hashable, Sendable {
    /// UTF-8.
    case text
    case binary
}

/// What the channels tell their owner.
///
/// Messages are the bulk of it, so the large cases are kept apart in memory.
public enum DataChannelEvent: Equatable, Sendable {
    /// The association is up.
    case connected
    /// A channel can be used: the peer opened it, or has acknowledged ours, or it is a negotiated one.
    indirect case open(DataChannelID, DataChannelOptions, byPeer: Bool)
    case message(DataChannelID, DataChannelMessageKind, [UInt8])
    /// The bytes waiting on a channel fell to its threshold.
    case bufferedAmountLow(DataChannelID)
    /// Both directions of a channel are closed, and its number is free again.
    case closed(DataChannelID)
    /// The association is over; `closed` was told of every channel.
    indirect case disconnected(SCTPCloseReason)
}

/// Why a command was refused.
public enum DataChannelError: Error, Equatable, Sendable {
    /// The association is over.
    case disconnected
    /// There is no such channel, or it is closing.
    case notOpen
    /// The message is larger than the peer or this end accepts.
    case messageTooLarge(limit: Int)
    /// Too much waits to be sent already; the channel lives on.
    case bufferFull
    /// Label or protocol is longer than 65,535 bytes, or both together than a message.
    case nameTooLong
    /// The negotiated number is in use, or above what the peer takes.
    case idUnavailable(DataChannelID)
    /// All numbers of our parity are in use.
    case noFreeID
}
