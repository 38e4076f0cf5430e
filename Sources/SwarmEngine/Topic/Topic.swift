import Crypto
import CryptoExtras
public import Magnet
import SwarmBase

/// What the members of one swarm share: the infohash, and the keys and names derived from it and from the secret.
///
/// Derivations are in docs/protocol.md, "Topic". Whoever knows the infohash of a public swarm, or the infohash and the
/// secret of a private one, can read presence records; nobody else can, the relays and trackers that carry them included.
public struct Topic: Sendable {
    /// The 20 bytes that trackers and the DHT know the swarm by.
    public let infoHash: InfoHash
    /// Names the topic inside signatures, so that nothing signed for one swarm is worth anything in another.
    let id: [UInt8]
    /// Seals what every member may read.
    let sealKey: SymmetricKey
    private let root: SymmetricKey

    /// PBKDF2-HMAC-SHA256 rounds that stretch a passphrase.
    static let rounds = 600_000

    /// A swarm known by its infohash.
    ///
    /// - Parameter secret: the passphrase of a private swarm; stretching it takes some 0.2 s.
    public init(infoHash: InfoHash, secret: String? = nil) {
        self.infoHash = infoHash
        let material: SymmetricKey
        if let secret {
            material = Self.stretched(secret, salt: Self.label("topic") + infoHash.bytes)
        } else {
            material = SymmetricKey(data: infoHash.bytes)
        }
        let pseudorandom = HKDF<SHA256>.extract(inputKeyMaterial: material, salt: Self.label("topic"))
        root = SymmetricKey(data: pseudorandom)
        id = Self.expand(root, "id", count: 16)
        sealKey = SymmetricKey(data: Self.expand(root, "seal", count: 32))
    }

    /// A swarm known by a plain name: everybody who types the same name (and secret) meets.
    public init(name: String, secret: String? = nil) {
        let infoHash: [UInt8]
        if let secret {
            let stretched = Self.stretched(secret, salt: Self.label("name ") + Array(name.utf8))
            infoHash = Self.expand(stretched, "infohash", count: 20)
        } else {
            infoHash = Array(Insecure.SHA1.hash(data: Self.label("name ") + Array(name.utf8)))
        }
        guard let hash = InfoHash(bytes: infoHash) else { preconditionFailure("an infohash is 20 bytes") }
        self.init(infoHash: hash, secret: secret)
    }

    /// The soul that holds the presence records of one day (days since 1970, UTC). A soul's keys are never removed, so
    /// a new soul each day bounds what a swarm with many visitors leaves behind.
    func presenceSoul(day: Int) -> String {
        "swarm/" + Self.expand(root, "presence \(day)", count: 16).base64URL
    }

    /// The soul through which relays carry datagrams to one member; one a day, too, for each sender leaves keys in it.
    func inboxSoul(of peer: PeerID, day: Int) -> String {
        "swarm/" + Self.expand(root, "inbox \(day) \(peer)", count: 16).base64URL
    }

    /// The soul that holds what is left for a member in one week; relays that know such souls forget it after a fortnight.
    func mailSoul(of peer: PeerID, week: Int) -> String {
        "swarm/" + Self.expand(root, "mail \(week) \(peer)", count: 16).base64URL + "<?1209600"
    }

    /// What stands for the swarm on the local network on one day: says nothing of the infohash to who does not know it.
    func lanHash(day: Int) -> InfoHash {
        guard let hash = InfoHash(bytes: Self.expand(root, "lan \(day)", count: 20)) else {
            preconditionFailure("an infohash is 20 bytes")
        }
        return hash
    }

    /// The infohash that members announce themselves for in the DHT on one day.
    func dhtHash(day: Int) -> [UInt8] { Self.expand(root, "dht \(day)", count: 20) }

    /// The seed of the Ed25519 key under which members leave their presence records in the DHT on one day.
    func dhtSeed(day: Int) -> [UInt8] { Self.expand(root, "dht presence \(day)", count: 32) }

    /// A member's name inside the souls of this swarm: says nothing to those who do not know the topic.
    func tag(of peer: PeerID) -> String { Self.expand(root, "tag \(peer)", count: 9).base64URL }

    /// "swarm-space/1 " and a word: what each derivation and signature begins with.
    static func label(_ word: String) -> [UInt8] { Array("swarm-space/1 \(word)".utf8) }

    private static func expand(_ key: SymmetricKey, _ word: String, count: Int) -> [UInt8] {
        HKDF<SHA256>.expand(pseudoRandomKey: key, info: label(word), outputByteCount: count).bytes
    }

    private static func stretched(_ secret: String, salt: [UInt8]) -> SymmetricKey {
        do {
            return try KDF.Insecure.PBKDF2.deriveKey(
                from: Array(secret.utf8), salt: salt, using: .sha256, outputByteCount: 32, rounds: rounds)
        } catch {
            // The parameters are constants the library accepts (tested); nothing of the passphrase can make it fail.
            preconditionFailure("PBKDF2 refused: \(error)")
        }
    }
}

extension SymmetricKey {
    /// The key's bytes, copied out.
    var bytes: [UInt8] { unsafe withUnsafeBytes { unsafe Array($0) } }
}
