internal import Crypto

/// Which of the two integrity attributes protects a message.
public enum STUNIntegrity: Hashable, Sendable {
    /// MESSAGE-INTEGRITY: HMAC-SHA1 (RFC 8489 §14.5).
    case sha1
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256 (RFC 8489 §14.6).
    case sha256

    var byteCount: Int { self == .sha1 ? 20 : 32 }
}

/// The key of MESSAGE-INTEGRITY: the password's bytes for short-term credentials, which ICE uses, or the 16-byte digest
/// of `username:realm:password` for long-term ones (RFC 8489 §9).
public struct STUNIntegrityKey: Sendable {
    private let key: SymmetricKey
    /// Has taken the key in already: each message goes on from a copy.
    private let sha1: HMAC<Insecure.SHA1>

    /// A key of these bytes.
    public init(_ bytes: [UInt8]) {
        key = SymmetricKey(data: bytes)
        sha1 = HMAC(key: key)
    }

    /// The short-term key of a password.
    public init(password: String) { self.init(Array(password.utf8)) }

    /// The HMAC of `bytes`.
    func authenticationCode(for bytes: ArraySlice<UInt8>, _ integrity: STUNIntegrity = .sha1) -> [UInt8] {
        switch integrity {
        case .sha1:
            var code = sha1
            code.update(data: bytes)
            return unsafe code.finalize().withUnsafeBytes { unsafe [UInt8]($0) }
        case .sha256:
            return Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key))
        }
    }

    /// Compares in a time that does not depend on where the codes differ. A code of SHA-256 may be cut (RFC 8489 §14.6).
    func isValid(_ code: ArraySlice<UInt8>, for bytes: ArraySlice<UInt8>, _ integrity: STUNIntegrity = .sha1) -> Bool {
        let expected = authenticationCode(for: bytes, integrity).prefix(integrity == .sha1 ? .max : code.count)
        guard code.count == expected.count else { return false }
        var difference: UInt8 = 0
        for index in 0..<code.count {
            difference |= code[code.startIndex + index] ^ expected[expected.startIndex + index]
        }
        return difference == 0
    }
}
