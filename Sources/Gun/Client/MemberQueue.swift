import JSON
import SwarmBase

/// What one member is still to be given, as names: what is held under them is read when the frame is made.
///
/// So it cannot grow beyond the graph, several writes of one key cost a slow reader one, and one who reads slowly holds
/// nobody up.
struct MemberQueue: Sendable {
    enum Item: Sendable {
        case record(RecordAddress)
        /// The answer to a query, with the hash of what the asker has.
        case answer(MessageID, GunQuery, hash: Int32?)
    }

    /// An answer of which a part has left.
    struct Begun: Sendable {
        var id: MessageID
        var soul: Soul
        var rest: ArraySlice<Key>
    }

    private var items = FIFO<Item>()
    private var queued: Set<RecordAddress> = []
    private(set) var answerCount = 0
    var begun: Begun?

    var isEmpty: Bool { items.isEmpty && begun == nil }

    mutating func add(_ address: RecordAddress) {
        if queued.insert(address).inserted { items.append(.record(address)) }
    }

    /// - Returns: whether there was room.
    mutating func add(answer id: MessageID, _ query: GunQuery, hash: Int32?, limit: Int) -> Bool {
        guard answerCount < limit else { return false }
        answerCount += 1
        items.append(.answer(id, query, hash: hash))
        return true
    }

    /// The record at the front, if it is one.
    mutating func popRecord() -> RecordAddress? {
        guard case .record(let address) = items.first else { return nil }
        _ = items.popFirst()
        queued.remove(address)
        return address
    }

    mutating func popAnswer() -> (id: MessageID, query: GunQuery, hash: Int32?)? {
        guard case .answer(let id, let query, let hash) = items.first else { return nil }
        _ = items.popFirst()
        answerCount -= 1
        return (id, query, hash)
    }
}
