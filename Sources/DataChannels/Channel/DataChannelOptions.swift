import SCTP

/// What a channel is to be (RFC 8831 §6.4; `RTCDataChannelInit`).
public struct DataChannelOptions: Hashable, Sendable {
    /// How far a message is worth repeating.
    public enum Reliability: Hashable, Sendable {
        /// Until it arrives.
        case reliable
        /// At most so many times after the first sending.
        case maxRetransmits(UInt16)
        /// For so many milliseconds after it was given to `send`.
        case maxPacketLifeTime(UInt16)
    }

    /// The name of the protocol spoken on it, at most 65,535 bytes of UTF-8.
    public var `protocol`: String
    /// Whether messages arrive in the order they were sent.
    public var isOrdered: Bool
    /// How far a message is worth repeating.
    public var reliability: Reliability
    /// The channel's number when both sides agreed on it by other means; then nothing is negotiated.
    public var negotiatedID: UInt16?

    public init(
        protocol: String = "", isOrdered: Bool = true, reliability: Reliability = .reliable,
        negotiatedID: UInt16? = nil
    ) {
        self.protocol = `protocol`
        self.isOrdered = isOrdered
        self.reliability = reliability
        self.negotiatedID = negotiatedID
    }

    /// The limit of repetitions, if that is the reliability.
    public var maxRetransmits: UInt16? { if case .maxRetransmits(let count) = reliability { count } else { nil } }

    /// The lifetime in milliseconds, if that is the reliability.
    public var maxPacketLifeTime: UInt16? { if case .maxPacketLifeTime(let time) = reliability { time } else { nil } }

    init(_ options: SCTP.DataChannelOptions) {
        let reliability: Reliability =
            switch options.reliability {
            case .reliable: .reliable
            case .maxRetransmits(let count): .maxRetransmits(count)
            case .maxPacketLifeTime(let time): .maxPacketLifeTime(time)
            }
        self.init(
            protocol: options.protocol, isOrdered: options.isOrdered, reliability: reliability,
            negotiatedID: options.negotiatedID)
    }

    func core(label: String) -> SCTP.DataChannelOptions {
        let reliability: SCTP.DataChannelOptions.Reliability =
            switch reliability {
            case .reliable: .reliable
            case .maxRetransmits(let count): .maxRetransmits(count)
            case .maxPacketLifeTime(let time): .maxPacketLifeTime(time)
            }
        return SCTP.DataChannelOptions(
            label: label, protocol: `protocol`, isOrdered: isOrdered, reliability: reliability,
            negotiatedID: negotiatedID)
    }
}

/// One message.
public enum DataChannelMessage: Hashable, Sendable {
    case text(String)
    case binary([UInt8])

    /// Its length in bytes.
    public var byteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .binary(let bytes): bytes.count
        }
    }

    /// Its bytes; those of a text are UTF-8.
    public var bytes: [UInt8] {
        switch self {
        case .text(let text): Array(text.utf8)
        case .binary(let bytes): bytes
        }
    }

    var isText: Bool { if case .text = self { true } else { false } }
}

/// A message as it travels.
struct RawMessage: Sendable {
    var payload: [UInt8]
    var isText: Bool

    init(payload: [UInt8], isText: Bool) {
        self.payload = payload
        self.isText = isText
    }

    init(_ message: DataChannelMessage) { self.init(payload: message.bytes, isText: message.isText) }

    var kind: DataChannelMessageKind { isText ? .text : .binary }

    var message: DataChannelMessage {
        isText ? .text(String(decoding: payload, as: UTF8.self)) : .binary(payload)
    }
}

/// How far a channel is (`RTCDataChannelState`).
public enum DataChannelState: String, Hashable, Sendable {
    /// Not open yet; messages may be sent, and wait.
    case connecting
    case open
    /// This side or the peer has closed it; what was sent before still goes out.
    case closing
    case closed
}
