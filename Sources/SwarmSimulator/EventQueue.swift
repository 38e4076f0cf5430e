public import SwarmBase

/// What happens at which moment: a binary heap by time, and of equal times in the order of adding.
public struct EventQueue<Event> {
    fileprivate struct Entry {
        var at: Instant
        var order: UInt64
        var event: Event

        static func < (a: Entry, b: Entry) -> Bool { (a.at, a.order) < (b.at, b.order) }
    }

    private var heap: [Entry] = []
    private var nextOrder: UInt64 = 0

    public init() {}

    /// How many events wait.
    public var count: Int { heap.count }

    /// When the first of them is due.
    public var nextTime: Instant? { heap.first?.at }

    /// Adds an event.
    public mutating func add(_ event: Event, at instant: Instant) {
        heap.append(Entry(at: instant, order: nextOrder, event: event))
        nextOrder += 1
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Takes the first event if it is due.
    public mutating func next(due now: Instant) -> Event? {
        guard let first = heap.first, first.at <= now, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first.event }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return first.event }
            heap.swapAt(least, parent)
            parent = least
        }
    }
}

extension EventQueue: Sendable where Event: Sendable {}
extension EventQueue.Entry: Sendable where Event: Sendable {}
