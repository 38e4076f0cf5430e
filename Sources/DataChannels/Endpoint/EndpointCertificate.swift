import DTLS

/// What peers know an endpoint by: a self-signed certificate and its key, made when it is needed and kept in memory.
public struct EndpointCertificate: Sendable {
    let certificate: DTLSCertificate

    /// Makes a new one; costs about half a millisecond.
    public init() throws(DataChannelsError) {
        do { certificate = try DTLSCertificate() } catch { throw .cannotMakeCertificate("\(error)") }
    }

    /// The SHA-256 fingerprint as descriptions show it: upper-case hexadecimal pairs with colons (RFC 8122 §5).
    public var fingerprint: String { String(certificate.fingerprint.sdp.drop { $0 != " " }.dropFirst()) }
}
