import JSON
import SwarmBase

extension GunRelay {
    mutating func handle(
        put: GunMessage.Put, _ message: GunMessage, id: MessageID, from link: LinkID, now: Instant, wall: Double
    ) {
        counters.puts += 1
        // What a configured relay passes on was acknowledged where it was written.
        let acknowledged = links[link]?.peer == nil ? message.id : nil
        switch put {
        case .malformed(let fault): refuse(acknowledged, JSONText(fault.rawValue), to: link)
        case .graph(let graph):
            accept(
                graph, of: message, id: id, acknowledging: acknowledged, skipping: nil, from: link, now: now, wall: wall
            )
        }
    }

    /// Takes a valid graph: what is due is decided when memory knows what storage holds, what is ahead of the clock waits.
    mutating func accept(
        _ graph: GunGraph, of message: GunMessage, id: MessageID, acknowledging acknowledged: MessageID?,
        skipping skipped: LinkID?, from link: LinkID, now: Instant, wall: Double
    ) {
        var latest = -Double.infinity
        var bytes = 0
        for record in graph.records {
            latest = max(latest, record.state)
            bytes += record.cost
        }
        if latest > wall + configuration.futureTolerance.milliseconds {
            return refuse(acknowledged, JSONText(GraphFault.tooFarAhead.rawValue), to: link)
        }
        let ahead = latest > wall ? graph.records.filter { $0.state > wall } : []
        let aheadBytes = ahead.reduce(0) { $0 + $1.cost }
        guard let state = links[link], state.deferredCount + ahead.count <= configuration.deferredPerLink,
            state.deferredBytes + aheadBytes <= configuration.deferredBytesPerLink,
            deferredBytes + aheadBytes <= configuration.deferredBytes
        else { return refuse(acknowledged, "Too many writes with states in the future.", to: link) }
        guard addresses.write(state.address, bytes: bytes, now: now) else {
            counters.quotaRefusals += 1
            return refuse(acknowledged, "Too much was written from this address.", to: link)
        }
        guard mayRead(link), storage.unstoredBytes <= configuration.unstoredBytes else {
            // Silence, not an error: the writer is to try again.
            counters.busyRefusals += 1
            return
        }
        let job = nextJob
        nextJob += 1
        jobs[job] = PutJob(link: link, message: acknowledged, remaining: graph.records.count)
        if graph.records.isEmpty { return settle(job, 0) }
        var unit = PutUnit(
            job: job, link: link, message: id, ok: message.ok.flatMap(Self.lowered), records: graph.records,
            isWhole: true, skipped: skipped, heard: message.heard, hops: hops(of: message, from: link))
        if ahead.isEmpty { return submit(unit, now: now, wall: wall) }
        unit.isWhole = false
        for record in ahead { park(record, of: unit, now: now, wall: wall) }
        unit.records.removeAll { $0.state > wall }
        if !unit.records.isEmpty { submit(unit, now: now, wall: wall) }
    }

    /// A put's `ok` asks those who hear it for acknowledgements; each hop lowers the count.
    private static func lowered(_ ok: JSONValue) -> JSONValue? {
        guard let hops = ok["@"]?.number, hops >= 2, let share = ok["/"]?.number else { return nil }
        return ["@": .number(min(hops, 1000) - 1), "/": .number(share)]
    }

    private mutating func park(_ record: GunRecord, of unit: PutUnit, now: Instant, wall: Double) {
        counters.deferredRecords += 1
        var alone = unit
        alone.records = [record]
        alone.isWhole = false
        deferredBytes += record.cost
        links[unit.link]?.deferredCount += 1
        links[unit.link]?.deferredBytes += record.cost
        deferred.add(
            DeferredPut(unit: alone, link: unit.link, bytes: record.cost),
            at: now + HAM.deferral(of: record.state, wall: wall))
    }

    /// Applies the unit, now or when what its keys hold has been read.
    mutating func submit(_ unit: PutUnit, now: Instant, wall: Double) {
        let unknown =
            configuration.hasStorage
            ? unit.records.filter { record in
                guard let held = memory.nodes[record.soul] else { return true }
                return !held.isComplete && held.node.entries[record.key] == nil
            } : []
        guard !unknown.isEmpty else { return apply(unit, now: now, wall: wall) }
        var waiting = unit
        waiting.pendingLoads = unknown.count
        let id = storage.park(waiting)
        for record in unknown { load(record.soul, record.key, for: .unit(id), lane: unit.link) }
    }

    mutating func apply(_ unit: PutUnit, now: Instant, wall: Double) {
        var accepted: [GunRecord] = []
        for record in unit.records {
            if record.state > wall {
                // The clock was set back since the record was let through.
                park(record, of: unit, now: now, wall: wall)
                continue
            }
            switch decision(on: record, of: unit, wall: wall) {
            case .keep: break
            case .leave:
                settle(unit.job, 1)
                continue
            case .lookUp(let address):
                lookUp(address, for: record, of: unit)
                continue
            }
            memory.hold(record.soul, isComplete: !configuration.hasStorage)
            if memory.merge(record) {
                counters.acceptedRecords += 1
                accepted.append(record)
                noteLifetime(of: record, now: now, wall: wall)
                guard configuration.hasStorage else {
                    settle(unit.job, 1)
                    continue
                }
                memory.addUnstored(record.soul, 1)
                storage.add(RelayStorage.Item(record: record, soul: record.soul, job: unit.job))
            } else {
                counters.ignoredRecords += 1
                if (memory.nodes[record.soul]?.unstored ?? 0) > 0 {
                    storage.add(RelayStorage.Item(record: nil, soul: record.soul, job: unit.job))
                } else {
                    settle(unit.job, 1)
                }
            }
        }
        if !accepted.isEmpty { push(accepted, of: unit, now: now) }
    }

