import Crypto
import FoundationEssentials  // HPKE's interface speaks of Data.
import SwarmBase

/// HPKE (RFC 9180) as every sealed thing here uses it: base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one
/// message for each encapsulated key.
enum SealedBox {
    /// The bytes of an encapsulated key: an uncompressed point.
    static let encapsulatedKeySize = 65

    /// - Returns: encapsulated key ‖ ciphertext.
    static func seal(
        _ plaintext: [UInt8], to key: SessionPublicKey, info: [UInt8], authenticating data: [UInt8] = []
    ) throws(Refusal) -> [UInt8] {
        guard let key = key.key,
            var sender = try? HPKE.Sender(
                recipientKey: key, ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info)),
            let ciphertext = try? sender.seal(plaintext, authenticating: data)
        else { throw .malformed }
        return Array(sender.encapsulatedKey) + ciphertext
    }

    /// Opens what `seal` made for the public half of `key`.
    static func open(
        _ sealed: ArraySlice<UInt8>, with key: SessionKeyPair, info: [UInt8], authenticating data: [UInt8] = []
    ) throws(Refusal) -> [UInt8] {
        guard sealed.count > encapsulatedKeySize else { throw .malformed }
        guard
            var recipient = try? HPKE.Recipient(
                privateKey: key.privateKey, ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info),
                encapsulatedKey: Data(sealed.prefix(encapsulatedKeySize))),
            let plaintext = try? recipient.open(
                Array(sealed.dropFirst(encapsulatedKeySize)), authenticating: data)
        else { throw .notForUs }
        return Array(plaintext)
    }
}
