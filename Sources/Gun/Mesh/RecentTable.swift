import SwarmBase

/// What was seen lately, bounded in time and in number: the least recently seen goes first.
struct RecentTable<Name: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Seen: Sendable {
        var value: Value
        var expires: Instant
    }

    private let capacity: Int
    private let lifetime: Duration
    private var seen: [Name: Seen] = [:]
    private var order = FIFO<(name: Name, expires: Instant)>()

    init(capacity: Int, lifetime: Duration) {
        self.capacity = max(capacity, 1)
        self.lifetime = lifetime
    }

    var count: Int { seen.count }

    /// What is remembered under that name; asking counts as a sighting.
    mutating func sight(_ name: Name, now: Instant) -> Value? {
        guard let entry = seen[name], entry.expires > now else { return nil }
        seen[name]?.expires = now + lifetime
        return entry.value
    }

    mutating func remember(_ name: Name, _ value: Value, now: Instant) {
        let expires = now + lifetime
        if seen.updateValue(Seen(value: value, expires: expires), forKey: name) == nil {
            order.append((name, expires))
        }
        prune(now: now)
    }

    private mutating func prune(now: Instant) {
        while let front = order.first, front.expires <= now || seen.count > capacity {
            _ = order.popFirst()
            guard let entry = seen[front.name] else { continue }
            if entry.expires > now, entry.expires > front.expires {
                // Sighted since it was queued: it gets another turn.
                order.append((front.name, entry.expires))
            } else {
                seen[front.name] = nil
            }
        }
    }
}
