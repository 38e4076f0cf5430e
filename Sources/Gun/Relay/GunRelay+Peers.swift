import JSON
import SwarmBase

/// Federation: configured relays are told every change that we accept, and followed for what our links ask.
///
/// Only what conflict resolution accepts goes on, so a change passes each link once whatever circles the relays make;
/// `><` names those that are told anyway. What a relay misses while it is away, or does not acknowledge, is noted by
/// address and told when it is back, with the values of that moment. What has changed since it acknowledged everything is
/// offered after a start, and when too much was missed to be noted: see ``GunRelay/resume(_:)``.
extension GunRelay {
    mutating func peerOpened(_ number: Int, _ link: LinkID, now: Instant) {
        peers[number, default: RelayPeer()].link = link
        resubscribe(number, link)
        catchUp(number, now: now)
    }

    mutating func peerClosed(_ number: Int, _ link: LinkID) {
        guard peers[number]?.link == link else { return }
        for address in peers[number]?.unlink() ?? [] { note(address, for: number) }
    }

    // MARK: Writes

    /// Tells configured relays of accepted records, now or when they can take it.
    mutating func federate(_ records: [GunRecord], of unit: PutUnit, now: Instant) {
        guard !peers.isEmpty else { return }
        guard unit.hops < configuration.federation.hops else {
            counters.hopRefusals += 1
            return
        }
        let source = links[unit.link]
        var told: [(Int, LinkID)] = []
        var names = [pid]
        for number in peers.keys.sorted() where source?.peer != number {
            if let link = peers[number]?.link, let name = links[link]?.pid {
                if name == source?.pid || unit.heard.contains(name) { continue }
                if names.count < 8 { names.append(name) }
            }
            if let link = peers[number]?.link, canTake(number, link), peers[number]?.hasPending == false {
                told.append((number, link))
            } else {
                for record in records { note(record.address, for: number) }
            }
        }
        guard !told.isEmpty else { return }
        let isWhole = unit.isWhole && records.count == unit.records.count
        let id = isWhole ? unit.message : newID()
        if !isWhole { routes.remember(id, AnswerRoute(link: unit.link, original: unit.message), now: now) }
        var message = GunMessage.put(id, GunGraph(records))
        message.ok = unit.ok
        message.heard = names
        message.hops = unit.hops + 1
        let frame = message.serialized()
        let addresses = records.map(\.address)
        for (number, link) in told { send(frame, id, addresses, to: number, link, now: now) }
    }

    private func canTake(_ number: Int, _ link: LinkID) -> Bool {
        guard let peer = peers[number], let state = links[link] else { return false }
        return peer.inFlight.count < configuration.federation.puts
            && state.queuedBytes < configuration.federation.queuedBytes
    }

    private mutating func note(_ address: RecordAddress, for number: Int) {
        guard peers[number]?.note(address, limit: configuration.federation.pendingRecords) == false else { return }
        let missed = offer(since: peers[number]?.acknowledged)
        peers[number]?.offer = missed
    }

    /// What is to be offered to a relay that has acknowledged everything up to that change.
    func offer(since acknowledged: UInt64?) -> RelayPeer.Offer {
        guard let changes, let acknowledged, acknowledged + 1 >= changes.first, acknowledged <= changes.last else {
            return .everything()
        }
        // What waits for its batch gets the next numbers.
        let end = changes.last + UInt64(storage.accumulatedRecords)
        return RelayPeer.Offer(source: .changes(after: acknowledged, through: end))
    }

    private mutating func send(
        _ frame: [UInt8], _ id: MessageID, _ addresses: [RecordAddress], to number: Int, _ link: LinkID, now: Instant
    ) {
        counters.federatedPuts += 1
        counters.federatedRecords += addresses.count
        peers[number]?.inFlight[id] = addresses
        flights.add(
            FederatedPut(peer: number, link: link, message: id, sentAt: now),
            at: now + configuration.federation.patience)
        enqueue(frame, for: link)
    }

    /// A configured relay has answered a put.
    ///
    /// - Returns: whether it was one of ours, so that the answer is for us alone.
    mutating func acknowledged(_ id: MessageID, by number: Int, _ answer: GunMessage, now: Instant) -> Bool {
        guard peers[number]?.inFlight.removeValue(forKey: id) != nil else { return false }
        passCheckpoint(number, id)
        if answer.err != nil { counters.federationRefusals += 1 }
        catchUp(number, now: now)
        // What an application has to say in `ok` is for the writer (gun.md §11).
        if case .object(let object) = answer.ok { return object.count == 1 && object[""] != nil }
        return true
    }

