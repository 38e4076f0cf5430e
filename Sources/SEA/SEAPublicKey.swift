package import Crypto
import SwarmBase

/// A point of the P-256 curve in SEA's text form: `x.y`, two 32-byte big-endian numbers in base64url of 43 characters.
///
/// SEA's `pub` (ECDSA) and `epub` (ECDH) are both of this form; which one it is, the context says. A value of this type
/// is always a point of the curve. Ordered by x, then y.
public struct SEAPublicKey: Sendable {
    /// x then y, 32 bytes each, big-endian.
    public let rawRepresentation: [UInt8]
    /// The point as an ECDSA key.
    package let verifyingKey: P256.Signing.PublicKey

    /// Reads `x.y`.
    ///
    /// - Returns: `nil` when the text is not of that form (each point has exactly one spelling) or the point is not on
    ///   the curve.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count == 87 else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let x = [UInt8](base64URL: parts[0]), let y = [UInt8](base64URL: parts[1]),
            x.count == 32, y.count == 32
        else { return nil }
        self.init(rawRepresentation: x + y)
    }

    /// Makes a key from x and y, 32 big-endian bytes each; `nil` when they are no point of the curve.
    public init?(rawRepresentation bytes: [UInt8]) {
        guard bytes.count == 64, let key = try? P256.Signing.PublicKey(rawRepresentation: bytes) else { return nil }
        rawRepresentation = bytes
        verifyingKey = key
    }

    init(_ key: P256.Signing.PublicKey) {
        rawRepresentation = Array(key.rawRepresentation)
        verifyingKey = key
    }

    init(_ key: P256.KeyAgreement.PublicKey) throws {
        rawRepresentation = Array(key.rawRepresentation)
        verifyingKey = try P256.Signing.PublicKey(rawRepresentation: rawRepresentation)
    }

    /// The point as an ECDH key.
    package var agreementKey: P256.KeyAgreement.PublicKey {
        guard let key = try? P256.KeyAgreement.PublicKey(rawRepresentation: rawRepresentation) else {
            preconditionFailure("the point was checked when this value was made")
        }
        return key
    }

    /// SEA's text: `x.y`.
    public var text: String {
        rawRepresentation.prefix(32).base64URL + "." + rawRepresentation.dropFirst(32).base64URL
    }

    /// Whether `signature` is this key's ECDSA-P256-SHA256 signature of `message`.
    ///
    /// - Parameter signature: raw r‖s, 64 bytes; any other count is never valid.
    public func verify(_ message: [UInt8], signature: [UInt8]) -> Bool {
        guard signature.count == 64, let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
        else { return false }
        return verifyingKey.isValidSignature(signature, for: message)
    }
}

extension SEAPublicKey: Hashable, Comparable, CustomStringConvertible {
    public static func == (a: SEAPublicKey, b: SEAPublicKey) -> Bool { a.rawRepresentation == b.rawRepresentation }

    public func hash(into hasher: inout Hasher) { hasher.combine(rawRepresentation) }

    public static func < (a: SEAPublicKey, b: SEAPublicKey) -> Bool {
        a.rawRepresentation.lexicographicallyPrecedes(b.rawRepresentation)
    }

    /// SEA's text: `x.y`.
    public var description: String { text }
}
