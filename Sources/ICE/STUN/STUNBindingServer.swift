public import SwarmBase

/// The stateless STUN server: tells whoever asks where the question came from (RFC 8489 §12).
public enum STUNBindingServer {
    /// The answer to a plain binding request.
    ///
    /// - Returns: `nil` when the datagram is anything else, a connectivity check (it has a USERNAME) included. The
    ///   answer is never more than 28 bytes longer than the request, so the server is no amplifier.
    public static func respond(to datagram: [UInt8], from source: TransportAddress) -> [UInt8]? {
        guard let received = try? ReceivedSTUNMessage(parsing: datagram) else { return nil }
        let request = received.message
        guard request.messageClass == .request, request.method == .binding, request.username == nil,
            source.port != 0
        else { return nil }
        let unknown = received.unknownRequiredAttributes
        let answer =
            unknown.isEmpty
            ? STUNMessage(
                .success, transactionID: request.transactionID, attributes: [.xorMappedAddress(source)])
            : STUNMessage(
                .error, transactionID: request.transactionID,
                attributes: [.errorCode(420, reason: ""), .unknownAttributes(Array(unknown.prefix(4)))])
        return answer.encoded(fingerprint: received.hasFingerprint)
    }
}