    /// Silence is no refusal: the put counts as taken by a relay that has been heard since. One that has not may be gone
    /// with all that is on its way to it.
    mutating func taken(_ flight: FederatedPut, now: Instant) {
        guard peers[flight.peer]?.link == flight.link, peers[flight.peer]?.inFlight[flight.message] != nil,
            let heardAt = links[flight.link]?.heardAt
        else { return }
        guard heardAt >= flight.sentAt + configuration.federation.patience / 2 else {
            return flights.add(flight, at: now + configuration.federation.patience)
        }
        peers[flight.peer]?.inFlight[flight.message] = nil
        passCheckpoint(flight.peer, flight.message)
        catchUp(flight.peer, now: now)
    }

    // MARK: What was missed

    /// Tells a relay what it has missed, as much as it takes now.
    private mutating func catchUp(_ number: Int, now: Instant) {
        guard let link = peers[number]?.link else { return }
        var records: [GunRecord] = []
        while canTake(number, link), peers[number].map({ $0.loading < configuration.federation.recordsPerPut }) == true,
            let address = peers[number]?.popPending()
        {
            if let entry = memory.entry(address.soul, address.key) {
                records.append(GunRecord(soul: address.soul, key: address.key, entry: entry))
                if records.count == configuration.federation.recordsPerPut {
                    tell(records, to: number, link, now: now)
                    records = []
                }
            } else if configuration.hasStorage {
                peers[number]?.loading += 1
                load(address.soul, address.key, for: .peer(number), lane: link)
            }
        }
        if !records.isEmpty { tell(records, to: number, link, now: now) }
        offerMore(number, link, now: now)
        beginCheckpoint(number)
    }

    private mutating func tell(_ records: [GunRecord], to number: Int, _ link: LinkID, now: Instant) {
        guard !records.isEmpty else { return }
        let id = newID()
        var message = GunMessage.put(id, GunGraph(records))
        message.heard = [pid]
        message.hops = 1
        send(message.serialized(), id, records.map(\.address), to: number, link, now: now)
    }

    mutating func loadedPending(_ soul: Soul, _ key: Key, for number: Int, now: Instant) {
        guard peers[number] != nil else { return }
        peers[number]?.loading -= 1
        guard let entry = memory.entry(soul, key) else { return catchUp(number, now: now) }
        let record = GunRecord(soul: soul, key: key, entry: entry)
        guard let link = peers[number]?.link else { return note(record.address, for: number) }
        tell([record], to: number, link, now: now)
        catchUp(number, now: now)
    }

    /// Reads the next slice of all that is kept, when the relay has taken most of the one before.
    private mutating func offerMore(_ number: Int, _ link: LinkID, now: Instant) {
        guard let peer = peers[number], let offer = peer.offer, !offer.isReading, !peer.hasPending,
            peer.inFlight.count < configuration.federation.puts / 4
        else { return }
        switch offer.source {
        case .changes(let after, let through):
            // What is not stored yet cannot be read; ``offerChanges(now:)`` comes back.
            guard let changes, through <= changes.last else { return }
            guard after < through else {
                peers[number]?.offer = nil
                return
            }
            peers[number]?.offer?.isReading = true
            let id = storage.start(.changes(peer: number, through: through))
            let request = ChangeLogRequest.load(
                id, after: after, through: through, limit: configuration.sliceRecords)
            begin(.changes(request), id, lane: link)
        case .everything(let after):
            var range = RecordRange(
                souls: Lex(), keys: Lex(), records: configuration.sliceRecords, bytes: configuration.sliceBytes)
            range.after = after
            peers[number]?.offer?.isReading = true
            if configuration.hasStorage {
                let id = storage.start(.offer(peer: number))
                begin(.load(id, range), id, lane: link)
            } else {
                self.offer(range.slice(of: memory.nodes.values.flatMap(\.node.records)), to: number, now: now)
            }
        }
    }

    /// Goes on with offers that wait for what is being stored.
    mutating func offerChanges(now: Instant) {
        for number in peers.keys.sorted() {
            guard let link = peers[number]?.link, case .changes = peers[number]?.offer?.source else { continue }
            offerMore(number, link, now: now)
        }
    }

