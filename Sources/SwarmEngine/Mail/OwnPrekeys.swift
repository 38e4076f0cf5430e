import Crypto
import SwarmBase

/// The private halves of a member's prekeys: kept with its state, destroyed once used.
///
/// Kept under `prekey/ID` as a byte (1 for a last resort), the time it was made and the private key.
struct OwnPrekeys: Sendable {
    private struct Kept: Sendable {
        var isLastResort: Bool
        /// Milliseconds since 1970.
        var madeAt: UInt64
        var pair: SessionKeyPair
    }

    private static let kind = "prekey"

    /// How many there may be: older one-time keys make room.
    static let most = 16_384

    private let configuration: MailConfiguration
    private var kept: [PrekeyID: Kept] = [:]
    /// What is to be kept or forgotten.
    private(set) var writes: [StorageWrite] = []

    init(configuration: MailConfiguration) { self.configuration = configuration }

    var count: Int { kept.count }

    mutating func takeWrites() -> [StorageWrite] {
        defer { writes = [] }
        return writes
    }

    /// The private half.
    func pair(_ id: PrekeyID) -> SessionKeyPair? { kept[id]?.pair }

    /// What another is given of ours, by what it holds; `nil` when that is enough. To be said when the writes are on disk.
    mutating func bundle(
        for holder: PeerID, stock: PrekeyStock, by identity: Identity, topic: Topic, wall: UInt64,
        entropy: inout Entropy
    ) -> PrekeyBundle? {
        let lastResort = lastResort(wall: wall, entropy: &entropy)
        let missing = configuration.oneTimePrekeys - Int(stock.oneTime)
        guard missing * 2 > configuration.oneTimePrekeys || stock.lastResort != lastResort.id else { return nil }
        let expiry = lastResort.madeAt + UInt64(configuration.lastResortLifetime.milliseconds)
        var bundle = PrekeyBundle(
            lastResort: Prekey(id: lastResort.id, key: lastResort.pair.publicKey), expiry: expiry, oneTime: [])
        for _ in 0..<min(max(0, missing), PrekeyBundle.mostOneTime) {
            let (id, pair) = make(isLastResort: false, wall: wall, entropy: &entropy)
            bundle.oneTime.append(Prekey(id: id, key: pair.publicKey))
        }
        guard let signature = try? identity.sign(bundle.signed(owner: identity.peerID, holder: holder, topic: topic))
        else { return nil }
        bundle.signature = signature
        return bundle
    }

    /// What a one-time key opened is noted for good: the key is destroyed.
    mutating func used(_ id: PrekeyID) {
        guard kept[id]?.isLastResort == false else { return }
        forget(id)
    }

    /// Destroys what is too old.
    mutating func expire(wall: UInt64) {
        let lifetime = UInt64(configuration.lifetime.milliseconds)
        for (id, key) in kept where key.isLastResort && key.madeAt + lifetime < wall { forget(id) }
        guard kept.count > Self.most else { return }
        let oldest = kept.filter { !$0.value.isLastResort }
            .sorted { ($0.value.madeAt, $0.key.value) < ($1.value.madeAt, $1.key.value) }
        for (id, _) in oldest.prefix(kept.count - Self.most) { forget(id) }
    }

    /// The last resort of today: one is made when there is none younger than a day.
    private mutating func lastResort(
        wall: UInt64, entropy: inout Entropy
    ) -> (id: PrekeyID, pair: SessionKeyPair, madeAt: UInt64) {
        let newest = kept.filter(\.value.isLastResort).max { $0.value.madeAt < $1.value.madeAt }
        if let newest, newest.value.madeAt + 86_400_000 > wall, newest.value.madeAt <= wall + 86_400_000 {
            return (newest.key, newest.value.pair, newest.value.madeAt)
        }
        let (id, pair) = make(isLastResort: true, wall: wall, entropy: &entropy)
        return (id, pair, wall)
    }

    private mutating func make(
        isLastResort: Bool, wall: UInt64, entropy: inout Entropy
    ) -> (PrekeyID, SessionKeyPair) {
        var id = PrekeyID.random(using: &entropy)
        while kept[id] != nil { id = PrekeyID.random(using: &entropy) }
        let pair = SessionKeyPair()
        kept[id] = Kept(isLastResort: isLastResort, madeAt: wall, pair: pair)
        var writer = ByteWriter(capacity: 41)
        writer.integer(UInt8(isLastResort ? 1 : 0))
        writer.integer(wall)
        writer.append(pair.privateKey.rawRepresentation)
        writes.append(StorageWrite(key: "\(Self.kind)/\(id.value)", value: writer.bytes))
        return (id, pair)
    }

    private mutating func forget(_ id: PrekeyID) {
        kept[id] = nil
        writes.append(StorageWrite(key: "\(Self.kind)/\(id.value)", value: nil))
    }

    /// Takes up what an earlier run kept; what is not of this kind is passed over.
    mutating func restore(_ records: [(key: String, value: [UInt8])]) {
        for (key, value) in records {
            let parts = key.split(separator: "/")
            var reader = ByteReader(value)
            guard parts.count == 2, parts[0] == Self.kind, let number = UInt32(parts[1]), let id = PrekeyID(number),
                let isLastResort: UInt8 = reader.integer(), let madeAt: UInt64 = reader.integer(),
                let raw = reader.bytes(32), let key = try? P256.KeyAgreement.PrivateKey(rawRepresentation: raw)
            else { continue }
            kept[id] = Kept(isLastResort: isLastResort == 1, madeAt: madeAt, pair: SessionKeyPair(key))
        }
    }
}