    private enum Decision {
        case keep
        case leave
        case lookUp(RecordAddress)
    }

    /// Asks the rule about a record that would win; whatever changes nothing is not asked about.
    private mutating func decision(on record: GunRecord, of unit: PutUnit, wall: Double) -> Decision {
        if isExpired(record, wall: wall) {
            counters.passedRecords += 1
            return .leave
        }
        guard let rule = configuration.rule, HAM.supersedes(record.entry, memory.entry(record.soul, record.key)) else {
            return .keep
        }
        let verdict = rule.verdict(record, wall) { soul, key in
            if let entry = memory.entry(soul, key) { return .value(entry.value) }
            let isKnown =
                !configuration.hasStorage || memory.nodes[soul]?.isComplete == true
                || unit.lookedUp.contains(RecordAddress(soul: soul, key: key))
            return isKnown ? .nothing : .unknown
        }
        switch verdict {
        case .accept: return .keep
        case .needs(let address): return .lookUp(address)
        case .refuse(let fault):
            counters.refusedRecords += 1
            jobs[unit.job]?.fault = fault
        case .pass: counters.passedRecords += 1
        }
        return .leave
    }

    /// Lets the record wait until what its rule asks for has been read, and decides then.
    private mutating func lookUp(_ address: RecordAddress, for record: GunRecord, of unit: PutUnit) {
        var alone = unit
        alone.isWhole = unit.isWhole && unit.records.count == 1
        alone.records = [record]
        alone.lookedUp.insert(address)
        alone.pendingLoads = 1
        load(address.soul, address.key, for: .unit(storage.park(alone)), lane: unit.link)
    }

    /// Counts records of a put as settled; with the last one the writer is told.
    private mutating func settle(_ id: JobID, _ count: Int) {
        jobs[id]?.remaining -= count
        guard let job = jobs[id], job.remaining <= 0 else { return }
        jobs[id] = nil
        guard let message = job.message else { return }
        send(acknowledgement(of: message, fault: job.fault), to: job.link)
    }

    mutating func acknowledgement(of message: MessageID, fault: JSONText?) -> GunMessage {
        var answer = GunMessage.answer(newID(), to: message)
        if let fault { answer.err = fault } else { answer.ok = true }
        return answer
    }

    // MARK: Subscribers

    /// Passes accepted records on. One frame is made for all links that get the same records.
    private mutating func push(_ records: [GunRecord], of unit: PutUnit, now: Instant) {
        federate(records, of: unit, now: now)
        guard let first = records.first else { return }
        if records.count == 1 {
            let listeners = subscriptions.listeners(first.soul, first.key).filter { !isLeftOut($0, of: unit) }
            push(records, isWhole: unit.isWhole && unit.records.count == 1, of: unit, to: listeners, now: now)
            return
        }
        var wanted: [LinkID: [Int]] = [:]
        var order: [LinkID] = []
        for (place, record) in records.enumerated() {
            for link in subscriptions.listeners(record.soul, record.key) where !isLeftOut(link, of: unit) {
                if wanted[link] == nil { order.append(link) }
                wanted[link, default: []].append(place)
            }
        }
        var groups: [[Int]: [LinkID]] = [:]
        for link in order { groups[wanted[link] ?? [], default: []].append(link) }
        for (places, links) in groups.sorted(by: { $0.value[0] < $1.value[0] }) {
            let isWhole = unit.isWhole && places.count == unit.records.count
            push(places.map { records[$0] }, isWhole: isWhole, of: unit, to: links, now: now)
        }
    }

    /// Whether the link needs not be told: it wrote it, gets it by another way, or is named as having heard it.
    func isLeftOut(_ link: LinkID, of unit: PutUnit) -> Bool {
        if link == unit.link || link == unit.skipped { return true }
        // Configured relays are told by ``federate(_:of:now:)``, which keeps what one misses.
        guard let state = links[link], state.peer == nil else { return true }
        guard let name = state.pid else { return false }
        return unit.heard.contains(name) || links[unit.link]?.pid == name
    }

    /// A part of a message must not travel under its id: who has seen the id would drop the rest.
    private mutating func push(
        _ records: [GunRecord], isWhole: Bool, of unit: PutUnit, to listeners: [LinkID], now: Instant
    ) {
        guard !listeners.isEmpty else { return }
        let id = isWhole ? unit.message : newID()
        if !isWhole { routes.remember(id, AnswerRoute(link: unit.link, original: unit.message), now: now) }
        var message = GunMessage.put(id, GunGraph(records))
        message.ok = unit.ok
        // What was written here begins to count at the relay that hears it.
        message.hops = unit.hops > 0 ? unit.hops + 1 : 0
        let frame = message.serialized()
        for link in listeners { enqueue(frame, for: link) }
    }
}
