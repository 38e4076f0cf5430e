import SwarmBase

/// What members say to each other to come to the keys of the next epoch (docs/protocol.md, "Rekeying").
enum RekeyFrame: Equatable, Sendable {
    /// The lower one's fresh key.
    case rekey(epoch: UInt32, key: SessionPublicKey, signature: [UInt8])
    /// The higher one's.
    case rekeyed(epoch: UInt32, key: SessionPublicKey, signature: [UInt8])
    /// The sender seals in this epoch from now on.
    case switched(epoch: UInt32)

    /// What the lower one signs.
    ///
    /// - Parameter keyID: names the key from the lower to the higher of the epoch before: nothing signed counts in another conversation.
    static func offered(_ parties: SessionParties, keyID: UInt64, epoch: UInt32, key: SessionPublicKey) -> [UInt8] {
        signed("rekey", parties, keyID: keyID, epoch: epoch, keys: [key])
    }

    /// What the higher one signs.
    static func answered(
        _ parties: SessionParties, keyID: UInt64, epoch: UInt32, offered: SessionPublicKey, key: SessionPublicKey
    ) -> [UInt8] {
        signed("rekeyed", parties, keyID: keyID, epoch: epoch, keys: [offered, key])
    }

    private static func signed(
        _ word: String, _ parties: SessionParties, keyID: UInt64, epoch: UInt32, keys: [SessionPublicKey]
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: 320)
        writer.append(Topic.label(word) + parties.topic.id + parties.bytes)
        writer.integer(keyID)
        writer.integer(epoch)
        for key in keys { writer.append(key.rawRepresentation) }
        return writer.bytes
    }

    // MARK: The wire

    var type: UInt8 {
        switch self {
        case .rekey: 20
        case .rekeyed: 21
        case .switched: 22
        }
    }

    func write(to body: inout ByteWriter) {
        switch self {
        case .rekey(let epoch, let key, let signature), .rekeyed(let epoch, let key, let signature):
            body.integer(epoch)
            body.append(key.rawRepresentation)
            body.append(signature)
        case .switched(let epoch):
            body.integer(epoch)
        }
    }

    /// - Returns: `nil` for a type that is none of these.
    init?(type: UInt8, reading reader: inout ByteReader) throws(Refusal) {
        guard (20...22).contains(type) else { return nil }
        guard let epoch: UInt32 = reader.integer() else { throw .malformed }
        if type == 22 {
            self = .switched(epoch: epoch)
            return
        }
        guard let raw = reader.bytes(64), let key = SessionPublicKey(rawRepresentation: raw),
            let signature = reader.bytes(64)
        else { throw .malformed }
        self =
            type == 20
            ? .rekey(epoch: epoch, key: key, signature: signature)
            : .rekeyed(epoch: epoch, key: key, signature: signature)
    }
}
