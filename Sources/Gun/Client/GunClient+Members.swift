import SwarmBase
import JSON

/// Members: peers that follow what they ask for, and are followed the same way. They share the souls that
/// ``GunAudience/everybody`` may have, and nothing else.
///
/// A record goes only to those who asked for its soul or key; it is passed on only when it won over what was held, so
/// that it takes each link once at most in each direction; and it is not passed on between two who say that they are
/// connected to each other.
extension GunClient {
    /// The queue of the owner's channel has room, or has not. What is pushed waits here meanwhile.
    public mutating func linkWritabilityChanged(_ link: LinkID, isWritable: Bool) {
        links[link]?.isWritable = isWritable
    }

    /// Whether anybody was asked for the node or key and has not answered yet.
    public func isAwaited(_ soul: Soul, _ key: Key?) -> Bool { subscriptions[soul]?.asked[key]?.isEmpty == false }

    /// How many links follow some soul of ours.
    public var followedSoulCount: Int { followers.count }

    /// Whether a member follows a node or a key of it.
    public func isFollowed(_ soul: Soul) -> Bool { followers.isFollowed(soul) }

    // MARK: Passing on

    /// Gives a record that has won to all who should have it and may not.
    ///
    /// - Parameter source: where it came from; `nil` for a write of our own, which relays have got already.
    mutating func forward(_ address: RecordAddress, from source: LinkID?, now: Instant) {
        guard shared.contains(address.soul) else { return }
        for link in followers.listeners(address.soul, address.key)
        where link != source && !areNeighbours(source, link) { push(address, to: link) }
        guard let source, subscriptions[address.soul]?.wants(address.key) == true else { return }
        for link in openLinks
        where links[link]?.kind == .relay && link != source && !areNeighbours(source, link) {
            owe(address, to: link, now: now)
        }
    }

    /// Whether both say that they are connected to each other; relays say nothing of members.
    private func areNeighbours(_ a: LinkID?, _ b: LinkID) -> Bool {
        guard let a, let first = links[a], let second = links[b], first.kind == .member || second.kind == .member,
            let firstName = first.pid, let secondName = second.pid
        else { return false }
        return (first.kind == .relay || first.neighbours.contains(secondName))
            && (second.kind == .relay || second.neighbours.contains(firstName))
    }

    private mutating func push(_ address: RecordAddress, to link: LinkID) {
        links[link]?.queue.add(address)
        pushing.insert(link)
    }

    // MARK: Queries of members

    mutating func follow(_ query: GunQuery, _ message: GunMessage, from link: LinkID, now: Instant) {
        guard let id = message.id, links[link]?.queries.take(now: now) == true else {
            counters.limitedQueries += 1
            return
        }
        if let (soul, key) = query.target {
            followers.subscribe(link, soul, key, limit: configuration.followedByMember)
        }
        guard
            links[link]?.queue.add(answer: id, query, hash: message.hash, limit: configuration.followedByMember) == true
        else { return }
        pushing.insert(link)
    }

    // MARK: Frames

    /// The next frame for a member whose channel has room: one message, or several that are short.
    mutating func nextPush() -> (LinkID, [UInt8])? {
        while let link = nextPushing {
            var batch: [[UInt8]] = []
            var bytes = 0
            while bytes < Self.short, let message = nextMessage(for: link) {
                batch.append(message)
                bytes += message.count
            }
            if !batch.isEmpty { return (link, GunFrame.batch(batch)) }
            pushing.remove(link)
        }
        return nil
    }

    /// Up to how many bytes answers that say little share a frame.
    private static let short = 1 << 10

    /// The first of those whose channel has room.
    private var nextPushing: LinkID? {
        var next: LinkID?
        for link in pushing where next.map({ link < $0 }) ?? true && links[link]?.isWritable == true { next = link }
        return next
    }

