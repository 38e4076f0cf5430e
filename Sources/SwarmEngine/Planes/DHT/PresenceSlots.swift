import Bencode
import Crypto
import DHT
import SwarmBase

/// The items in which the members of a swarm leave their presence records: four a day, under a key that every member has.
struct PresenceSlots: Sendable {
    static let count = 4
    /// Records in one item.
    static let recordsInSlot = 3
    /// A record is written anew when the one that is there is older.
    static let renewAfter: Duration = .seconds(480)
    /// How old a record may be that is found here: not as fresh as elsewhere, for each writing is a search.
    static let freshness: Duration = .seconds(1200)

    let day: Int
    let infoHash: NodeID
    let signer: Curve25519.Signing.PrivateKey

    init?(topic: Topic, day: Int) {
        guard let infoHash = NodeID(bytes: topic.dhtHash(day: day)),
            let signer = try? Curve25519.Signing.PrivateKey(rawRepresentation: topic.dhtSeed(day: day))
        else { return nil }
        self.day = day
        self.infoHash = infoHash
        self.signer = signer
    }

    var publicKey: [UInt8] { Array(signer.publicKey.rawRepresentation) }

    /// The slot that a member writes to.
    static func slot(of peer: PeerID) -> UInt8 { (peer.rawRepresentation.last ?? 0) % UInt8(count) }

    /// The item that holds these records; the last are left out when there is no room.
    func item(_ records: [[UInt8]], slot: UInt8, sequence: Int64) -> DHTItem? {
        var writer = ByteWriter(capacity: DHTItem.largestValue)
        for record in records.prefix(Self.recordsInSlot)
        where writer.bytes.count + 2 + record.count <= DHTItem.largestValue - 4 {
            writer.prefixed(by: UInt16.self, record)
        }
        return MutableItem(.bytes(writer.bytes), sequence: sequence, salt: [slot], signedBy: signer).map {
            .mutable($0)
        }
    }

    /// The records in an item.
    static func records(in item: MutableItem) -> [[UInt8]] {
        guard let bytes = (try? BencodeDocument(decoding: item.value))?.root.bytes else { return [] }
        var reader = ByteReader(bytes)
        var records: [[UInt8]] = []
        while records.count < recordsInSlot, let record = reader.prefixed(by: UInt16.self) { records.append(record) }
        return records
    }
}
