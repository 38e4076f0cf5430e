internal import SwarmBase

/// What a router needs to know of a datagram without reading it whole.
extension STUNMessage {
    /// Whether a datagram is a STUN message by its first bits, cookie and length (RFC 7983 §7, RFC 8489 §5).
    ///
    /// Nothing else that meets on a shared UDP socket passes: neither uTP, whose first byte may be 1, nor answers of
    /// UDP trackers.
    public static func isSTUN(_ datagram: [UInt8]) -> Bool {
        guard datagram.count >= 20, datagram[0] < 4, datagram.count.isMultiple(of: 4) else { return false }
        return Int(datagram[2]) << 8 | Int(datagram[3]) == datagram.count - 20
            && datagram[4] == 0x21 && datagram[5] == 0x12 && datagram[6] == 0xa4 && datagram[7] == 0x42
    }

    /// The class of a message that passed ``isSTUN(_:)``.
    public static func messageClass(of datagram: [UInt8]) -> STUNClass? {
        guard isSTUN(datagram) else { return nil }
        return STUNClass(rawValue: (datagram[0] & 1) << 1 | (datagram[1] >> 4) & 1)
    }

    /// The transaction id of a message that passes ``isSTUN(_:)``.
    public static func transactionID(of datagram: [UInt8]) -> STUNTransactionID? {
        isSTUN(datagram) ? STUNTransactionID(header: datagram) : nil
    }

    /// The part of USERNAME before the colon: in a check that arrives, our ufrag (RFC 8445 §7.1.1).
    ///
    /// - Returns: `nil` when it is not STUN, or has no USERNAME with a colon.
    public static func localUfrag(of datagram: [UInt8]) -> String? {
        localUfragRange(of: datagram).map { String(decoding: datagram[$0], as: UTF8.self) }
    }

    /// Where ``localUfrag(of:)`` is in the datagram: for those that look it up without making a string of what a stranger
    /// has sent.
    public static func localUfragRange(of datagram: [UInt8]) -> Range<Int>? {
        guard isSTUN(datagram) else { return nil }
        var index = 20
        for _ in 0..<maximumAttributes {
            guard datagram.count - index >= 4 else { return nil }
            let length = Int(datagram[index + 2]) << 8 | Int(datagram[index + 3])
            let value = index + 4
            // The whole message and each padded attribute are multiples of four.
            let next = value + (length + 3) & ~3
            guard next <= datagram.count else { return nil }
            if datagram[index] == 0, datagram[index + 1] == 0x06 {
                return datagram[value..<value + length].firstIndex(of: UInt8(ascii: ":")).map { value..<$0 }
            }
            index = next
        }
        return nil
    }

    /// Splits the USERNAME of a check that arrived into our ufrag and the sender's.
    static func splitUsername(_ username: [UInt8]) -> (local: String, remote: String)? {
        guard let colon = username.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        return (
            String(decoding: username[..<colon], as: UTF8.self),
            String(decoding: username[(colon + 1)...], as: UTF8.self)
        )
    }
}
