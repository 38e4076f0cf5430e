import SwarmBase

/// The nodes that are known, more of them the nearer they are (BEP 5).
///
/// Only nodes enter that answered a query of ours from the address and with the id that are noted. One of each address and, in a
/// bucket, of each /24 or /64.
struct RoutingTable: Sendable {
    struct Entry: Sendable {
        let contact: NodeContact
        let group: AddressGroup
        /// The id is bound to the address (BEP 42).
        let fits: Bool
        var lastAnswered: Instant
        var lastQueried: Instant?
        /// When it was asked whether it is there.
        var lastAsked: Instant?
        /// Queries in a row that were not answered.
        var failures = 0

        /// BEP 5: not good any more, in no list that is given out.
        var isBad: Bool { failures >= 2 }

        /// When it was last heard of, or asked.
        var lastTouched: Instant { max(lastAnswered, lastQueried ?? lastAnswered, lastAsked ?? lastAnswered) }
    }

    private struct Bucket: Sendable {
        var live: [Entry] = []
        /// Answered once, and wait for a place.
        var replacements: [Entry] = []
        var touchedAt: Instant
    }

    /// So many wait for a place in each bucket.
    private static let mostReplacements = 8
    /// A node that is silent so often goes even when nobody waits for its place.
    private static let mostFailures = 5

    let ownID: NodeID
    private let sizes: [Int]
    /// The nodes that share exactly as many first bits with us as the bucket's number; the last one holds all that share more.
    private var buckets: [Bucket]
    /// In which parts something was ever looked for: how many first bits it shared with us.
    private var explored: Set<Int> = []
    private var ids: [TransportAddress: NodeID] = [:]
    /// How many nodes each address has that is not local.
    private var hosts: [IPAddress: Int] = [:]

    init(ownID: NodeID, sizes: [Int], now: Instant) {
        self.ownID = ownID
        self.sizes = sizes
        buckets = [Bucket(touchedAt: now)]
    }

    // MARK: What is known

    var count: Int { buckets.reduce(0) { $0 + $1.live.count } }
    var bucketCount: Int { buckets.count }
    /// Nodes that answered when they were asked last.
    var goodCount: Int { buckets.reduce(0) { $0 + $1.live.count { !$0.isBad } } }

    func contains(_ address: TransportAddress) -> Bool { ids[address] != nil }

    var contacts: [NodeContact] { buckets.flatMap { $0.live.filter { !$0.isBad }.map(\.contact) } }

    /// The nearest nodes, nearest first.
    func closest(to target: NodeID, count: Int) -> [NodeContact] {
        var result: [NodeContact] = []
        result.reserveCapacity(count)
        let home = min(ownID.sharedPrefix(with: target), buckets.count - 1)
        // Each group is farther from the target than all before it: its own bucket, all deeper ones, then upwards.
        append(home..<home + 1, to: &result, target, count)
        append(home + 1..<buckets.count, to: &result, target, count)
        var up = home - 1
        while up >= 0, result.count < count {
            append(up..<up + 1, to: &result, target, count)
            up -= 1
        }
        return result
    }

    private func append(_ range: Range<Int>, to result: inout [NodeContact], _ target: NodeID, _ count: Int) {
        guard result.count < count, !range.isEmpty else { return }
        var group: [(distance: NodeID, contact: NodeContact)] = []
        for bucket in buckets[range] {
            for entry in bucket.live where !entry.isBad {
                group.append((entry.contact.id.distance(to: target), entry.contact))
            }
        }
        group.sort { $0.distance < $1.distance }
        for item in group.prefix(count - result.count) { result.append(item.contact) }
    }

    // MARK: What happens

