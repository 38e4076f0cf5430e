/// Who wants to hear of what: a link subscribes by asking, to a node or to one key of it.
struct SubscriptionTable: Sendable {
    private struct Subscribers: Sendable {
        var node: [LinkID] = []
        var keys: [Key: [LinkID]] = [:]

        var isEmpty: Bool { node.isEmpty && keys.isEmpty }
    }

    /// What one link wants of one soul: the node, which includes its keys, or some keys.
    private struct Interest: Sendable {
        var isNode = false
        var keys: Set<Key> = []
    }

    private var subscribers: [Soul: Subscribers] = [:]
    private var interests: [LinkID: [Soul: Interest]] = [:]
    private var counts: [LinkID: Int] = [:]

    /// How many souls have a subscriber.
    var count: Int { subscribers.count }

    /// How many subscriptions the link has.
    func count(of link: LinkID) -> Int { counts[link] ?? 0 }

    /// Subscribes the link, unless it is already or would pass `limit`.
    mutating func subscribe(_ link: LinkID, _ soul: Soul, _ key: Key?, limit: Int) {
        guard interests[link]?[soul]?.isNode != true else { return }
        if let key {
            guard interests[link]?[soul]?.keys.contains(key) != true, count(of: link) < limit else { return }
            interests[link, default: [:]][soul, default: Interest()].keys.insert(key)
            subscribers[soul, default: Subscribers()].keys[key, default: []].append(link)
        } else {
            // The node takes the place of its keys.
            let keys = interests[link]?[soul]?.keys ?? []
            guard !keys.isEmpty || count(of: link) < limit else { return }
            for key in keys { remove(link, soul, key) }
            interests[link, default: [:]][soul] = Interest(isNode: true)
            subscribers[soul, default: Subscribers()].node.append(link)
            counts[link, default: 0] -= keys.count
        }
        counts[link, default: 0] += 1
    }

    private mutating func remove(_ link: LinkID, _ soul: Soul, _ key: Key?) {
        if let key {
            subscribers[soul]?.keys[key]?.removeAll { $0 == link }
            if subscribers[soul]?.keys[key]?.isEmpty == true { subscribers[soul]?.keys[key] = nil }
        } else {
            subscribers[soul]?.node.removeAll { $0 == link }
        }
        if subscribers[soul]?.isEmpty == true { subscribers[soul] = nil }
    }

    /// Forgets the link.
    mutating func removeAll(_ link: LinkID) {
        for (soul, interest) in interests.removeValue(forKey: link) ?? [:] {
            if interest.isNode { remove(link, soul, nil) }
            for key in interest.keys { remove(link, soul, key) }
        }
        counts[link] = nil
    }

    /// The links that want to hear of that key; each occurs once.
    func listeners(_ soul: Soul, _ key: Key) -> [LinkID] {
        guard let subscribers = subscribers[soul] else { return [] }
        guard let ofKey = subscribers.keys[key] else { return subscribers.node }
        return subscribers.node + ofKey
    }

    /// What links other than the given one are subscribed to, up to `limit`, each once.
    func targets(limit: Int, unless link: LinkID) -> [RecordTarget] {
        var targets: [RecordTarget] = []
        for (soul, subscribers) in subscribers {
            if subscribers.node.contains(where: { $0 != link }) { targets.append(RecordTarget(soul: soul, key: nil)) }
            for (key, links) in subscribers.keys where links.contains(where: { $0 != link }) {
                targets.append(RecordTarget(soul: soul, key: key))
            }
            if targets.count >= limit { break }
        }
        return Array(targets.prefix(limit))
    }

    /// Whether any link is subscribed to the node or to a key of it.
    func isFollowed(_ soul: Soul) -> Bool { subscribers[soul] != nil }

    /// The links that are subscribed to the node or to any of its keys, up to `limit`; each occurs once.
    func route(_ soul: Soul, limit: Int, unless isExcluded: (LinkID) -> Bool) -> [LinkID] {
        guard let subscribers = subscribers[soul] else { return [] }
        var links: [LinkID] = []
        for candidates in [subscribers.node] + Array(subscribers.keys.values) {
            for link in candidates where !links.contains(link) && !isExcluded(link) {
                if links.count == limit { return links }
                links.append(link)
            }
        }
        return links
    }
}
