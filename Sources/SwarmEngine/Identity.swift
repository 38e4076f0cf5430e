import Crypto
public import SEA

/// A member's own long-term key: signs presence records and signals. Made from a GUN SEA pair.
public struct Identity: Sendable {
    /// The public half.
    public let peerID: PeerID
    /// Both halves, as SEA has them.
    package let pair: SEAPair
    private let key: P256.Signing.PrivateKey

    /// Takes the signing half of a SEA pair.
    public init(_ pair: SEAPair) {
        self.pair = pair
        key = pair.signingKey
        peerID = PeerID(key.publicKey)
    }

    /// ECDSA-P256-SHA256 over `message`: r ‖ s, 64 bytes.
    ///
    /// - Throws: only what the cryptographic library throws when it is out of memory or randomness.
    func sign(_ message: [UInt8]) throws -> [UInt8] {
        Array(try key.signature(for: message).rawRepresentation)
    }
}
