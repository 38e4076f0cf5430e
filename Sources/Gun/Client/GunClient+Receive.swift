public import SwarmBase
import JSON

extension GunClient {
    /// A text frame has arrived.
    public mutating func receive(frame: [UInt8], on link: LinkID, now: Instant, wall: Double) {
        guard links[link] != nil else { return }
        counters.framesReceived += 1
        switch GunFrame(parsing: frame, limits: configuration.limits) {
        case .heartbeat: break
        case .foreign, .broken: counters.ignoredMessages += 1
        case .messages(let messages, let dropped):
            counters.ignoredMessages += dropped
            for message in messages { handle(message, from: link, now: now, wall: wall) }
        }
        evict()
    }

    private mutating func handle(_ message: GunMessage, from link: LinkID, now: Instant, wall: Double) {
        if let verb = message.dam {
            guard verb == "?" else {
                counters.ignoredMessages += 1
                return
            }
            if links[link]?.pid != message.pid {
                links[link]?.pid = message.pid
                neighboursChanged(now: now)
            }
            noteNeighbours(message.ok, of: link)
            if message.answered == nil {
                transmit(GunMessage.handshake(newID(), pid: pid, answering: message.id).serialized(), to: link)
            }
            return
        }
        switch message.put {
        case .graph(let graph): for record in graph.records { merge(record, from: link, now: now, wall: wall) }
        case .malformed: counters.malformedPuts += 1
        case nil: break
        }
        if let answered = message.answered {
            guard let what = sent.sight(answered, now: now) else { return }
            handle(answer: message, id: answered, to: what, from: link, now: now)
        } else if let query = message.get, links[link]?.kind == .member {
            follow(query, message, from: link, now: now)
        } else if let query = message.get {
            answer(query, message, from: link, now: now)
        }
    }

    private mutating func handle(
        answer: GunMessage, id answered: MessageID, to what: Sent, from link: LinkID, now: Instant
    ) {
        switch what {
        case .put(let id, let links) where !isKept(id):
            guard answer.err != nil || answer.ok != nil, !links.contains(link) else { return }
            sent.remember(answered, .put(id, answeredBy: links.union([link])), now: now)
            events.append(answer.err.map { .refused(id, link, $0.string) } ?? .acknowledged(id, link))
        case .put(let id, _):
            if let fault = answer.err {
                refuse(id, fault, on: link, now: now)
            } else if answer.ok != nil {
                acknowledge(id, on: link, now: now)
            }
        case .query(let soul, let key):
            // The parts of an answer come one after another.
            if answer.hasMore { return }
            if key == nil { relayAnswered(soul, on: link, now: now) }
            guard subscriptions[soul]?.asked[key]?.remove(link) != nil else { return }
            guard subscriptions[soul]?.asked[key]?.isEmpty == true else { return }
            subscriptions[soul]?.asked[key] = nil
            let isHeld = key.map { memory.entry(soul, $0) != nil } ?? (node(soul) != nil)
            if !isHeld { events.append(.missing(soul, key)) }
        case .verification(let id, let address):
            guard case .graph(let graph) = answer.put, let written = outbox[id]?.records[address] else { return }
            let isThere = graph.records.contains { $0.address == address && !HAM.supersedes(written, $0.entry) }
            if isThere, outbox.verify(id, address, on: link, of: configuration.verifiedKeys) {
                acknowledge(id, on: link, now: now)
            }
        }
    }

    /// Takes one write that came in, if we have any use for it.
    ///
    /// - Parameter source: the link that it came by; `nil` when it has waited for the clock.
    mutating func merge(_ record: GunRecord, from source: LinkID?, now: Instant, wall: Double) {
        if let source { relayHas(record, on: source) }
        let isWanted = subscriptions[record.soul]?.wants(record.key) == true
        guard isWanted || memory.entry(record.soul, record.key) != nil else {
            counters.unwantedRecords += 1
            return
        }
        if record.state > wall { return park(record, now: now, wall: wall) }
        guard isAllowed(record, wall: wall) else { return }
        memory.hold(record.soul, isComplete: false)
        guard memory.merge(record) else {
            counters.ignoredRecords += 1
            return
        }
        counters.acceptedRecords += 1
        supersede(record.address)
        keep(record, isPending: false)
        forward(record.address, from: source ?? LinkID(.max), now: now)
        if isWanted { events.append(.changed(record.soul, record.key, record.value, state: record.state)) }
    }

    /// What the rule says of a record, by what is held here.
    public func verdict(on record: GunRecord, wall: Double) -> WriteVerdict {
        configuration.rule?.verdict(record, wall) { soul, key in
            memory.entry(soul, key).map { .value($0.value) } ?? .nothing
        } ?? .accept
    }

    /// Asks the rule about a record that would win.
    private mutating func isAllowed(_ record: GunRecord, wall: Double) -> Bool {
        guard HAM.supersedes(record.entry, memory.entry(record.soul, record.key)) else { return true }
        if verdict(on: record, wall: wall) == .accept { return true }
        counters.refusedRecords += 1
        return false
    }

    private mutating func park(_ record: GunRecord, now: Instant, wall: Double) {
        if deferredRecords.contains(record) { return }
        // What our own clock wrote ahead of itself comes back by echo: it is held already.
        guard HAM.supersedes(record.entry, memory.entry(record.soul, record.key)) else {
            counters.ignoredRecords += 1
            return
        }
        guard record.state - wall <= configuration.futureTolerance.milliseconds,
            deferred.count < configuration.deferredWrites,
            deferredBytes + record.cost <= configuration.deferredBytes
        else {
            counters.droppedRecords += 1
            return
        }
        counters.deferredRecords += 1
        deferredRecords.insert(record)
        deferredBytes += record.cost
        deferred.add(record, at: now + HAM.deferral(of: record.state, wall: wall))
    }

    // MARK: Queries that relays pass on to us

    /// Answers from our graph; what we do not hold we leave to others.
    private mutating func answer(_ query: GunQuery, _ message: GunMessage, from link: LinkID, now: Instant) {
        guard let id = message.id, heardQueries.sight(id, now: now) == nil else { return }
        heardQueries.remember(id, true, now: now)
        guard let (soul, _) = query.target, let node = memory.use(soul)?.node, !node.entries.isEmpty else { return }
        let records = query.select(from: node)
        let graph = GunGraph(records)
        let cost = records.reduce(0) { $0 + $1.cost }
        guard !records.isEmpty, links[link]?.answers.take(now: now) == true,
            links[link]?.answerBytes.take(Double(cost), now: now) == true
        else { return }
        let hash = ContentHash.of(graph)
        if message.hash == hash { return }
        var answer = GunMessage.answer(newID(), to: id)
        answer.hash = hash
        answer.put = .graph(graph)
        counters.answeredQueries += 1
        transmit(answer.serialized(), to: link)
    }
}
