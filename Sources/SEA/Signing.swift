import Crypto
public import JSON
import SwarmBase

/// What SEA hashes or encrypts of a value: a text itself, anything else as JSON; in UTF-8.
func seaText(_ value: JSONValue) -> [UInt8] {
    if case .text(let text) = value { text.utf8 } else { value.serialized() }
}

/// SEA's reading of a text: without the prefix of `SEA{`, as JSON when it is JSON, else as a text.
func seaParsed(_ text: JSONText) -> JSONValue {
    var bytes = text.utf8
    if bytes.starts(with: "SEA{".utf8) { bytes.removeFirst(3) }
    return (try? JSONValue(parsing: bytes)) ?? .text(JSONText(utf8: bytes))
}

/// The bytes that ECDSA signs (and hashes once more): SHA-256 of the value's text.
func seaDigest(_ value: JSONValue) -> [UInt8] { Array(SHA256.hash(data: seaText(value))) }

extension SEAPair {
    /// `SEA.sign(data, pair)`: the text `SEA{"m":value,"s":"signature"}`.
    ///
    /// As in gun.js a text that is JSON is signed as what it says (`"123"` as the number 123), and what this pair has
    /// signed already is returned unchanged.
    public func sign(_ data: JSONValue) -> JSONText {
        let message = data.text.map(seaParsed) ?? data
        if message["m"] != nil, message["s"] != nil, publicKey.verifySigned(message) != nil {
            return JSONText(utf8: Array("SEA".utf8) + message.serialized())
        }
        let signed: JSONValue = ["m": message, "s": .string(signBytes(seaDigest(message)).base64)]
        return JSONText(utf8: Array("SEA".utf8) + signed.serialized())
    }
}

extension SEAPublicKey {
    /// `SEA.verify(text, pub)`: the value that was signed, or `nil`. The prefix `SEA` may be missing; a signed text
    /// that is JSON comes back as what it says.
    public func verify(_ text: JSONText) -> JSONValue? { verifySigned(seaParsed(text)) }

    /// Checks `{"m":value,"s":"signature"}`.
    func verifySigned(_ signed: JSONValue) -> JSONValue? {
        guard let message = signed["m"], let signature = signed["s"]?.string.flatMap(bytes(base64:)),
            verify(seaDigest(message), signature: signature)
        else { return nil }
        return message.text.map(seaParsed) ?? message
    }
}
