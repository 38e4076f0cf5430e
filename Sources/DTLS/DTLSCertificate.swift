internal import COpenSSL

/// A self-signed certificate with its key, and the settings that every handshake of it shares: one per node.
///
/// ECDSA on P-256 with SHA-256, as browsers make it (RFC 8827 §6.5). Nobody checks its name or dates; the fingerprint
/// in the session description is what a peer trusts.
@safe public final class DTLSCertificate: Sendable {
    /// The SHA-256 fingerprint that goes into our session descriptions.
    public let fingerprint: DTLSFingerprint

    // An `SSL_CTX` is reference-counted and locked inside, and made for sharing between threads once it is set up;
    // it is set up before this object exists and only `SSL_new` sees it afterwards.
    nonisolated(unsafe) let context: OpaquePointer

    /// Makes a key and a certificate that is valid from yesterday for 30 days. Costs about 0.5 ms.
    ///
    /// - Throws: `DTLSError.protocolFailure` when OpenSSL cannot: no randomness, no memory, or an algorithm that the
    ///   system's policy forbids.
    public init() throws(DTLSError) {
        ErrorQueue.clear()
        guard let key = unsafe swarm_EVP_EC_gen_p256() else { throw ErrorQueue.takeError() }
        defer { unsafe EVP_PKEY_free(key) }
        guard let certificate = unsafe X509_new() else { throw ErrorQueue.takeError() }
        defer { unsafe X509_free(certificate) }
        guard unsafe Self.fill(certificate, key: key),
            let fingerprint = unsafe DTLSFingerprint(of: certificate, .sha256),
            let context = unsafe Self.makeContext(certificate: certificate, key: key)
        else { throw ErrorQueue.takeError() }
        self.fingerprint = fingerprint
        unsafe self.context = context
    }

    deinit { unsafe SSL_CTX_free(context) }

    private static func fill(_ certificate: OpaquePointer, key: OpaquePointer) -> Bool {
        let day = 86_400
        var generator = SystemRandomNumberGenerator()
        // 63 bits: a serial number is positive (RFC 5280 §4.1.2.2).
        let serial = UInt64.random(in: 1...UInt64(Int64.max), using: &generator)
        let name = unsafe X509_get_subject_name(certificate)
        return unsafe X509_set_version(certificate, 2) == 1
            && ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) == 1
            && X509_gmtime_adj(X509_getm_notBefore(certificate), -day) != nil
            && X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * day) != nil
            && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, "swarm-space", -1, -1, 0) == 1
            && X509_set_issuer_name(certificate, name) == 1
            && X509_set_pubkey(certificate, key) == 1
            && X509_sign(certificate, key, EVP_sha256()) > 0
    }

    /// The longest chain of certificates that a peer may show, in bytes. OpenSSL reserves the length that a first fragment
    /// states, for up to ten messages ahead, so this bounds what an unfinished handshake can hold. One certificate with
    /// a key of RSA 4096 has 1.3 KB.
    static let maximumChainLength = 16_384

    private static func makeContext(certificate: OpaquePointer, key: OpaquePointer) -> OpaquePointer? {
        guard let context = unsafe SSL_CTX_new(DTLS_method()) else { return nil }
        let suites =
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
            + "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"
        // We never send SRTP, but there are peers that end every session without a profile for it (RFC 5764 §4.1).
        let mediaProfiles = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"
        guard unsafe swarm_SSL_CTX_set_dtls12_only(context) == 1,
            unsafe SSL_CTX_set_tlsext_use_srtp(context, mediaProfiles) == 0,
            unsafe SSL_CTX_set_cipher_list(context, suites) == 1,
            unsafe swarm_SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1,
            unsafe swarm_SSL_CTX_set_max_send_fragment(context, DTLSTransport.maximumRecordLength) == 1,
            unsafe SSL_CTX_use_certificate(context, certificate) == 1,
            unsafe SSL_CTX_use_PrivateKey(context, key) == 1
        else {
            unsafe SSL_CTX_free(context)
            return nil
        }
        unsafe swarm_SSL_CTX_set_dtls_options(context)
        unsafe swarm_SSL_CTX_set_max_cert_list(context, maximumChainLength)
        unsafe swarm_SSL_CTX_set_session_cache_off(context)
        // Both sides show a certificate; who may show which is the fingerprint's to say.
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        unsafe SSL_CTX_set_cert_verify_callback(context, { store, _ in unsafe DTLSCertificate.verify(store) }, nil)
        return unsafe context
    }

    /// Refuses a certificate of the wrong fingerprint while an alert can still say so. When the peer's description is
    /// not here yet the handshake goes on, and the transport checks afterwards.
    private static func verify(_ store: OpaquePointer?) -> CInt {
        let ssl = unsafe OpaquePointer(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()))
        guard let ssl = unsafe ssl, let wire = unsafe Wire.from(SSL_get_ex_data(ssl, 0)),
            let certificate = unsafe X509_STORE_CTX_get0_cert(store)
        else { return 0 }
        if unsafe wire.expected.isEmpty || DTLSFingerprint.any(of: wire.expected, matches: certificate) { return 1 }
        wire.sawMismatch = true
        // Of the reasons this is the one that becomes the alert bad_certificate.
        unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
        return 0
    }
}
