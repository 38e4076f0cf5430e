import SwarmBase

/// Presence records that were opened and whose signature was good, by the bytes they came in: the same record comes by several planes
/// and from several members, and is judged once.
struct SeenPresence: Sendable {
    /// How many are kept; the oldest goes first.
    static let most = 512

    /// The tag at the end of what was sealed: it tells records apart, and is shorter to hash than they are.
    private struct Tag: Hashable {
        let high: UInt64
        let low: UInt64

        init?(of sealed: [UInt8]) {
            guard sealed.count >= 16 else { return nil }
            var reader = ByteReader(Array(sealed.suffix(16)))
            guard let high: UInt64 = reader.integer(), let low: UInt64 = reader.integer() else { return nil }
            (self.high, self.low) = (high, low)
        }
    }

    private var records: [Tag: (sealed: [UInt8], record: PresenceRecord)] = [:]
    private var order = FIFO<Tag>()

    var count: Int { records.count }

    /// The record that came in these bytes before.
    subscript(sealed: [UInt8]) -> PresenceRecord? {
        guard let tag = Tag(of: sealed), let seen = records[tag], seen.sealed == sealed else { return nil }
        return seen.record
    }

    /// Keeps a record that was found good.
    mutating func insert(_ record: PresenceRecord, sealed: [UInt8]) {
        guard let tag = Tag(of: sealed), records.updateValue((sealed, record), forKey: tag) == nil else { return }
        order.append(tag)
        if order.count > Self.most, let oldest = order.popFirst() { records[oldest] = nil }
    }
}
