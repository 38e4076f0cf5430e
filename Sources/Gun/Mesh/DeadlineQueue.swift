import SwarmBase

/// Things to be done later, the earliest first; of equal moments the one added first.
struct DeadlineQueue<Element: Sendable>: Sendable {
    private struct Item: Sendable {
        var deadline: Instant
        var order: UInt64
        var element: Element

        func precedes(_ other: Item) -> Bool {
            deadline == other.deadline ? order < other.order : deadline < other.deadline
        }
    }

    private var heap: [Item] = []
    private var added: UInt64 = 0

    init() {}

    var count: Int { heap.count }
    var nextDeadline: Instant? { heap.first?.deadline }

    mutating func add(_ element: Element, at deadline: Instant) {
        heap.append(Item(deadline: deadline, order: added, element: element))
        added += 1
        var child = heap.count - 1
        while child > 0, case let parent = (child - 1) / 2, heap[child].precedes(heap[parent]) {
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The first thing that is due.
    mutating func popDue(_ now: Instant) -> Element? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [parent * 2 + 1, parent * 2 + 2] where child < heap.count && heap[child].precedes(heap[least])
            {
                least = child
            }
            if least == parent { return first.element }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    /// Removes what `isUnwanted` says.
    mutating func removeAll(where isUnwanted: (Element) -> Bool) {
        let kept = heap.filter { !isUnwanted($0.element) }
        guard kept.count < heap.count else { return }
        // A sorted array is a heap.
        heap = kept.sorted { $0.precedes($1) }
    }
}
