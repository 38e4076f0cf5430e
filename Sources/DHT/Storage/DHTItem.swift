public import Bencode
public import Crypto
import SwarmBase

/// Something that anybody may put into the DHT (BEP 44): a value under its own hash, or under a key that signs it.
public enum DHTItem: Hashable, Sendable {
    /// The canonical encoding of a value.
    case immutable([UInt8])
    case mutable(MutableItem)

    /// The longest value, encoded.
    public static let largestValue = 1000

    /// Where it is kept.
    public var target: NodeID {
        switch self {
        case .immutable(let value): NodeID(hashing: value)
        case .mutable(let item): MutableItem.target(key: item.key, salt: item.salt)
        }
    }

    /// The value's encoding.
    public var value: [UInt8] {
        switch self {
        case .immutable(let value): value
        case .mutable(let item): item.value
        }
    }

    /// An item that never changes.
    ///
    /// - Returns: `nil` when it is longer than 1,000 bytes encoded.
    public static func immutable(_ value: BencodeValue) -> DHTItem? {
        let encoded = value.encoded
        return encoded.count <= largestValue ? .immutable(encoded) : nil
    }
}

/// An item that its writer replaces: who holds the private key writes, who knows key and salt finds it.
public struct MutableItem: Hashable, Sendable {
    /// The longest salt, in bytes.
    public static let longestSalt = 64

    /// The Ed25519 public key, 32 bytes.
    public var key: [UInt8]
    /// Tells the items of one key apart; 0…64 bytes.
    public var salt: [UInt8]
    /// Grows with every change; 0…2^63-1.
    public var sequence: Int64
    /// The canonical encoding of the value, at most 1,000 bytes.
    public var value: [UInt8]
    /// 64 bytes over salt, sequence number and value.
    public var signature: [UInt8]

    public init(key: [UInt8], salt: [UInt8], sequence: Int64, value: [UInt8], signature: [UInt8]) {
        self.key = key
        self.salt = salt
        self.sequence = sequence
        self.value = value
        self.signature = signature
    }

    /// Makes and signs an item.
    ///
    /// - Returns: `nil` when value or salt are too long, or the sequence number is negative.
    public init?(
        _ value: BencodeValue, sequence: Int64, salt: [UInt8] = [], signedBy signer: Curve25519.Signing.PrivateKey
    ) {
        let encoded = value.encoded
        guard encoded.count <= DHTItem.largestValue, salt.count <= Self.longestSalt, sequence >= 0,
            let signature = try? signer.signature(
                for: Self.signed(salt: salt, sequence: sequence, value: encoded))
        else { return nil }
        self.init(
            key: Array(signer.publicKey.rawRepresentation), salt: salt, sequence: sequence, value: encoded,
            signature: Array(signature))
    }

    /// Where the items of a key and a salt are kept.
    public static func target(key: [UInt8], salt: [UInt8]) -> NodeID { NodeID(hashing: key + salt) }

    /// Whether the signature is the key's.
    public var isAuthentic: Bool {
        // A key of small order signs anything for anybody.
        guard key.count == 32, signature.count == 64, !SmallOrderKeys.contains(key),
            let verifier = try? Curve25519.Signing.PublicKey(rawRepresentation: key)
        else { return false }
        return verifier.isValidSignature(
            signature, for: Self.signed(salt: salt, sequence: sequence, value: value))
    }

    /// What is signed: the parts of the message as they stand in it.
    static func signed(salt: [UInt8], sequence: Int64, value: [UInt8]) -> [UInt8] {
        var writer = BencodeWriter(capacity: value.count + 96)
        if !salt.isEmpty {
            writer.key("salt")
            writer.string(salt)
        }
        writer.key("seq")
        writer.integer(sequence)
        writer.key("v")
        writer.encoded(value)
        return writer.bytes
    }
}

/// The points of Curve25519 whose order divides 8, in every encoding that a decoder takes (RFC 8032 §5.1.3).
enum SmallOrderKeys {
    /// The y-coordinates without the sign bit, little-endian: 0, 1, -1, the two of order 8, and those of 0, 1 and -1 that are not
    /// reduced.
    private static let coordinates: Set<[UInt8]> = {
        let p = [UInt8]([0xed]) + [UInt8](repeating: 0xff, count: 30) + [0x7f]
        var result: Set<[UInt8]> = []
        for (base, offset) in [
            ([UInt8](repeating: 0, count: 32), 0), ([UInt8](repeating: 0, count: 32), 1), (p, -1), (p, 0), (p, 1),
        ] {
            var bytes = base
            bytes[0] = UInt8(Int(bytes[0]) + offset)
            result.insert(bytes)
        }
        for text in [
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ] {
            if let bytes = [UInt8](hexadecimal: text) { result.insert(bytes) }
        }
        return result
    }()

    static func contains(_ key: [UInt8]) -> Bool {
        guard let last = key.last else { return false }
        return coordinates.contains(key.dropLast() + [last & 0x7f])
    }
}
