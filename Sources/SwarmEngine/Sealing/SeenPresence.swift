import SwarmBase

/// Presence records that were opened and whose signature was good, by the bytes they came in: the same record comes by several planes
/// and from several members, and is judged once.
struct SeenPresence: Sendable {
    /// How many are kept; the oldest goes first.
    static let most = 512

    private var records: [[UInt8]: PresenceRecord] = [:]
    private var order = FIFO<[UInt8]>()

    var count: Int { records.count }

    /// The record that came in these bytes before.
    subscript(sealed: [UInt8]) -> PresenceRecord? { records[sealed] }

    /// Keeps a record that was found good.
    mutating func insert(_ record: PresenceRecord, sealed: [UInt8]) {
        guard records.updateValue(record, forKey: sealed) == nil else { return }
        order.append(sealed)
        if order.count > Self.most, let oldest = order.popFirst() { records[oldest] = nil }
    }
}
