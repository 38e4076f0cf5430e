package import Crypto
public import JSON
public import SwarmBase

/// Why keys were refused.
public enum SEAError: Error, Hashable, Sendable {
    /// The JSON is not an object with the four texts `pub`, `priv`, `epub` and `epriv`.
    case malformedPair
    /// `pub` or `epub` is not a point of the curve in SEA's form.
    case invalidPublicKey
    /// `priv` or `epriv` is not a number from 1 to the curve's order − 1 in SEA's form.
    case invalidPrivateKey
    /// A public key does not belong to its private key.
    case mismatchedPair
}

/// An identity in the format of GUN's SEA: one P-256 key pair that signs (`pub`, `priv`) and one for key agreement
/// (`epub`, `epriv`).
///
/// Printing, dumping or reflecting a pair shows the public parts only. To store it, use ``json``.
public struct SEAPair: Sendable {
    /// The key others verify with; its text is the identity.
    public let publicKey: SEAPublicKey
    /// The key others agree on secrets with.
    public let agreementPublicKey: SEAPublicKey
    /// The signing key.
    package let signingKey: P256.Signing.PrivateKey
    /// The key-agreement key.
    package let agreementKey: P256.KeyAgreement.PrivateKey

    private init(signing: [UInt8], agreement: [UInt8]) throws {
        signingKey = try P256.Signing.PrivateKey(rawRepresentation: signing)
        agreementKey = try P256.KeyAgreement.PrivateKey(rawRepresentation: agreement)
        publicKey = SEAPublicKey(signingKey.publicKey)
        agreementPublicKey = try SEAPublicKey(agreementKey.publicKey)
    }

    /// A new pair, drawn from `entropy`: use `.system` for every key that is to be secret.
    public static func generate(using entropy: inout Entropy) -> SEAPair {
        while true {
            // Numbers outside 1…n − 1 are refused and drawn again; their share is 2⁻³².
            if let pair = try? SEAPair(signing: entropy.bytes(32), agreement: entropy.bytes(32)) { return pair }
        }
    }

    /// Reads the four texts of a pair and checks that they belong together.
    public init(pub: String, priv: String, epub: String, epriv: String) throws(SEAError) {
        guard let publicKey = SEAPublicKey(pub), let agreementPublicKey = SEAPublicKey(epub) else {
            throw .invalidPublicKey
        }
        guard let signing = [UInt8](base64URL: priv), let agreement = [UInt8](base64URL: epriv),
            signing.count == 32, agreement.count == 32,
            let pair = try? SEAPair(signing: signing, agreement: agreement)
        else { throw .invalidPrivateKey }
        guard pair.publicKey == publicKey, pair.agreementPublicKey == agreementPublicKey else { throw .mismatchedPair }
        self = pair
    }

    /// The pair of two private keys; its public halves follow from them.
    public init(priv: String, epriv: String) throws(SEAError) {
        guard let signing = [UInt8](base64URL: priv), let agreement = [UInt8](base64URL: epriv),
            signing.count == 32, agreement.count == 32,
            let pair = try? SEAPair(signing: signing, agreement: agreement)
        else { throw .invalidPrivateKey }
        self = pair
    }

    /// Reads the object that ``json`` and gun.js's `SEA.pair()` give; other members are ignored.
    public init(json: JSONValue) throws(SEAError) {
        guard let pub = json["pub"]?.string, let priv = json["priv"]?.string, let epub = json["epub"]?.string,
            let epriv = json["epriv"]?.string
        else { throw .malformedPair }
        try self.init(pub: pub, priv: priv, epub: epub, epriv: epriv)
    }

    /// `{"pub","priv","epub","epriv"}`: holds the private keys.
    public var json: JSONValue {
        ["pub": .string(pub), "priv": .string(priv), "epub": .string(epub), "epriv": .string(epriv)]
    }

    /// The text of ``publicKey``.
    public var pub: String { publicKey.text }
    /// The signing key's number in base64url: secret.
    public var priv: String { Array(signingKey.rawRepresentation).base64URL }
    /// The text of ``agreementPublicKey``.
    public var epub: String { agreementPublicKey.text }
    /// The key-agreement key's number in base64url: secret.
    public var epriv: String { Array(agreementKey.rawRepresentation).base64URL }

    /// ECDSA-P256-SHA256 over `message`, as raw r‖s of 64 bytes. Randomised: two calls give two signatures.
    public func signBytes(_ message: [UInt8]) -> [UInt8] {
        guard let signature = try? signingKey.signature(for: message) else {
            preconditionFailure("a valid P-256 key signs every message")
        }
        return Array(signature.rawRepresentation)
    }

    /// The x-coordinate of the ECDH point with `other`, 32 bytes. Derive keys from it, do not use it as one.
    package func sharedSecret(with other: SEAPublicKey) -> [UInt8] {
        guard let secret = try? agreementKey.sharedSecretFromKeyAgreement(with: other.agreementKey) else {
            preconditionFailure("P-256 has no point of small order")
        }
        return unsafe secret.withUnsafeBytes { unsafe Array($0) }
    }

    /// `SEA.secret(theirEpub, myPair)`: the shared secret in base64url, to be used as a passphrase.
    public func secret(with epub: SEAPublicKey) -> String { sharedSecret(with: epub).base64URL }
}

extension SEAPair: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The public parts.
    public var description: String { "SEAPair(pub: \(pub), epub: \(epub))" }
    /// The public parts.
    public var debugDescription: String { description }
    /// The public parts.
    public var customMirror: Mirror { Mirror(self, children: ["pub": pub, "epub": epub]) }
}
