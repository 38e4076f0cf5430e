import SwarmBase

/// Frames for a member that is away: signed by the sender, sealed to a prekey of the recipient (docs/protocol.md, "Items").
struct MailItem: Equatable, Sendable {
    var sender: PeerID
    var recipient: PeerID
    /// Milliseconds since 1970 by the sender's clock.
    var timestamp: UInt64
    /// A packet of the session.
    var packet: [UInt8]

    /// The largest item, in bytes.
    static let largest = 24 * 1024
    private static let headSize = 5

    /// Signs and seals.
    func sealed(by identity: Identity, to prekey: Prekey, topic: Topic) throws(Refusal) -> [UInt8] {
        var body = ByteWriter(capacity: 256 + packet.count)
        body.append(sender.rawRepresentation)
        body.append(recipient.rawRepresentation)
        body.integer(timestamp)
        body.append(packet)
        let head = Self.head(prekey.id)
        guard let signature = try? identity.sign(Self.signed(prekey.id, body.bytes, topic: topic)) else {
            throw .malformed
        }
        return head
            + (try SealedBox.seal(body.bytes + signature, to: prekey.key, info: Self.info(topic), authenticating: head))
    }

    /// Which prekey an item is sealed to.
    static func prekey(of sealed: [UInt8]) -> PrekeyID? {
        var reader = ByteReader(Array(sealed.prefix(headSize)))
        guard reader.integer(UInt8.self) == 1, let number: UInt32 = reader.integer() else { return nil }
        return PrekeyID(number)
    }

    /// Opens an item, and checks the signature. Its age is the caller's to check.
    init(opening sealed: [UInt8], with pair: SessionKeyPair, topic: Topic) throws(Refusal) {
        guard let id = Self.prekey(of: sealed), sealed.count <= Self.largest else { throw .malformed }
        let plaintext = try SealedBox.open(
            sealed[Self.headSize...], with: pair, info: Self.info(topic), authenticating: Self.head(id))
        var reader = ByteReader(plaintext)
        guard plaintext.count >= 64 + 136, let from = reader.bytes(64), let sender = PeerID(rawRepresentation: from),
            let to = reader.bytes(64), let addressee = PeerID(rawRepresentation: to),
            let timestamp: UInt64 = reader.integer(), let packet = reader.bytes(reader.remaining - 64)
        else { throw .malformed }
        guard sender.verifies(reader.rest(), of: Self.signed(id, plaintext.dropLast(64), topic: topic)) else {
            throw .forged
        }
        self.init(sender: sender, recipient: addressee, timestamp: timestamp, packet: packet)
    }

    init(sender: PeerID, recipient: PeerID, timestamp: UInt64, packet: [UInt8]) {
        self.sender = sender
        self.recipient = recipient
        self.timestamp = timestamp
        self.packet = packet
    }

    private static func head(_ id: PrekeyID) -> [UInt8] {
        var writer = ByteWriter(capacity: headSize)
        writer.integer(UInt8(1))
        writer.integer(id.value)
        return writer.bytes
    }

    private static func info(_ topic: Topic) -> [UInt8] { Topic.label("mail item") + topic.id }

    private static func signed(_ id: PrekeyID, _ body: some Sequence<UInt8>, topic: Topic) -> [UInt8] {
        var writer = ByteWriter(capacity: 512)
        writer.append(Topic.label("mail item") + topic.id)
        writer.integer(id.value)
        writer.append(body)
        return writer.bytes
    }
}
