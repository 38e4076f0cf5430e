import SwarmBase

/// What a member says of itself to the swarm: who it is, its key for this run, its name. Signed by the member, sealed to
/// the topic (docs/protocol.md, "Presence record").
struct PresenceRecord: Equatable, Sendable {
    /// The longest name, in bytes of UTF-8.
    static let longestName = 64

    var peer: PeerID
    var sessionKey: SessionPublicKey
    /// Milliseconds since 1970 by the member's clock.
    var timestamp: UInt64
    /// The member says good-bye with this record.
    var isLeaving: Bool
    /// The member keeps its state, and takes mail.
    var keepsState: Bool
    /// The member knows lanes (docs/protocol.md, "Lanes").
    var knowsLanes = false
    /// What mail it takes may be of every lane, and have deadlines.
    var takesLaneMail = false
    var name: String

    /// Signs and seals.
    func sealed(by identity: Identity, topic: Topic) throws(Refusal) -> [UInt8] {
        var writer = ByteWriter(capacity: 320)
        write(to: &writer)
        guard let signature = try? identity.sign(Topic.label("presence") + topic.id + writer.bytes) else {
            throw .malformed
        }
        writer.append(signature)
        return try topic.seal(writer.bytes, as: "presence")
    }

    /// Opens a record and checks its signature. Whether it is fresh is the caller's to check.
    init(opening sealed: [UInt8], topic: Topic) throws(Refusal) {
        let plaintext = try topic.open(sealed, as: "presence")
        var reader = ByteReader(plaintext)
        guard let record = PresenceRecord(reading: &reader), reader.remaining == 64, let signature = reader.bytes(64)
        else { throw .malformed }
        guard record.peer.verifies(signature, of: Topic.label("presence") + topic.id + plaintext.dropLast(64)) else {
            throw .forged
        }
        self = record
    }

    /// Writes the content, without a signature.
    func write(to writer: inout ByteWriter) {
        writer.integer(UInt8(1))
        writer.append(peer.rawRepresentation)
        writer.append(sessionKey.rawRepresentation)
        writer.integer(timestamp)
        writer.integer(
            UInt8((isLeaving ? 1 : 0) | (knowsLanes ? 2 : 0) | (keepsState ? 4 : 0) | (takesLaneMail ? 8 : 0)))
        writer.prefixed(by: UInt8.self, Array(name.utf8.prefix(Self.longestName)))
    }

    /// Reads the content; what follows is the caller's to read.
    init?(reading reader: inout ByteReader) {
        guard let version: UInt8 = reader.integer(), version == 1, let raw = reader.bytes(64),
            let peer = PeerID(rawRepresentation: raw), let key = reader.bytes(64),
            let sessionKey = SessionPublicKey(rawRepresentation: key), let timestamp: UInt64 = reader.integer(),
            let flags: UInt8 = reader.integer(), let name = reader.prefixed(by: UInt8.self),
            name.count <= Self.longestName
        else { return nil }
        self.init(
            peer: peer, sessionKey: sessionKey, timestamp: timestamp, isLeaving: flags & 1 != 0,
            knowsLanes: flags & 2 != 0, keepsState: flags & 4 != 0, takesLaneMail: flags & 8 != 0,
            name: String(decoding: name, as: UTF8.self))
    }

    init(
        peer: PeerID, sessionKey: SessionPublicKey, timestamp: UInt64, isLeaving: Bool, knowsLanes: Bool = false,
        keepsState: Bool = false, takesLaneMail: Bool = false,
        name: String
    ) {
        self.peer = peer
        self.sessionKey = sessionKey
        self.timestamp = timestamp
        self.isLeaving = isLeaving
        self.keepsState = keepsState
        self.takesLaneMail = takesLaneMail
        self.knowsLanes = knowsLanes
        self.name = name
    }
}
