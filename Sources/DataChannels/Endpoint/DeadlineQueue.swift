import SwarmBase

/// Something with a deadline in a ``DeadlineQueue``.
protocol DeadlineHolder: AnyObject {
    /// Its place in the queue; the queue's own.
    var deadlineIndex: Int? { get set }
}

/// Who is to be woken when: a binary heap, so that the next one is found at once and a change costs log n.
///
/// A holder's deadline moves with nearly every packet, mostly to a later moment. So only an earlier one is noted at once;
/// a holder that is woken too early is asked again and noted anew.
struct DeadlineQueue<Holder: DeadlineHolder> {
    private struct Entry {
        var at: Instant
        let holder: Holder
    }

    private var heap: [Entry] = []

    init() {}

    /// How many wait.
    var count: Int { heap.count }

    /// When the first is due.
    var next: Instant? { heap.first?.at }

    /// Notes that a holder is to be woken no later than `deadline`; `nil` changes nothing.
    mutating func wake(_ holder: Holder, at deadline: Instant?) {
        guard let deadline else { return }
        if let index = holder.deadlineIndex {
            guard deadline < heap[index].at else { return }
            heap[index].at = deadline
            siftUp(index)
        } else {
            heap.append(Entry(at: deadline, holder: holder))
            holder.deadlineIndex = heap.count - 1
            siftUp(heap.count - 1)
        }
    }

    /// Takes out the first that is due.
    mutating func popDue(now: Instant) -> Holder? {
        guard let first = heap.first, first.at <= now else { return nil }
        remove(first.holder)
        return first.holder
    }

    /// Takes a holder out.
    mutating func remove(_ holder: Holder) {
        guard let index = holder.deadlineIndex else { return }
        holder.deadlineIndex = nil
        let last = heap.removeLast()
        guard index < heap.count else { return }
        heap[index] = last
        last.holder.deadlineIndex = index
        siftUp(index)
        siftDown(last.holder.deadlineIndex ?? index)
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let entry = heap[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry.at < heap[parent].at else { break }
            place(heap[parent], at: index)
            index = parent
        }
        place(entry, at: index)
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let entry = heap[index]
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].at < heap[child].at { child += 1 }
            guard heap[child].at < entry.at else { break }
            place(heap[child], at: index)
            index = child
        }
        place(entry, at: index)
    }

    private mutating func place(_ entry: Entry, at index: Int) {
        heap[index] = entry
        entry.holder.deadlineIndex = index
    }
}
