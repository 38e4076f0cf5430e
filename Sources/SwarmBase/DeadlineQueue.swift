public import HeapModule

/// What is due when: the earliest first, and of equal moments the one that was added first.
///
/// The heap holds moments and places only: what is moved about in it is small, whatever waits.
public struct DeadlineQueue<Element> {
    @usableFromInline var entries = Heap<DeadlineEntry>()
    @usableFromInline var elements: [Element?] = []
    @usableFromInline var freePlaces: [Int] = []
    @usableFromInline var added: UInt64 = 0

    @inlinable
    public init() {}

    /// How many wait.
    @inlinable
    public var count: Int { entries.count }

    /// When the first is due.
    @inlinable
    public var nextDeadline: Instant? { entries.min?.deadline }

    /// The first, due or not.
    @inlinable
    public var first: Element? { entries.min.flatMap { elements[$0.place] } }

    /// Adds what is due at a moment.
    @inlinable
    public mutating func add(_ element: Element, at deadline: Instant) {
        let place: Int
        if let free = freePlaces.popLast() {
            place = free
            elements[place] = element
        } else {
            place = elements.count
            elements.append(element)
        }
        entries.insert(DeadlineEntry(deadline: deadline, order: added, place: place))
        added += 1
    }

    /// Takes the first out if it is due.
    @inlinable
    public mutating func popDue(now: Instant) -> Element? {
        guard let deadline = nextDeadline, deadline <= now else { return nil }
        return popFirst()
    }

    /// Takes the first out, due or not.
    @inlinable
    @discardableResult
    public mutating func popFirst() -> Element? {
        guard let place = entries.popMin()?.place else { return nil }
        let element = elements[place].take()
        if entries.isEmpty {
            // A queue that was large once gives its memory back.
            elements.removeAll(keepingCapacity: elements.capacity <= 64)
            freePlaces.removeAll(keepingCapacity: freePlaces.capacity <= 64)
        } else {
            freePlaces.append(place)
        }
        return element
    }
}

extension DeadlineQueue: Sendable where Element: Sendable {}

/// When something is due, and where it is.
@usableFromInline
struct DeadlineEntry: Comparable, Sendable {
    @usableFromInline let deadline: Instant
    @usableFromInline let order: UInt64
    @usableFromInline let place: Int

    @inlinable
    init(deadline: Instant, order: UInt64, place: Int) {
        (self.deadline, self.order, self.place) = (deadline, order, place)
    }

    @inlinable
    static func < (a: DeadlineEntry, b: DeadlineEntry) -> Bool {
        a.deadline != b.deadline ? a.deadline < b.deadline : a.order < b.order
    }

    @inlinable
    static func == (a: DeadlineEntry, b: DeadlineEntry) -> Bool { a.order == b.order }
}
