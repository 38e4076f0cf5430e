import Crypto
import SwarmBase

/// The keys of the two mailboxes of one pair of runs: only these two can find, write and read them (docs/protocol.md,
/// "Signaling over the DHT").
struct MailboxKeys: Sendable {
    /// One direction.
    struct Box: Sendable {
        /// Signs the item; its public half names it.
        let signer: Curve25519.Signing.PrivateKey
        let seal: SymmetricKey

        var publicKey: [UInt8] { Array(signer.publicKey.rawRepresentation) }
    }

    let outgoing: Box
    let incoming: Box

    init(
        own: SessionKeyPair, ownID: PeerID, peer: SessionPublicKey, peerID: PeerID, topic: Topic
    ) throws(Refusal) {
        guard let key = peer.key, let shared = try? own.privateKey.sharedSecretFromKeyAgreement(with: key) else {
            throw .malformed
        }
        let ownFirst = ownID < peerID
        let ids = ownFirst ? [ownID, peerID] : [peerID, ownID]
        let keys = ownFirst ? [own.publicKey, peer] : [peer, own.publicKey]
        let info = Topic.label("mail") + ids.flatMap(\.rawRepresentation) + keys.flatMap(\.rawRepresentation)
        let derived = shared.hkdfDerivedSymmetricKey(
            using: SHA256.self, salt: topic.id, sharedInfo: info, outputByteCount: 128)
        var reader = ByteReader(derived.bytes)
        guard let lowSeed = reader.bytes(32), let highSeed = reader.bytes(32), let lowSeal = reader.bytes(32),
            let highSeal = reader.bytes(32),
            let lowSigner = try? Curve25519.Signing.PrivateKey(rawRepresentation: lowSeed),
            let highSigner = try? Curve25519.Signing.PrivateKey(rawRepresentation: highSeed)
        else { throw .malformed }
        let low = Box(signer: lowSigner, seal: SymmetricKey(data: lowSeal))
        let high = Box(signer: highSigner, seal: SymmetricKey(data: highSeal))
        outgoing = ownFirst ? low : high
        incoming = ownFirst ? high : low
    }
}
