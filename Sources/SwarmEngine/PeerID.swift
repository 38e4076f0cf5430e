import Crypto
import SwarmBase

/// Who a member is: the P-256 public key it signs with, in GUN SEA's `pub` form (`x.y`, two base64url numbers).
///
/// A `PeerID` always holds a point of the curve. Order is that of the 64 raw bytes; the lower of two ids decides how
/// the pair connects (docs/protocol.md, "Who offers").
public struct PeerID: Hashable, Comparable, Sendable, LosslessStringConvertible {
    /// x ‖ y, 32 bytes each, big-endian.
    public let rawRepresentation: [UInt8]
    /// The first eight bytes: how a list of neighbours names a member.
    let prefix: UInt64

    /// Reads the 64 raw bytes.
    ///
    /// - Returns: `nil` when they are no point of P-256.
    public init?(rawRepresentation bytes: some Collection<UInt8>) {
        guard bytes.count == 64, (try? P256.Signing.PublicKey(rawRepresentation: Array(bytes))) != nil else {
            return nil
        }
        self.init(point: Array(bytes))
    }

    /// Reads SEA's `pub` text, 87 characters.
    public init?(_ description: String) {
        let parts = description.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 43 }),
            let x = [UInt8](base64URL: parts[0]), let y = [UInt8](base64URL: parts[1])
        else { return nil }
        self.init(rawRepresentation: x + y)
    }

    init(_ key: P256.Signing.PublicKey) { self.init(point: Array(key.rawRepresentation)) }

    private init(point: [UInt8]) {
        rawRepresentation = point
        prefix = point.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    public var description: String {
        rawRepresentation[..<32].base64URL + "." + rawRepresentation[32...].base64URL
    }

    /// The first characters, for people to read.
    public var short: String { String(description.prefix(8)) }

    public static func == (a: PeerID, b: PeerID) -> Bool {
        a.prefix == b.prefix && a.rawRepresentation == b.rawRepresentation
    }

    /// Ids are looked up for every packet. Their first eight bytes tell them apart: each further key with the same ones costs
    /// 2⁶⁴ keys to find.
    public func hash(into hasher: inout Hasher) { hasher.combine(prefix) }

    public static func < (a: PeerID, b: PeerID) -> Bool {
        a.prefix != b.prefix
            ? a.prefix < b.prefix : a.rawRepresentation.lexicographicallyPrecedes(b.rawRepresentation)
    }

    /// Whether `signature` (r ‖ s, 64 bytes) is this member's over `message`.
    func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        guard let key = try? P256.Signing.PublicKey(rawRepresentation: rawRepresentation),
            let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
        else { return false }
        return key.isValidSignature(signature, for: message)
    }
}
