public import SwarmBase

/// The class of a STUN message (RFC 8489 §5).
public enum STUNClass: UInt8, Sendable {
    case request = 0
    case indication = 1
    case success = 2
    case error = 3
}

/// The method of a STUN message: 12 bits (RFC 8489 §5).
public struct STUNMethod: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16

    /// - Precondition: `rawValue` fits 12 bits.
    public init(rawValue: UInt16) {
        precondition(rawValue < 0x1000, "a STUN method has 12 bits")
        self.rawValue = rawValue
    }

    /// Binding, the method of address discovery and connectivity checks.
    public static let binding = STUNMethod(rawValue: 0x001)
    /// Asks a TURN server for a relayed address (RFC 8656 §7).
    public static let allocate = STUNMethod(rawValue: 0x003)
    /// Keeps an allocation, or gives it back (RFC 8656 §8).
    public static let refresh = STUNMethod(rawValue: 0x004)
    /// An indication: data for a peer (RFC 8656 §11.1).
    public static let send = STUNMethod(rawValue: 0x006)
    /// An indication: data from a peer (RFC 8656 §11.4).
    public static let data = STUNMethod(rawValue: 0x007)
    /// Lets a peer's packets in (RFC 8656 §10).
    public static let createPermission = STUNMethod(rawValue: 0x008)
    /// Gives a peer a channel number (RFC 8656 §12).
    public static let channelBind = STUNMethod(rawValue: 0x009)
}

/// Why bytes are not a STUN message.
public enum STUNError: Error, Equatable, Sendable {
    /// Shorter than the header, not STUN's first bits or cookie, or the length field disagrees with the datagram.
    case notSTUN
    /// An attribute goes past the end of the message, or its value is not what its type says.
    case malformedAttribute(type: UInt16)
    /// More attributes than `STUNMessage.maximumAttributes`.
    case tooManyAttributes
    /// FINGERPRINT is not the checksum of what comes before it, or does not come last.
    case badFingerprint
}

/// A STUN message (RFC 8489) as it is built or was read, without its MESSAGE-INTEGRITY and FINGERPRINT.
public struct STUNMessage: Hashable, Sendable {
    public var messageClass: STUNClass
    public var method: STUNMethod
    public var transactionID: STUNTransactionID
    /// In the order of the message. In a message that was read: those before MESSAGE-INTEGRITY only.
    public var attributes: [STUNAttribute]

    public init(
        _ messageClass: STUNClass, method: STUNMethod = .binding, transactionID: STUNTransactionID,
        attributes: [STUNAttribute] = []
    ) {
        self.messageClass = messageClass
        self.method = method
        self.transactionID = transactionID
        self.attributes = attributes
    }

    /// The fixed second word of every message (RFC 8489 §5).
    public static let magicCookie: UInt32 = 0x2112_a442
    /// How many attributes a message that is read may have; real ones have about ten.
    public static let maximumAttributes = 64

    /// The message as a datagram.
    ///
    /// - Parameters:
    ///   - key: makes MESSAGE-INTEGRITY (HMAC-SHA1, RFC 8489 §14.5) with this key; `nil` leaves it out.
    ///   - integrity: `sha256` makes MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6) instead.
    ///   - fingerprint: whether FINGERPRINT ends the message (RFC 8489 §14.7).
    /// - Precondition: the attributes fit 65 535 bytes.
    public func encoded(
        key: STUNIntegrityKey? = nil, integrity: STUNIntegrity = .sha1, fingerprint: Bool = true
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        let method = method.rawValue
        let kind = UInt16(messageClass.rawValue)
        writer.integer(
            (method & 0xf80) << 2 | (method & 0x070) << 1 | method & 0x00f | (kind & 2) << 7 | (kind & 1) << 4)
        writer.integer(UInt16(0))
        writer.integer(Self.magicCookie)
        writer.integer(transactionID.high)
        writer.integer(transactionID.low)
        for attribute in attributes { attribute.write(to: &writer, transactionID: transactionID) }
        if let key {
            Self.setLength(of: &writer.bytes, adding: 4 + integrity.byteCount)
            let code = key.authenticationCode(for: writer.bytes[...], integrity)
            writer.integer(integrity == .sha1 ? STUNAttribute.messageIntegrity : STUNAttribute.messageIntegritySHA256)
            writer.integer(UInt16(integrity.byteCount))
            writer.append(code)
        }
        Self.setLength(of: &writer.bytes, adding: fingerprint ? 8 : 0)
        if fingerprint {
            let checksum = CRC32.checksum(writer.bytes[...])
            writer.integer(STUNAttribute.fingerprint)
            writer.integer(UInt16(4))
            writer.integer(checksum ^ Self.fingerprintMask)
        }
        return writer.bytes
    }

    static let fingerprintMask: UInt32 = 0x5354_554e

    static func setLength(of bytes: inout [UInt8], adding more: Int) {
        let length = bytes.count - 20 + more
        precondition(length <= 0xffff, "a STUN message has at most 65 535 bytes of attributes")
        bytes[2] = UInt8(truncatingIfNeeded: length >> 8)
        bytes[3] = UInt8(truncatingIfNeeded: length)
    }
}

extension STUNMessage {
    /// The first USERNAME.
    public var username: [UInt8]? { first { if case .username(let value) = $0 { value } else { nil } } }
    /// The first PRIORITY.
    public var priority: UInt32? { first { if case .priority(let value) = $0 { value } else { nil } } }
    /// Whether there is a USE-CANDIDATE.
    public var hasUseCandidate: Bool { attributes.contains(.useCandidate) }
    /// The first ERROR-CODE's number.
    public var errorCode: UInt16? { first { if case .errorCode(let value, _) = $0 { value } else { nil } } }

    /// The address that an answer says the request came from.
    public var reflexiveAddress: TransportAddress? {
        first { if case .xorMappedAddress(let value) = $0 { value } else { nil } }
            ?? first { if case .mappedAddress(let value) = $0 { value } else { nil } }
    }

    func first<Value>(_ match: (STUNAttribute) -> Value?) -> Value? {
        for attribute in attributes {
            if let value = match(attribute) { return value }
        }
        return nil
    }
}
