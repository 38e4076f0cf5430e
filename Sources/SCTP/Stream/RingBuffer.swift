/// A queue in one block of memory: constant-time append and removal at the front, and access by position.
///
/// Slots that are not in use hold a filler, so that nothing removed stays alive.
struct RingBuffer<Element: Sendable>: Sendable {
    private var storage: [Element] = []
    private var head = 0
    private(set) var count = 0
    private let filler: Element

    init(filler: Element) { self.filler = filler }

    var isEmpty: Bool { count == 0 }

    /// The element at `position` from the front.
    ///
    /// - Precondition: `position` is within `0..<count`.
    subscript(position: Int) -> Element {
        get {
            precondition(position >= 0 && position < count)
            return storage[(head + position) & (storage.count - 1)]
        }
        _modify {
            precondition(position >= 0 && position < count)
            yield &storage[(head + position) & (storage.count - 1)]
        }
    }

    var first: Element? { isEmpty ? nil : self[0] }

    var last: Element? { isEmpty ? nil : self[count - 1] }

    mutating func append(_ element: Element) {
        if count == storage.count { grow() }
        storage[(head + count) & (storage.count - 1)] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        // Moved out, not copied: no reference is counted.
        var element = filler
        swap(&element, &storage[head])
        head = (head + 1) & (storage.count - 1)
        count -= 1
        return element
    }

    /// Removes everything and gives the memory back.
    mutating func removeAll() {
        storage = []
        head = 0
        count = 0
    }

    private mutating func grow() {
        var larger: [Element] = []
        let capacity = max(8, storage.count * 2)
        larger.reserveCapacity(capacity)
        larger.append(contentsOf: storage[head...])
        larger.append(contentsOf: storage[..<head])
        larger.append(contentsOf: repeatElement(filler, count: capacity - larger.count))
        storage = larger
        head = 0
    }
}
