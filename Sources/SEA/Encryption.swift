import Crypto
public import JSON
public import SwarmBase

/// SEA's symmetric encryption: AES-256-GCM under a key made from a passphrase and a random salt.
public struct SEACipher: Sendable {
    private let passphrase: [UInt8]

    /// SEA's salt, in bytes.
    static let saltByteCount = 9
    /// SEA's initialisation vector, in bytes (GCM's own is 12; longer ones are hashed by GCM).
    static let ivByteCount = 15
    private static let tagByteCount = 16

    /// Encrypts under a passphrase or a shared secret's text.
    public init(passphrase: String) { self.passphrase = Array(passphrase.utf8) }

    /// SHA-256 of the passphrase followed by the salt, each byte of which counts as the character U+0000…U+00FF: two
    /// bytes of UTF-8 from 0x80 on.
    func key(salt: [UInt8]) -> SymmetricKey {
        SymmetricKey(data: SHA256.hash(data: passphrase + JSONText(latin1: salt).utf8))
    }

    /// `SEA.encrypt(data, key)`: the text `SEA{"ct":…,"iv":…,"s":…}`.
    public func encrypt(_ data: JSONValue, using entropy: inout Entropy) -> JSONText {
        let salt = entropy.bytes(Self.saltByteCount)
        let iv = entropy.bytes(Self.ivByteCount)
        guard let nonce = try? AES.GCM.Nonce(data: iv),
            let box = try? AES.GCM.seal(seaText(data), using: key(salt: salt), nonce: nonce)
        else { preconditionFailure("AES-256-GCM takes every IV from 12 bytes on") }
        let sealed: JSONValue = [
            "ct": .string((Array(box.ciphertext) + Array(box.tag)).base64), "iv": .string(iv.base64),
            "s": .string(salt.base64),
        ]
        return JSONText(utf8: Array("SEA".utf8) + sealed.serialized())
    }

    /// `SEA.decrypt(text, key)`: what was encrypted, or `nil` when the key is another one or the text was changed. A
    /// text that is JSON comes back as what it says (`"123"` as a number).
    public func decrypt(_ text: JSONText) -> JSONValue? {
        decryptText(text).map { seaParsed(JSONText(utf8: $0)) }
    }

    /// As ``decrypt(_:)``, but the plaintext's bytes as they are.
    public func decryptText(_ text: JSONText) -> [UInt8]? {
        let sealed = seaParsed(text)
        guard let combined = sealed["ct"]?.string.flatMap(bytes(base64:)), combined.count >= Self.tagByteCount,
            let iv = sealed["iv"]?.string.flatMap(bytes(base64:)), (12...64).contains(iv.count),
            let salt = sealed["s"]?.string.flatMap(bytes(base64:)), salt.count <= 64,
            let nonce = try? AES.GCM.Nonce(data: iv),
            let box = try? AES.GCM.SealedBox(
                nonce: nonce, ciphertext: combined.dropLast(Self.tagByteCount), tag: combined.suffix(Self.tagByteCount)),
            let plaintext = try? AES.GCM.open(box, using: key(salt: salt))
        else { return nil }
        return Array(plaintext)
    }
}

extension SEACipher: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Nothing of the passphrase.
    public var description: String { "SEACipher" }
    /// Nothing of the passphrase.
    public var debugDescription: String { description }
    /// Nothing of the passphrase.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension SEAPair {
    /// `SEA.encrypt(data, pair)`: for this pair's own eyes (the key is made from `epriv`).
    public func encrypt(_ data: JSONValue, using entropy: inout Entropy) -> JSONText {
        SEACipher(passphrase: epriv).encrypt(data, using: &entropy)
    }

    /// `SEA.decrypt(text, pair)`: what this pair encrypted, or `nil`.
    public func decrypt(_ text: JSONText) -> JSONValue? { SEACipher(passphrase: epriv).decrypt(text) }
}
