internal import SwarmBase

/// A STUN message that came as a datagram, with what is needed to check its MESSAGE-INTEGRITY.
public struct ReceivedSTUNMessage: Sendable {
    /// The header and the attributes before MESSAGE-INTEGRITY.
    public let message: STUNMessage
    /// Whether a correct FINGERPRINT ends it. A wrong one is an error of reading.
    public let hasFingerprint: Bool
    private let datagram: [UInt8]
    /// Where each integrity attribute begins, and how many bytes its code has.
    private let integrityOffset: Int?
    private let sha256Offset: Int?
    private let sha256Count: Int

    /// Whether it has a MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256, right or wrong.
    public var hasIntegrity: Bool { integrityOffset != nil || sha256Offset != nil }

    /// Whether it has a MESSAGE-INTEGRITY (RFC 8489 §14.5), or the one of SHA-256 (§14.6), made with `key`.
    public func isAuthentic(key: STUNIntegrityKey, _ integrity: STUNIntegrity = .sha1) -> Bool {
        guard let offset = integrity == .sha1 ? integrityOffset : sha256Offset else { return false }
        let count = integrity == .sha1 ? 20 : sha256Count
        var covered = Array(datagram[..<offset])
        // The code was made when the length field ended with the attribute itself.
        STUNMessage.setLength(of: &covered, adding: 4 + count)
        return key.isValid(datagram[offset + 4..<offset + 4 + count], for: covered[...], integrity)
    }

    /// Types below 0x8000 in the message that this code does not know: reason for a 420 (RFC 8489 §6.3.1).
    public var unknownRequiredAttributes: [UInt16] {
        message.attributes.compactMap {
            if case .other(let type, _) = $0, type < 0x8000 { type } else { nil }
        }
    }

    /// Reads a datagram that must be one STUN message.
    ///
    /// What follows MESSAGE-INTEGRITY is ignored, except MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 §14.5).
    public init(parsing datagram: [UInt8]) throws(STUNError) {
        var reader = ByteReader(datagram)
        guard STUNMessage.isSTUN(datagram), let type = reader.integer(UInt16.self),
            reader.bytes(6) != nil, let id = reader.bytes(12).flatMap(STUNTransactionID.init(bytes:)),
            let messageClass = STUNClass(rawValue: UInt8((type >> 7) & 2 | (type >> 4) & 1))
        else { throw .notSTUN }
        var attributes: [STUNAttribute] = []
        var integrityOffset: Int?
        var sha256Offset: Int?
        var sha256Count = 0
        var hasFingerprint = false
        var count = 0
        while !reader.isAtEnd {
            let offset = datagram.count - reader.remaining
            count += 1
            guard count <= STUNMessage.maximumAttributes else { throw .tooManyAttributes }
            guard let type = reader.integer(UInt16.self) else { throw .malformedAttribute(type: 0) }
            // The whole message and each padded attribute are multiples of four, so padding never is cut.
            guard let value = reader.prefixed(by: UInt16.self), reader.bytes((4 - value.count % 4) % 4) != nil
            else { throw .malformedAttribute(type: type) }
            switch type {
            case STUNAttribute.fingerprint:
                guard reader.isAtEnd, value.count == 4 else { throw .badFingerprint }
                let stated = value.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                guard stated == CRC32.checksum(datagram[..<offset]) ^ STUNMessage.fingerprintMask else {
                    throw .badFingerprint
                }
                hasFingerprint = true
            case _ where sha256Offset != nil:
                continue
            case STUNAttribute.messageIntegritySHA256:
                guard (16...32).contains(value.count), value.count.isMultiple(of: 4) else {
                    throw .malformedAttribute(type: type)
                }
                (sha256Offset, sha256Count) = (offset, value.count)
            case _ where integrityOffset != nil:
                continue
            case STUNAttribute.messageIntegrity:
                guard value.count == 20 else { throw .malformedAttribute(type: type) }
                integrityOffset = offset
            default:
                guard let attribute = STUNAttribute(type: type, value: value, transactionID: id) else {
                    throw .malformedAttribute(type: type)
                }
                attributes.append(attribute)
            }
        }
        let method = STUNMethod(rawValue: (type >> 2) & 0xf80 | (type >> 1) & 0x070 | type & 0x00f)
        message = STUNMessage(messageClass, method: method, transactionID: id, attributes: attributes)
        self.hasFingerprint = hasFingerprint
        self.datagram = datagram
        self.integrityOffset = integrityOffset
        self.sha256Offset = sha256Offset
        self.sha256Count = sha256Count
    }
}
