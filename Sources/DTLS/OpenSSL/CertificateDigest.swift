internal import COpenSSL

extension DTLSFingerprint {
    /// The digest of an `X509`; `nil` only when OpenSSL runs out of memory.
    init?(of certificate: OpaquePointer, _ hashFunction: HashFunction) {
        let algorithm: OpaquePointer?
        switch hashFunction {
        case .sha256: unsafe algorithm = EVP_sha256()
        case .sha384: unsafe algorithm = EVP_sha384()
        case .sha512: unsafe algorithm = EVP_sha512()
        }
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var length: UInt32 = 0
        let done = unsafe digest.withUnsafeMutableBufferPointer { buffer in
            unsafe X509_digest(certificate, algorithm, buffer.baseAddress, &length)
        }
        guard done == 1 else { return nil }
        self.init(hashFunction, digest: Array(digest.prefix(Int(length))))
    }

    /// Whether any of the fingerprints is the certificate's; several are alternatives (RFC 8122 §5).
    static func any(of fingerprints: [DTLSFingerprint], matches certificate: OpaquePointer) -> Bool {
        fingerprints.contains { unsafe DTLSFingerprint(of: certificate, $0.hashFunction) == $0 }
    }
}
