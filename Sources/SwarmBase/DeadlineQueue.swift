public import HeapModule

/// What is due when: the earliest first, and of equal moments the one that was added first.
public struct DeadlineQueue<Element> {
    @usableFromInline
    struct Entry: Comparable {
        @usableFromInline let deadline: Instant
        @usableFromInline let order: UInt64
        @usableFromInline let element: Element

        @inlinable
        init(deadline: Instant, order: UInt64, element: Element) {
            (self.deadline, self.order, self.element) = (deadline, order, element)
        }

        @inlinable
        static func < (a: Entry, b: Entry) -> Bool { (a.deadline, a.order) < (b.deadline, b.order) }

        @inlinable
        static func == (a: Entry, b: Entry) -> Bool { a.order == b.order }
    }

    @usableFromInline var entries = Heap<Entry>()
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
    public var first: Element? { entries.min?.element }

    /// Adds what is due at a moment.
    @inlinable
    public mutating func add(_ element: Element, at deadline: Instant) {
        entries.insert(Entry(deadline: deadline, order: added, element: element))
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
    public mutating func popFirst() -> Element? { entries.popMin()?.element }
}

extension DeadlineQueue: Sendable where Element: Sendable {}
extension DeadlineQueue.Entry: Sendable where Element: Sendable {}