    /// A node has answered.
    ///
    /// - Returns: whether it is in the table now.
    @discardableResult
    mutating func answered(_ contact: NodeContact, now: Instant) -> Bool {
        guard contact.id != ownID else { return false }
        if let known = ids[contact.address], known != contact.id {
            // The node at this address is another one now.
            remove(NodeContact(id: known, address: contact.address))
        }
        var index = bucket(of: contact.id)
        if let at = buckets[index].live.firstIndex(where: { $0.contact.id == contact.id }) {
            let entry = buckets[index].live[at]
            if entry.contact.address == contact.address {
                buckets[index].live[at].lastAnswered = now
                buckets[index].live[at].failures = 0
                return true
            }
            // Somebody else says that the id is his: not while its owner answers.
            guard entry.isBad else { return false }
            remove(entry.contact)
            index = bucket(of: contact.id)
        }
        let fits = contact.id.fits(contact.address.address)
        let entry = Entry(contact: contact, group: AddressGroup(contact.address), fits: fits, lastAnswered: now)
        guard mayEnter(entry, bucket: index) else { return false }
        while buckets[index].live.count >= size(of: index) {
            if index == buckets.count - 1, buckets.count < NodeID.bitCount {
                split(now: now)
                index = bucket(of: contact.id)
            } else if let worse = worse(than: entry, in: index) {
                let former = buckets[index].live[worse]
                forget(former.contact)
                buckets[index].live.remove(at: worse)
                if !former.isBad { wait(former, in: index) }
            } else {
                wait(entry, in: index)
                return false
            }
        }
        buckets[index].replacements.removeAll { $0.contact.id == contact.id || $0.contact.address == contact.address }
        buckets[index].live.append(entry)
        buckets[index].touchedAt = now
        note(contact)
        return true
    }

    /// A node has asked us something.
    ///
    /// - Returns: whether it is worth a ping: it is not known, and there is or may be room for it.
    mutating func queried(by contact: NodeContact, now: Instant) -> Bool {
        guard contact.id != ownID else { return false }
        let index = bucket(of: contact.id)
        if let at = buckets[index].live.firstIndex(where: { $0.contact == contact }) {
            buckets[index].live[at].lastQueried = now
            return false
        }
        return isWanted(contact)
    }

    /// Whether a node would get a place if it answered.
    func isWanted(_ contact: NodeContact) -> Bool {
        guard contact.id != ownID, ids[contact.address] == nil else { return false }
        let index = bucket(of: contact.id)
        let fits = contact.id.fits(contact.address.address)
        let entry = Entry(
            contact: contact, group: AddressGroup(contact.address), fits: fits, lastAnswered: .zero)
        guard mayEnter(entry, bucket: index) else { return false }
        return buckets[index].live.count < size(of: index)
            || (index == buckets.count - 1 && buckets.count < NodeID.bitCount) || worse(than: entry, in: index) != nil
    }

    /// A node has not answered, or with another id.
    mutating func failed(_ contact: NodeContact) {
        let index = bucket(of: contact.id)
        guard let at = buckets[index].live.firstIndex(where: { $0.contact == contact }) else { return }
        buckets[index].live[at].failures += 1
        let entry = buckets[index].live[at]
        if entry.isBad, let next = bestReplacement(of: index, without: at) {
            let replacement = buckets[index].replacements.remove(at: next)
            forget(entry.contact)
            buckets[index].live[at] = replacement
            note(replacement.contact)
        } else if entry.failures >= Self.mostFailures {
            forget(entry.contact)
            buckets[index].live.remove(at: at)
        }
    }

    /// The node at an address is none, or says another id each time.
    mutating func remove(_ contact: NodeContact) {
        let index = bucket(of: contact.id)
        guard let at = buckets[index].live.firstIndex(where: { $0.contact == contact }) else { return }
        forget(contact)
        buckets[index].live.remove(at: at)
    }

    /// Something near `target` is looked for.
    mutating func touch(_ target: NodeID, now: Instant) {
        buckets[bucket(of: target)].touchedAt = now
        explored.insert(ownID.sharedPrefix(with: target))
    }

    // MARK: Upkeep

    /// Nobody is left: what was found in each part is gone.
    mutating func forgetExplored() { explored = [] }

    /// A node is asked whether it is there.
    mutating func asked(_ contact: NodeContact, now: Instant) {
        let index = bucket(of: contact.id)
        guard let at = buckets[index].live.firstIndex(where: { $0.contact == contact }) else { return }
        buckets[index].live[at].lastAsked = now
    }

    /// The node that has been silent for longest, if that is longer than `age`.
    func mostSilent(for age: Duration, now: Instant) -> NodeContact? {
        var oldest: Entry?
        for bucket in buckets {
            for entry in bucket.live where oldest.map({ entry.lastTouched < $0.lastTouched }) ?? true { oldest = entry }
        }
        guard let oldest, now - oldest.lastTouched >= age else { return nil }
        return oldest.contact
    }

