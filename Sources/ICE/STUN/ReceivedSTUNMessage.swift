internal import SwarmBase

/// A STUN message that came as a datagram, with what is needed to check its MESSAGE-INTEGRITY.
public struct ReceivedSTUNMessage: Sendable {
    /// The header and the attributes before MESSAGE-INTEGRITY.
    public let message: STUNMessage
    /// Whether a correct FINGERPRINT ends it. A wrong one is an error of reading.
    public let hasFingerprint: Bool
    private let datagram: [UInt8]
    private let integrityOffset: Int?

    /// Whether it has a MESSAGE-INTEGRITY, right or wrong.
    public var hasIntegrity: Bool { integrityOffset != nil }

    /// Whether it has a MESSAGE-INTEGRITY made with `key` (RFC 8489 §14.5).
    public func isAuthentic(key: STUNIntegrityKey) -> Bool {
        guard let offset = integrityOffset else { return false }
        var covered = Array(datagram[..<offset])
        // The code was made when the length field ended with MESSAGE-INTEGRITY itself.
        STUNMessage.setLength(of: &covered, adding: 24)
        return key.isValid(datagram[offset + 4..<offset + 24], for: covered[...])
    }

    /// Types below 0x8000 in the message that this code does not know: reason for a 420 (RFC 8489 §6.3.1).
    public var unknownRequiredAttributes: [UInt16] {
        message.attributes.compactMap {
            if case .other(let type, _) = $0, type < 0x8000 { type } else { nil }
        }
    }

    /// Reads a datagram that must be one STUN message.
    ///
    /// What follows MESSAGE-INTEGRITY is ignored, except FINGERPRINT (RFC 8489 §14.5).
    public init(parsing datagram: [UInt8]) throws(STUNError) {
        var reader = ByteReader(datagram)
        guard STUNMessage.isSTUN(datagram), let type = reader.integer(UInt16.self),
            reader.bytes(6) != nil, let id = reader.bytes(12).flatMap(STUNTransactionID.init(bytes:)),
            let messageClass = STUNClass(rawValue: UInt8((type >> 7) & 2 | (type >> 4) & 1))
        else { throw .notSTUN }
        var attributes: [STUNAttribute] = []
        var integrityOffset: Int?
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
            case _ where integrityOffset != nil, STUNAttribute.messageIntegritySHA256:
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
    }
}
