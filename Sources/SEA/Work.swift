import Crypto
import CryptoExtras
public import JSON
import SwarmBase

/// SEA's proof of work and key stretching.
public enum SEAWork {
    /// What gun.js uses: fewer than PBKDF2-HMAC-SHA256 is advised to have today, fixed by the format.
    public static let iterations = 100_000

    /// `SEA.work(data, salt)` before its base64: PBKDF2-HMAC-SHA256.
    ///
    /// - Parameters:
    ///   - data: a text, or anything else as JSON.
    ///   - salt: a text; for a pair its `epub`.
    ///   - iterations: at least 1. 100,000 take about 17 ms.
    ///   - byteCount: 1 to 1024.
    public static func pbkdf2(
        _ data: JSONValue, salt: JSONText, iterations: Int = iterations, byteCount: Int = 64
    ) -> [UInt8] {
        precondition(iterations >= 1 && (1...1024).contains(byteCount))
        guard
            let key = try? KDF.Insecure.PBKDF2.deriveKey(
                from: seaText(data), salt: salt.utf8, using: .sha256, outputByteCount: byteCount,
                unsafeUncheckedRounds: iterations)
        else { preconditionFailure("PBKDF2 takes every password and salt") }
        return unsafe key.withUnsafeBytes { unsafe Array($0) }
    }

    /// `SEA.work(data, salt)`: 64 bytes of PBKDF2 in base64.
    public static func work(_ data: JSONValue, salt: JSONText) -> String { pbkdf2(data, salt: salt).base64 }

    /// `SEA.work(data, null, null, {name: "SHA-256"})` before its base64: the hash of content-addressed nodes.
    public static func sha256(_ data: JSONValue) -> [UInt8] { seaDigest(data) }
}
