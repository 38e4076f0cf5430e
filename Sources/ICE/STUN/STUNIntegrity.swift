internal import Crypto

/// The key of MESSAGE-INTEGRITY: the password's bytes for short-term credentials, which ICE uses, or the 16-byte digest
/// of `username:realm:password` for long-term ones (RFC 8489 §9).
public struct STUNIntegrityKey: Sendable {
    private let key: SymmetricKey

    /// A key of these bytes.
    public init(_ bytes: [UInt8]) { key = SymmetricKey(data: bytes) }

    /// The short-term key of a password.
    public init(password: String) { self.init(Array(password.utf8)) }

    /// HMAC-SHA1: 20 bytes.
    func authenticationCode(for bytes: ArraySlice<UInt8>) -> [UInt8] {
        Array(HMAC<Insecure.SHA1>.authenticationCode(for: bytes, using: key))
    }

    /// Compares in a time that does not depend on where the codes differ.
    func isValid(_ code: ArraySlice<UInt8>, for bytes: ArraySlice<UInt8>) -> Bool {
        let expected = authenticationCode(for: bytes)
        return code.count == expected.count && zip(code, expected).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
