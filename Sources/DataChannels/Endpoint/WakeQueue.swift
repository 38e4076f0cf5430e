import SwarmBase

/// Something with a deadline in a ``WakeQueue``.
protocol DeadlineHolder: AnyObject {
    /// Its slot in the queue; the queue's own.
    var deadlineSlot: Int? { get set }
}

/// Who is to be woken when: a binary heap, so that the next one is found at once and a change costs log n.
///
/// A holder's deadline moves with nearly every packet, mostly to a later moment. So only an earlier one is noted at once;
/// a holder that is woken too early is asked again and noted anew. The heap holds numbers, not holders: moving those about
/// would count references.
struct WakeQueue<Holder: DeadlineHolder> {
    private struct Entry {
        var at: Instant
        let slot: Int
    }

    private struct Slot {
        var holder: Holder?
        /// Where its entry is in the heap; negative when there is none.
        var place = -1
    }

    private var heap: [Entry] = []
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []

    init() {}

    /// How many wait.
    var count: Int { heap.count }

    /// When the first is due.
    var next: Instant? { heap.first?.at }

    /// Notes that a holder is to be woken no later than `deadline`; `nil` changes nothing.
    mutating func wake(_ holder: Holder, at deadline: Instant?) {
        guard let deadline else { return }
        let slot = holder.deadlineSlot ?? takeSlot(for: holder)
        let place = slots[slot].place
        if place >= 0 {
            guard deadline < heap[place].at else { return }
            heap[place].at = deadline
            siftUp(place)
        } else {
            heap.append(Entry(at: deadline, slot: slot))
            siftUp(heap.count - 1)
        }
    }

    /// Takes out the first that is due. The queue still knows it, until ``remove(_:)``.
    mutating func popDue(now: Instant) -> Holder? {
        guard let first = heap.first, first.at <= now else { return nil }
        removeEntry(at: 0)
        return slots[first.slot].holder
    }

    /// Forgets a holder.
    mutating func remove(_ holder: Holder) {
        guard let slot = holder.deadlineSlot else { return }
        if slots[slot].place >= 0 { removeEntry(at: slots[slot].place) }
        holder.deadlineSlot = nil
        slots[slot].holder = nil
        freeSlots.append(slot)
    }

    private mutating func takeSlot(for holder: Holder) -> Int {
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            slots[slot].holder = holder
        } else {
            slot = slots.count
            slots.append(Slot(holder: holder))
        }
        holder.deadlineSlot = slot
        return slot
    }

    private mutating func removeEntry(at place: Int) {
        slots[heap[place].slot].place = -1
        let last = heap.removeLast()
        guard place < heap.count else { return }
        put(last, at: place)
        siftUp(place)
        siftDown(slots[last.slot].place)
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let entry = heap[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry.at < heap[parent].at else { break }
            put(heap[parent], at: index)
            index = parent
        }
        put(entry, at: index)
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let entry = heap[index]
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].at < heap[child].at { child += 1 }
            guard heap[child].at < entry.at else { break }
            put(heap[child], at: index)
            index = child
        }
        put(entry, at: index)
    }

    private mutating func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        slots[entry.slot].place = place
    }
}
