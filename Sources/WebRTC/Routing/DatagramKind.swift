internal import ICE

/// What a datagram on the shared socket is, by its first bytes (RFC 7983 §7, and BEP 5 beside it).
public enum DatagramKind: Hashable, Sendable {
    /// First byte 0…3, the magic cookie, and a length that fits.
    case stun
    /// First byte 64…79: TURN ChannelData, when it comes from a TURN server of ours.
    case channelData
    /// First byte 20…63.
    case dtls
    /// First byte `d`: a bencoded dictionary, so a DHT message.
    case bencoded
    /// First byte `S`, which no protocol of RFC 7983 begins with: signaling between members.
    case signaling
    /// Anything else.
    case unknown

    public init(_ datagram: [UInt8]) {
        switch datagram.first {
        case .some(0...3): self = STUNMessage.isSTUN(datagram) ? .stun : .unknown
        case .some(20...63): self = .dtls
        case .some(64...79): self = .channelData
        case .some(0x64): self = .bencoded
        case .some(0x53): self = .signaling
        default: self = .unknown
        }
    }
}
