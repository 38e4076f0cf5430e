/// Finds the slot that belongs to a stream: a flat table, for it is asked once per message.
///
/// It is as long as the highest stream in use, so at most 128 KiB.
struct SlotIndex: Sendable {
    private static let none = UInt16.max
    private var slots: [UInt16] = []

    /// The slot of `stream`; 65,535 streams at most have one.
    subscript(stream: UInt16) -> Int? {
        get {
            let index = Int(stream)
            guard index < slots.count, slots[index] != Self.none else { return nil }
            return Int(slots[index])
        }
        set {
            let index = Int(stream)
            if index >= slots.count {
                guard newValue != nil else { return }
                slots.append(contentsOf: repeatElement(Self.none, count: max(8, index + 1) - slots.count))
            }
            slots[index] = newValue.flatMap { UInt16(exactly: $0) } ?? Self.none
        }
    }

    /// All streams that have a slot, ascending.
    var streams: [UInt16] {
        slots.indices.compactMap { slots[$0] == Self.none ? nil : UInt16(exactly: $0) }
    }
}
