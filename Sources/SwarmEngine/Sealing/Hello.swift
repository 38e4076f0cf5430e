import SwarmBase

/// What members say first to each other by datagram: who they are, and that each has received what the other sent
/// (docs/protocol.md, "Signaling by datagram"). Signed by the member, sealed to the topic.
struct Hello: Equatable, Sendable {
    /// The presence record's content; the signature is that of the hello.
    var presence: PresenceRecord
    /// Which plane the sender has the receiver's address from.
    var plane: Plane
    /// The sender has not seen yet that its hellos arrive: it wants an answer.
    var wantsAnswer: Bool
    /// Random, one for each address that is spoken to.
    var token: UInt64
    /// The token of the receiver's last hello; 0 when none has come.
    var echo: UInt64

    init(presence: PresenceRecord, plane: Plane, wantsAnswer: Bool, token: UInt64, echo: UInt64) {
        self.presence = presence
        self.plane = plane
        self.wantsAnswer = wantsAnswer
        self.token = token
        self.echo = echo
    }

    /// Signs and seals.
    func sealed(by identity: Identity, topic: Topic) throws(Refusal) -> [UInt8] {
        var writer = ByteWriter(capacity: 384)
        writer.integer(UInt8(1))
        writer.integer(UInt8(wantsAnswer ? 1 : 0))
        writer.integer(plane.code)
        writer.integer(token)
        writer.integer(echo)
        presence.write(to: &writer)
        guard let signature = try? identity.sign(Topic.label("hello") + topic.id + writer.bytes) else {
            throw .malformed
        }
        writer.append(signature)
        return try topic.seal(writer.bytes, as: "hello")
    }

    /// Reads what was sealed to the topic, and checks the signature. Whether it is fresh is the caller's to check.
    init(signed plaintext: [UInt8], topic: Topic) throws(Refusal) {
        var reader = ByteReader(plaintext)
        guard let version: UInt8 = reader.integer(), version == 1, let flags: UInt8 = reader.integer(),
            let code: UInt8 = reader.integer(), let token: UInt64 = reader.integer(),
            let echo: UInt64 = reader.integer(), let presence = PresenceRecord(reading: &reader),
            reader.remaining == 64, let signature = reader.bytes(64)
        else { throw .malformed }
        guard presence.peer.verifies(signature, of: Topic.label("hello") + topic.id + plaintext.dropLast(64)) else {
            throw .forged
        }
        self.init(
            presence: presence, plane: Plane(code: code) ?? .mesh, wantsAnswer: flags & 1 != 0, token: token,
            echo: echo)
    }
}

extension Plane {
    /// How a hello names the plane.
    fileprivate var code: UInt8 {
        switch self {
        case .mesh: 0
        case .tracker: 1
        case .dht: 2
        case .gun: 3
        case .lan: 4
        case .known: 5
        }
    }

    fileprivate init?(code: UInt8) {
        guard let plane = Plane.allCases.first(where: { $0.code == code }) else { return nil }
        self = plane
    }
}
