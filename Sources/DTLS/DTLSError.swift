/// Why a DTLS transport cannot go on, or why a command was refused.
public enum DTLSError: Error, Equatable, Sendable {
    /// `send` before the handshake is finished and the peer's certificate verified.
    case notConnected
    /// The transport was closed by either side.
    case closed
    /// `send` of no bytes, or of more than `DTLSTransport.maximumRecordLength`.
    case invalidRecordLength(Int)
    /// The peer's certificate has none of the fingerprints that its description promised (RFC 8122 §6.2).
    case fingerprintMismatch
    /// The peer sent this fatal alert (RFC 5246 §7.2).
    case alert(UInt8)
    /// The handshake was retransmitted as often as allowed and no answer came.
    case timedOut
    /// OpenSSL refused what the peer sent, or failed itself; the text is its own reason.
    case protocolFailure(String)
}
