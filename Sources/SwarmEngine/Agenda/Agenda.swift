import SwarmBase

/// What an ``Agenda`` keeps of each of its items.
class AgendaItem {
    /// When it wants to be called, as it said last.
    fileprivate var deadline = Instant.distantFuture
    /// Its place in the heap; -1 when it is not there.
    fileprivate var place = -1
    fileprivate var isTouched = false
}

/// Which of many items want to be called when: a binary heap by deadline, and the items whose deadline may have changed.
///
/// Whatever changes an item touches it. So a turn of the engine costs as much as it does, and not as much as there are members.
/// Equal deadlines come in an order that depends on nothing but the calls before.
final class Agenda<Item: AgendaItem> {
    private var heap: [Item] = []
    private var touched: [Item] = []

    /// The earliest deadline of those that were scheduled.
    var next: Instant? { heap.first?.deadline }

    /// The item has changed: its deadline is to be asked for anew.
    func touch(_ item: Item) {
        guard !item.isTouched else { return }
        item.isTouched = true
        touched.append(item)
    }

    /// The next of those that were touched since they were scheduled.
    func popTouched() -> Item? {
        guard let item = touched.popLast() else { return nil }
        item.isTouched = false
        return item
    }

    /// Takes the first item out if it is due; it counts as touched.
    func popDue(now: Instant) -> Item? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        remove(first)
        touch(first)
        return first
    }

    /// Sets when an item wants to be called; `nil` for not at all.
    func schedule(_ item: Item, at deadline: Instant?) {
        guard let deadline else { return remove(item) }
        guard item.deadline != deadline || item.place < 0 else { return }
        item.deadline = deadline
        if item.place < 0 {
            item.place = heap.count
            heap.append(item)
        }
        rise(from: item.place)
        sink(from: item.place)
    }

    private func remove(_ item: Item) {
        guard item.place >= 0, let last = heap.popLast() else { return }
        let place = item.place
        item.place = -1
        guard last !== item else { return }
        heap[place] = last
        last.place = place
        rise(from: place)
        sink(from: last.place)
    }

    private func rise(from start: Int) {
        var child = start
        while child > 0, heap[child].deadline < heap[(child - 1) / 2].deadline {
            swap(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func sink(from start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].deadline < heap[least].deadline { least = child }
            }
            if least == parent { return }
            swap(least, parent)
            parent = least
        }
    }

    private func swap(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        heap[a].place = a
        heap[b].place = b
    }
}
