import Crypto
import SwarmBase

extension Topic {
    /// Seals what every member may read: nonce ‖ ciphertext ‖ tag, AES-256-GCM, `word` authenticated with it.
    func seal(_ plaintext: [UInt8], as word: String) throws(Refusal) -> [UInt8] {
        guard let box = try? AES.GCM.seal(plaintext, using: sealKey, authenticating: Self.label(word)),
            let combined = box.combined
        else { throw .malformed }
        return Array(combined)
    }

    /// Opens what `seal` of any member made.
    func open(_ sealed: [UInt8], as word: String) throws(Refusal) -> [UInt8] {
        guard let box = try? AES.GCM.SealedBox(combined: sealed) else { throw .malformed }
        guard let plaintext = try? AES.GCM.open(box, using: sealKey, authenticating: Self.label(word)) else {
            throw .notForUs
        }
        return Array(plaintext)
    }
}
