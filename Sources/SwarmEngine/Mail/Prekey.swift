import SwarmBase

/// Names a prekey of its owner: random, never 0.
struct PrekeyID: Hashable, Sendable {
    let value: UInt32

    init?(_ value: UInt32) {
        guard value != 0 else { return nil }
        self.value = value
    }

    static func random(using entropy: inout Entropy) -> PrekeyID {
        while true {
            let number: UInt64 = entropy.next()
            if let id = PrekeyID(UInt32(truncatingIfNeeded: number)) { return id }
        }
    }
}

/// The public half of a key that mail is sealed to.
struct Prekey: Equatable, Sendable {
    let id: PrekeyID
    let key: SessionPublicKey

    static let size = 68

    func write(to writer: inout ByteWriter) {
        writer.integer(id.value)
        writer.append(key.rawRepresentation)
    }

    init(id: PrekeyID, key: SessionPublicKey) {
        self.id = id
        self.key = key
    }

    init?(reading reader: inout ByteReader) {
        guard let number: UInt32 = reader.integer(), let id = PrekeyID(number), let raw = reader.bytes(64),
            let key = SessionPublicKey(rawRepresentation: raw)
        else { return nil }
        self.init(id: id, key: key)
    }
}

/// Prekeys that a member gives another, and only it, signed (docs/protocol.md, "Prekeys").
struct PrekeyBundle: Equatable, Sendable {
    /// The most one-time keys of one bundle.
    static let mostOneTime = 64

    /// May be used again, until it expires.
    var lastResort: Prekey
    /// Milliseconds since 1970 by the owner's clock.
    var expiry: UInt64
    /// Each for one item.
    var oneTime: [Prekey]
    var signature: [UInt8] = []

    /// What the owner signs.
    func signed(owner: PeerID, holder: PeerID, topic: Topic) -> [UInt8] {
        var writer = ByteWriter(capacity: 512)
        writer.append(Topic.label("prekeys") + topic.id + owner.rawRepresentation + holder.rawRepresentation)
        writeBody(to: &writer)
        return writer.bytes
    }

    func writeBody(to writer: inout ByteWriter) {
        lastResort.write(to: &writer)
        writer.integer(expiry)
        for prekey in oneTime { prekey.write(to: &writer) }
    }

    func write(to writer: inout ByteWriter) {
        writeBody(to: &writer)
        writer.append(signature)
    }

    init(lastResort: Prekey, expiry: UInt64, oneTime: [Prekey]) {
        self.lastResort = lastResort
        self.expiry = expiry
        self.oneTime = oneTime
    }

    init?(reading reader: inout ByteReader) {
        guard let lastResort = Prekey(reading: &reader), let expiry: UInt64 = reader.integer(),
            reader.remaining >= 64, (reader.remaining - 64) % Prekey.size == 0,
            (reader.remaining - 64) / Prekey.size <= Self.mostOneTime
        else { return nil }
        self.init(lastResort: lastResort, expiry: expiry, oneTime: [])
        while reader.remaining > 64 {
            guard let prekey = Prekey(reading: &reader) else { return nil }
            oneTime.append(prekey)
        }
        signature = reader.rest()
    }
}

/// How many prekeys of the receiver the sender holds: what is missing is to be given.
struct PrekeyStock: Equatable, Sendable {
    var lastResort: PrekeyID?
    var oneTime: UInt16
}
