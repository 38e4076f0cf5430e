import SwarmBase

/// A rate limit: a burst at once, then so many a second.
struct TokenBucket: Sendable {
    private let burst: Double
    private let perSecond: Double
    private var tokens: Double
    private var updated: Instant?

    init(burst: Double, perSecond: Double) {
        self.burst = burst
        self.perSecond = perSecond
        tokens = burst
    }

    /// Takes `cost` tokens; false when there are not enough, and then takes none.
    mutating func take(_ cost: Double = 1, now: Instant) -> Bool {
        if let updated {
            tokens = min(burst, tokens + perSecond * max(0, (now - updated).milliseconds / 1000))
        }
        updated = now
        guard tokens >= cost else { return false }
        tokens -= cost
        return true
    }
}

/// First in, first out, at constant cost.
struct Queue<Element: Sendable>: Sendable {
    private var elements: [Element?] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard head < elements.count else { return nil }
        defer {
            elements[head] = nil
            head += 1
            if head == elements.count { removeAll() }
        }
        return elements[head]
    }

    mutating func removeAll() {
        elements.removeAll(keepingCapacity: elements.count < 1024)
        head = 0
    }

    mutating func removeAll(where isUnwanted: (Element) -> Bool) {
        elements = elements[head...].filter { element in element.map { !isUnwanted($0) } ?? false }
        head = 0
    }
}
