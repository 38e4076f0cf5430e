/// A first-in first-out queue with amortised constant time at both ends.
///
/// It gives its memory back when it runs empty after it was large, so that an idle connection stays small.
public struct FIFO<Element> {
    @usableFromInline var items: [Element?] = []
    @usableFromInline var head = 0

    @inlinable
    public init() {}

    /// How many elements wait.
    @inlinable
    public var count: Int { items.count - head }

    /// Whether nothing waits.
    @inlinable
    public var isEmpty: Bool { head == items.count }

    /// The element that `popFirst` would return.
    @inlinable
    public var first: Element? { isEmpty ? nil : items[head] }

    /// What waits, in order.
    public var elements: [Element] { items[head...].compactMap { $0 } }

    /// Adds an element at the end.
    @inlinable
    public mutating func append(_ element: Element) { items.append(element) }

    /// Takes the oldest element, or `nil` when nothing waits.
    @inlinable
    public mutating func popFirst() -> Element? {
        guard head < items.count else { return nil }
        let element = items[head]
        items[head] = nil
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: items.capacity <= 64)
            head = 0
        } else if head >= 64, head * 2 >= items.count {
            items.removeSubrange(..<head)
            head = 0
        }
        return element
    }

    /// Takes the newest element, or `nil` when nothing waits.
    @inlinable
    public mutating func popLast() -> Element? {
        guard head < items.count else { return nil }
        let element = items.removeLast()
        if head == items.count {
            items.removeAll(keepingCapacity: items.capacity <= 64)
            head = 0
        }
        return element
    }

    /// Drops everything.
    @inlinable
    public mutating func removeAll() {
        items = []
        head = 0
    }

    /// Drops what is not wanted; the rest keeps its order.
    @inlinable
    public mutating func removeAll(where isUnwanted: (Element) -> Bool) {
        items = items[head...].filter { element in element.map { !isUnwanted($0) } ?? false }
        head = 0
    }
}

extension FIFO: Sendable where Element: Sendable {}
