/// The channels of a connection, found by number without hashing: once per message sent and received.
struct ChannelTable<Channel: Sendable>: Sendable {
    private var index = SlotIndex()
    private var slots: [Channel?] = []
    private var free: [Int] = []

    /// How many channels there are.
    private(set) var count = 0

    /// The channel of a number.
    subscript(id: DataChannelID) -> Channel? {
        _read {
            if let slot = index[id] { yield slots[slot] } else { yield nil }
        }
        _modify {
            let known = index[id]
            let slot = known ?? take()
            let wasHere = known != nil
            yield &slots[slot]
            switch (wasHere, slots[slot] != nil) {
            case (false, true):
                index[id] = slot
                count += 1
            case (true, false):
                index[id] = nil
                free.append(slot)
                count -= 1
            case (false, false): free.append(slot)
            case (true, true): break
            }
        }
    }

    /// Looks at the channel of a number without copying it.
    @inline(__always)
    func read<Result>(_ id: DataChannelID, _ body: (borrowing Channel) -> Result) -> Result? {
        guard let slot = index[id] else { return nil }
        switch slots[slot] {
        case .some(let channel): return body(channel)
        case .none: return nil
        }
    }

    /// Whether there is a channel of this number.
    func contains(_ id: DataChannelID) -> Bool { index[id] != nil }

    /// All numbers, ascending.
    var ids: [DataChannelID] { index.streams }

    mutating func removeAll() { self = ChannelTable() }

    private mutating func take() -> Int {
        if let slot = free.popLast() { return slot }
        slots.append(nil)
        return slots.count - 1
    }
}
