/// What an association tells its owner.
///
/// Messages are the bulk of it, so the other cases are kept apart in memory.
public enum SCTPEvent: Equatable, Sendable {
    /// Data may flow.
    case connected
    /// A whole message arrived.
    case message(stream: UInt16, payloadProtocol: UInt32, payload: [UInt8])
    /// The peer has reset these streams of its own; `nil` means all of them. What it sent before was delivered.
    indirect case incomingStreamsReset([UInt16]?)
    /// Our streams are reset: the peer has performed it.
    indirect case outgoingStreamsReset([UInt16])
    /// The bytes waiting on a stream fell to its threshold.
    case bufferedAmountLow(UInt16)
    /// The association is over; nothing follows.
    indirect case closed(SCTPCloseReason)
}

/// Why an association ended.
public enum SCTPCloseReason: Equatable, Sendable {
    /// Both sides agreed (SHUTDOWN).
    case shutdown
    /// The peer sent ABORT with this first cause (RFC 9260 §3.3.10), if any.
    case abortedByPeer(cause: UInt16?)
    /// `abort` was called here.
    case abortedLocally
    /// The peer broke the protocol; the text says how.
    case protocolViolation(String)
    /// The peer began another association inside the same DTLS session.
    case restartedByPeer
    /// The peer did not answer SHUTDOWN, or more retransmissions or heartbeats than configured.
    case unanswered
}

/// Why a command was refused.
public enum SCTPError: Error, Equatable, Sendable {
    /// The association is over, or on its way there.
    case closed
    /// A message of no bytes cannot be sent; what stands for one is the caller's choice (RFC 8831 §6.6).
    case emptyMessage
    /// The message is larger than the limit.
    case messageTooLarge(limit: Int)
    /// Too much waits to be sent already.
    case bufferFull
    /// The stream is being reset.
    case streamClosing
    /// The peer takes fewer streams than that.
    case noSuchStream(limit: Int)
}

/// How a message is to be delivered (RFC 3758, RFC 7496).
public struct SCTPSendOptions: Equatable, Sendable {
    /// Whether it may overtake others of its stream.
    public var isUnordered: Bool
    /// How many times each part may be sent again; `nil` for no limit.
    public var maxRetransmits: UInt16?
    /// How long it is worth sending; `nil` for no limit.
    public var lifetime: Duration?

    public init(isUnordered: Bool = false, maxRetransmits: UInt16? = nil, lifetime: Duration? = nil) {
        self.isUnordered = isUnordered
        self.maxRetransmits = maxRetransmits
        self.lifetime = lifetime
    }
}
