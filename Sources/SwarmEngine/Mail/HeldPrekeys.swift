import SwarmBase

/// The prekeys of another member that mail for it is sealed to. Kept under `held/PEER`.
struct HeldPrekeys: Equatable, Sendable {
    private(set) var lastResort: Prekey?
    /// Milliseconds since 1970.
    private(set) var expiry: UInt64 = 0
    private(set) var oneTime: [Prekey] = []

    /// What its owner is told.
    var stock: PrekeyStock {
        PrekeyStock(lastResort: lastResort?.id, oneTime: UInt16(clamping: oneTime.count))
    }

    /// Takes what the owner gives.
    mutating func add(_ bundle: PrekeyBundle) {
        lastResort = bundle.lastResort
        expiry = bundle.expiry
        let known = Set(oneTime.map(\.id))
        oneTime += bundle.oneTime.filter { !known.contains($0.id) }
        oneTime.removeFirst(max(0, oneTime.count - PrekeyBundle.mostOneTime))
    }

    /// A key for one item: one that is used for nothing else, while there is one.
    mutating func take(wall: UInt64) -> Prekey? { oneTime.popLast() ?? reusable(wall: wall) }

    /// The key that may be used again.
    func reusable(wall: UInt64) -> Prekey? { expiry > wall ? lastResort : nil }

    var isEmpty: Bool { lastResort == nil && oneTime.isEmpty }

    /// As it is kept.
    var bytes: [UInt8] {
        guard let lastResort else { return [] }
        var writer = ByteWriter(capacity: 128 + oneTime.count * Prekey.size)
        var bundle = PrekeyBundle(lastResort: lastResort, expiry: expiry, oneTime: oneTime)
        bundle.signature = [UInt8](repeating: 0, count: 64)
        bundle.write(to: &writer)
        return writer.bytes
    }

    init() {}

    init?(kept bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let bundle = PrekeyBundle(reading: &reader) else { return nil }
        add(bundle)
    }
}
