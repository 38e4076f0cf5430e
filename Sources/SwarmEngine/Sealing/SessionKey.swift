import Crypto

/// The ephemeral key pair of one run of a node: its public half is in the presence record.
///
/// The private half never leaves memory, so what was sealed with it cannot be opened once the process has ended.
struct SessionKeyPair: Sendable {
    let privateKey: P256.KeyAgreement.PrivateKey

    init(_ privateKey: P256.KeyAgreement.PrivateKey) { self.privateKey = privateKey }

    /// A new one. What is sent of it is both coordinates, so it need not be one of the half of all keys whose second coordinate follows
    /// from the first.
    init() { self.init(P256.KeyAgreement.PrivateKey(compactRepresentable: false)) }

    var publicKey: SessionPublicKey { SessionPublicKey(privateKey.publicKey) }
}

/// The public half of a member's ephemeral key: 64 raw bytes that are a point of P-256.
struct SessionPublicKey: Hashable, Sendable {
    let rawRepresentation: [UInt8]

    init(_ key: P256.KeyAgreement.PublicKey) { rawRepresentation = Array(key.rawRepresentation) }

    init?(rawRepresentation bytes: [UInt8]) {
        guard (try? P256.KeyAgreement.PublicKey(rawRepresentation: bytes)) != nil else { return nil }
        rawRepresentation = bytes
    }

    var key: P256.KeyAgreement.PublicKey? { try? P256.KeyAgreement.PublicKey(rawRepresentation: rawRepresentation) }
}
