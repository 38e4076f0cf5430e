import Crypto
import SwarmBase

/// Tokens that prove a round trip before anything is stored (BEP 5): a keyed hash over the address and the target.
struct WriteTokens: Sendable {
    /// The secret is a new one so often; the one before is good for as long again.
    static let lifetime: Duration = .seconds(300)
    static let byteCount = 8

    private var current: SymmetricKey
    private var previous: SymmetricKey
    private var renewAt: Instant

    init(entropy: inout Entropy, now: Instant) {
        current = SymmetricKey(data: entropy.bytes(32))
        previous = SymmetricKey(data: entropy.bytes(32))
        renewAt = now + Self.lifetime
    }

    mutating func renew(entropy: inout Entropy, now: Instant) {
        while now >= renewAt {
            previous = current
            current = SymmetricKey(data: entropy.bytes(32))
            // After a long sleep both are new.
            renewAt = now - renewAt > Self.lifetime ? now : renewAt + Self.lifetime
        }
    }

    func token(for address: IPAddress, target: NodeID) -> [UInt8] { Self.token(current, address, target) }

    func accepts(_ token: [UInt8], from address: IPAddress, target: NodeID) -> Bool {
        guard token.count == Self.byteCount else { return false }
        return token == Self.token(current, address, target) || token == Self.token(previous, address, target)
    }

    private static func token(_ key: SymmetricKey, _ address: IPAddress, _ target: NodeID) -> [UInt8] {
        var content = address.bytes
        target.append(to: &content)
        return Array(HMAC<SHA256>.authenticationCode(for: content, using: key).prefix(byteCount))
    }
}