    /// A target in a bucket that nothing was looked for in for longer than `age`.
    mutating func staleTarget(for age: Duration, entropy: inout Entropy, now: Instant) -> NodeID? {
        guard let index = buckets.indices.first(where: { now - buckets[$0].touchedAt >= age }) else { return nil }
        buckets[index].touchedAt = now
        if index == buckets.count - 1 { return ownID }
        return .random(sharing: index, with: ownID, using: &entropy)
    }

    /// A target in the farthest part of which fewer than `enough` nodes are known, and in which nothing was ever looked for; a part
    /// is the nodes that share exactly so many first bits with us. Our own neighbourhood, the nearest nodes, is no such part.
    func unexploredTarget(enough: Int, entropy: inout Entropy) -> NodeID? {
        let shared = contacts.map { ownID.sharedPrefix(with: $0.id) }
        var nearer = shared.count
        for part in 0..<NodeID.bitCount {
            let known = shared.count { $0 == part }
            nearer -= known
            guard nearer >= enough else { return nil }
            if known < enough, !explored.contains(part) { return .random(sharing: part, with: ownID, using: &entropy) }
        }
        return nil
    }

    /// The same nodes around another id of ours.
    func rebuilt(around id: NodeID, now: Instant) -> RoutingTable {
        var table = RoutingTable(ownID: id, sizes: sizes, now: now)
        for bucket in buckets {
            for entry in bucket.live + bucket.replacements where !entry.isBad {
                table.answered(entry.contact, now: entry.lastAnswered)
            }
        }
        return table
    }

    // MARK: Inside

    private func bucket(of id: NodeID) -> Int { min(ownID.sharedPrefix(with: id), buckets.count - 1) }

    private func size(of index: Int) -> Int { index < sizes.count ? sizes[index] : sizes.last ?? 8 }

    private func mayEnter(_ entry: Entry, bucket index: Int) -> Bool {
        if case .local = entry.group { return true }
        return hosts[entry.contact.address.address] == nil
            && !buckets[index].live.contains { $0.group == entry.group && !$0.isBad }
    }

    /// Whose place a node takes: a bad one's, or that of one whose id does not fit when its own does.
    private func worse(than entry: Entry, in index: Int) -> Int? {
        if let bad = buckets[index].live.firstIndex(where: \.isBad) { return bad }
        return entry.fits ? buckets[index].live.firstIndex { !$0.fits } : nil
    }

    private mutating func wait(_ entry: Entry, in index: Int) {
        buckets[index].replacements.removeAll {
            $0.contact.id == entry.contact.id || $0.contact.address == entry.contact.address
        }
        buckets[index].replacements.append(entry)
        if buckets[index].replacements.count > Self.mostReplacements { buckets[index].replacements.removeFirst() }
    }

    /// The one that answered last, of those that fit if there are any.
    private func bestReplacement(of index: Int, without leaving: Int) -> Int? {
        let groups = Set(buckets[index].live.enumerated().filter { $0.offset != leaving }.map(\.element.group))
        let free = buckets[index].replacements.indices.filter {
            !groups.contains(buckets[index].replacements[$0].group)
                && ids[buckets[index].replacements[$0].contact.address] == nil
        }
        return free.last { buckets[index].replacements[$0].fits } ?? free.last
    }

    private mutating func split(now: Instant) {
        let last = buckets.count - 1
        let former = buckets[last]
        buckets.append(Bucket(touchedAt: former.touchedAt))
        buckets[last].live = former.live.filter { ownID.sharedPrefix(with: $0.contact.id) == last }
        buckets[last + 1].live = former.live.filter { ownID.sharedPrefix(with: $0.contact.id) > last }
        buckets[last].replacements = former.replacements.filter { ownID.sharedPrefix(with: $0.contact.id) == last }
        buckets[last + 1].replacements = former.replacements.filter { ownID.sharedPrefix(with: $0.contact.id) > last }
    }

    private mutating func note(_ contact: NodeContact) {
        ids[contact.address] = contact.id
        if !contact.address.address.isLocal { hosts[contact.address.address, default: 0] += 1 }
    }

    private mutating func forget(_ contact: NodeContact) {
        ids[contact.address] = nil
        if let count = hosts[contact.address.address] {
            hosts[contact.address.address] = count > 1 ? count - 1 : nil
        }
    }
}
