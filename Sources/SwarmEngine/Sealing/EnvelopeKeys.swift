import Crypto
import SwarmBase

/// The two runs that share keys: the member with the lower id begins (docs/protocol.md, "Rekeying").
struct SessionParties: Sendable {
    let lower: PeerID
    let higher: PeerID
    /// Whether this member is the lower one.
    let ownIsLower: Bool
    let topic: Topic

    init(own: PeerID, peer: PeerID, topic: Topic) {
        ownIsLower = own < peer
        lower = ownIsLower ? own : peer
        higher = ownIsLower ? peer : own
        self.topic = topic
    }

    /// Both ids, the lower first.
    var bytes: [UInt8] { lower.rawRepresentation + higher.rawRepresentation }
}

/// What one epoch's envelopes are sealed with, and what the next epoch's keys come from (docs/protocol.md, "Envelope").
struct EnvelopeKeys: Sendable {
    let send: SymmetricKey
    let receive: SymmetricKey
    /// Names the key that we send with.
    let sendID: UInt64
    let receiveID: UInt64
    let root: SymmetricKey

    /// The keys of epoch 0, from the two runs' session keys: both sides know them as soon as they hold each other's presence
    /// record, with no round trip.
    init(own: SessionKeyPair, peer: SessionPublicKey, parties: SessionParties) throws(Refusal) {
        let keys = parties.ownIsLower ? [own.publicKey, peer] : [peer, own.publicKey]
        let info = Topic.label("session") + parties.bytes + keys.flatMap(\.rawRepresentation)
        try self.init(own: own, peer: peer, salt: parties.topic.id, info: info, ownIsLower: parties.ownIsLower)
    }

    /// The keys of a further epoch.
    ///
    /// - Parameters:
    ///   - own: a key pair of this exchange only.
    ///   - root: that of the epoch before.
    init(
        own: SessionKeyPair, peer: SessionPublicKey, root: SymmetricKey, epoch: UInt32, parties: SessionParties
    ) throws(Refusal) {
        let keys = parties.ownIsLower ? [own.publicKey, peer] : [peer, own.publicKey]
        var info = ByteWriter(capacity: 288)
        info.append(Topic.label("rekey") + parties.bytes)
        info.integer(epoch)
        info.append(keys.flatMap(\.rawRepresentation))
        try self.init(own: own, peer: peer, salt: root.bytes, info: info.bytes, ownIsLower: parties.ownIsLower)
    }

    private init(
        own: SessionKeyPair, peer: SessionPublicKey, salt: [UInt8], info: [UInt8], ownIsLower: Bool
    ) throws(Refusal) {
        guard let key = peer.key, let shared = try? own.privateKey.sharedSecretFromKeyAgreement(with: key) else {
            throw .malformed
        }
        let derived = shared.hkdfDerivedSymmetricKey(
            using: SHA256.self, salt: salt, sharedInfo: info, outputByteCount: 112)
        var reader = ByteReader(derived.bytes)
        guard let low = reader.bytes(32), let high = reader.bytes(32), let lowID: UInt64 = reader.integer(),
            let highID: UInt64 = reader.integer(), let root = reader.bytes(32)
        else { throw .malformed }
        send = SymmetricKey(data: ownIsLower ? low : high)
        receive = SymmetricKey(data: ownIsLower ? high : low)
        sendID = ownIsLower ? lowID : highID
        receiveID = ownIsLower ? highID : lowID
        self.root = SymmetricKey(data: root)
    }
}