    private mutating func nextMessage(for link: LinkID) -> [UInt8]? {
        if links[link]?.queue.begun != nil { return nextPart(for: link) }
        var records: [GunRecord] = []
        var cost = 0
        while cost < configuration.memberFrameBytes, let address = links[link]?.queue.popRecord() {
            guard let entry = memory.entry(address.soul, address.key) else { continue }
            let record = GunRecord(soul: address.soul, key: address.key, entry: entry)
            records.append(record)
            cost += record.cost
        }
        if !records.isEmpty {
            counters.pushedRecords += records.count
            return GunMessage.put(newID(), GunGraph(records)).serialized()
        }
        guard let (id, query, hash) = links[link]?.queue.popAnswer() else { return nil }
        counters.answeredQueries += 1
        guard let soul = query.target?.soul, shared.contains(soul), let node = memory.use(soul)?.node else {
            return GunMessage.answer(newID(), to: id).serialized()
        }
        let wanted = query.select(from: node)
        if let hash, !wanted.isEmpty, ContentHash.of(GunGraph(wanted)) == hash {
            // The asker has all of it.
            var answer = GunMessage.answer(newID(), to: id)
            answer.hash = hash
            return answer.serialized()
        }
        links[link]?.queue.begun = MemberQueue.Begun(id: id, soul: soul, rest: wanted.map(\.key)[...])
        return nextPart(for: link)
    }

    private mutating func nextPart(for link: LinkID) -> [UInt8]? {
        guard var begun = links[link]?.queue.begun else { return nil }
        var records: [GunRecord] = []
        var cost = 0
        while cost < configuration.memberFrameBytes, let key = begun.rest.popFirst() {
            guard let entry = memory.entry(begun.soul, key) else { continue }
            let record = GunRecord(soul: begun.soul, key: key, entry: entry)
            records.append(record)
            cost += record.cost
        }
        var answer = GunMessage.answer(newID(), to: begun.id)
        if !records.isEmpty { answer.put = .graph(GunGraph(records)) }
        answer.hasMore = !begun.rest.isEmpty
        links[link]?.queue.begun = begun.rest.isEmpty ? nil : begun
        return answer.serialized()
    }

    // MARK: Who is connected to whom

    /// Members are told soon whom else we are connected to: sooner that there is one less, who may have been relied on, for that there is
    /// one more only saves work.
    mutating func neighboursChanged(now: Instant) {
        let at = now + .milliseconds(hasLostLink ? 200 : 1_000)
        guard tellNeighboursAt.map({ at < $0 }) ?? true else { return }
        tellNeighboursAt = at
        checks.add(.neighbours, at: at)
    }

    mutating func tellNeighbours(now: Instant) {
        guard let at = tellNeighboursAt, now >= at else { return }
        tellNeighboursAt = nil
        let members = links.filter { $0.value.kind == .member }.keys.sorted()
        for link in members { greet(link) }
        guard hasLostLink else { return }
        hasLostLink = false
        // Others took it that we had from the lost link what it gave them. They know better now, and what they did not
        // pass on before is in their answers.
        for link in members { sendBatched(allQueries(on: link, now: now), to: link) }
    }

    /// The handshake, with the names of those we are connected to.
    mutating func greet(_ link: LinkID) {
        let names = links.filter { $0.key != link }.values.compactMap(\.pid)
        var greeting = GunMessage.handshake(newID(), pid: pid, answering: newID())
        greeting.ok = ["><": .array(names.sorted().prefix(configuration.neighbours).map { .text($0) })]
        transmit(greeting.serialized(), to: link)
    }

    mutating func noteNeighbours(_ ok: JSONValue?, of link: LinkID) {
        guard links[link]?.kind == .member, let names = ok?["><"]?.array else { return }
        links[link]?.neighbours = Set(names.prefix(configuration.neighbours).compactMap(\.text))
    }
}

extension GunQuery {
    /// The records of a node that are asked for.
    func select(from node: GunNode) -> [GunRecord] {
        switch self {
        case .key(let soul, let key): node.entries[key].map { [GunRecord(soul: soul, key: key, entry: $0)] } ?? []
        case .keys(_, let lex, let limit): lex.select(from: node.records, limit: limit)
        case .node: node.records
        case .souls, .nothing: []
        }
    }
}