    mutating func offer(_ slice: RecordSlice, to number: Int, now: Instant) {
        guard let offer = peers[number]?.offer, offer.isReading, case .everything = offer.source else { return }
        guard let link = peers[number]?.link else { return }
        peers[number]?.offer = slice.isComplete ? nil : .everything(after: slice.records.last?.address)
        tell(all: slice.records, to: number, link, now: now)
        offerMore(number, link, now: now)
        beginCheckpoint(number)
    }

    /// Changes of the log have been read, up to one of them; `end` is the last that is wanted.
    mutating func offer(_ records: [GunRecord], through: UInt64, of end: UInt64, to number: Int, now: Instant) {
        guard let offer = peers[number]?.offer, offer.isReading, case .changes(let after, end) = offer.source else {
            return
        }
        guard let link = peers[number]?.link else { return }
        // It could not be read: later, when something else moves.
        guard through > after else {
            peers[number]?.offer?.isReading = false
            return
        }
        peers[number]?.offer =
            through < end ? RelayPeer.Offer(source: .changes(after: through, through: end)) : nil
        tell(all: records, to: number, link, now: now)
        offerMore(number, link, now: now)
        beginCheckpoint(number)
    }

    private mutating func tell(all records: [GunRecord], to number: Int, _ link: LinkID, now: Instant) {
        var rest = records[...]
        while !rest.isEmpty {
            var bytes = 0
            let part = rest.prefix(configuration.federation.recordsPerPut).prefix { record in
                defer { bytes += record.cost }
                return bytes < configuration.answerBytes
            }
            rest = rest.dropFirst(part.count)
            tell(Array(part), to: number, link, now: now)
        }
    }

    // MARK: Subscriptions

    /// Follows at the configured relays what a link has asked for and we have answered from here.
    mutating func follow(_ waiting: WaitingQuery, hash: Int32?, now: Instant) {
        guard !peers.isEmpty, let (soul, key) = waiting.query.target else { return }
        guard waiting.hops < configuration.federation.hops else { return }
        for number in peers.keys.sorted() where links[waiting.link]?.peer != number {
            guard let link = peers[number]?.link, !isFollowed(soul, key, at: number),
                noteFollowed(waiting.query, at: number)
            else { continue }
            ask(link, soul, key, hash: hash, hops: waiting.hops + 1)
        }
    }

    private func isFollowed(_ soul: Soul, _ key: Key?, at number: Int) -> Bool {
        guard let followed = peers[number]?.followed else { return false }
        return followed.contains(RecordTarget(soul: soul, key: nil))
            || key.map { followed.contains(RecordTarget(soul: soul, key: $0)) } == true
    }

    /// - Returns: whether there was room: what cannot be noted would be asked for again and again.
    @discardableResult
    mutating func noteFollowed(_ query: GunQuery, at number: Int) -> Bool {
        guard let (soul, key) = query.target, let count = peers[number]?.followed.count,
            count < configuration.federation.subscriptions
        else { return false }
        peers[number]?.followed.insert(RecordTarget(soul: soul, key: key))
        return true
    }

    private mutating func ask(_ link: LinkID, _ soul: Soul, _ key: Key?, hash: Int32?, hops: Int = 1) {
        var message = GunMessage.get(newID(), key.map { .key(soul, $0) } ?? .node(soul))
        message.hash = hash
        message.heard = [pid]
        message.hops = hops
        send(message, to: link)
    }

    /// Follows at a relay that has come, or come back, all that our links follow here.
    private mutating func resubscribe(_ number: Int, _ link: LinkID) {
        for target in subscriptions.targets(limit: configuration.federation.subscriptions, unless: link) {
            peers[number]?.followed.insert(target)
            var hash: Int32?
            if let held = memory.nodes[target.soul], held.isComplete || target.key != nil {
                let records =
                    target.key.map { key in
                        held.node.entries[key].map { [GunRecord(soul: target.soul, key: key, entry: $0)] } ?? []
                    } ?? held.node.records
                if !records.isEmpty, held.cost < configuration.answerBytes {
                    hash = ContentHash.of(GunGraph(records))
                }
            }
            ask(link, target.soul, target.key, hash: hash)
        }
    }
}
