import JSON
public import SwarmBase

extension GunRelay {
    mutating func load(_ soul: Soul, _ key: Key?, for waiter: RelayStorage.Waiter, lane: LinkID) {
        // A read of the whole node that is under way brings the key too; unless the node is too long for one slice.
        let (id, isNew) = storage.wait(waiter, for: soul, key)
        guard isNew else { return lanes.join(id, lane: lane) }
        let range =
            key.map { RecordRange(soul, $0) }
            ?? RecordRange(soul, records: configuration.sliceRecords, bytes: configuration.sliceBytes)
        begin(.load(id, range), id, lane: lane)
    }

    /// Has something read, when its turn comes.
    mutating func begin(_ read: GunRelayEvent, _ id: LoadID, lane: LinkID) {
        lanes.add(id, read, lane: lane)
        readMore()
    }

    private mutating func readMore() {
        while let read = lanes.next(limit: configuration.readsUnderWay) { events.append(read) }
    }

    /// Whether a link may have more read for it now; if not, silence makes it try again.
    func mayRead(_ link: LinkID) -> Bool {
        storage.waitingCount < configuration.waitingForStorage
            && lanes.count(of: link) < max(configuration.waitingForStorage / 4, 1)
    }

    /// Storage has been read.
    ///
    /// - Parameter slice: what there is in the range, up to its limits.
    public mutating func loaded(_ id: LoadID, _ slice: RecordSlice, now: Instant, wall: Double) {
        guard let purpose = storage.finish(id) else { return }
        lanes.done()
        switch purpose {
        case .target(let load): loaded(load, slice, now: now, wall: wall)
        case .stream(let stream): goOn(stream, with: slice, now: now, wall: wall)
        case .offer(let peer): offer(slice, to: peer, now: now)
        case .changes: break
        }
        readMore()
        flush()
        evict()
    }

    /// The log of changes has been read.
    ///
    /// - Parameters:
    ///   - records: what the keys that were changed hold now.
    ///   - through: the last change that was looked at; the one behind which to read when reading failed.
    public mutating func loadedChanges(_ id: LoadID, _ records: [GunRecord], through: UInt64, now: Instant) {
        guard case .changes(let peer, let end) = storage.finish(id) else { return }
        lanes.done()
        offer(records, through: through, of: end, to: peer, now: now)
        readMore()
        flush()
        evict()
    }

    private mutating func loaded(_ load: RelayStorage.Load, _ slice: RecordSlice, now: Instant, wall: Double) {
        let isWhole = load.key == nil
        if isWhole, !slice.isComplete {
            return streamNode(load.soul, slice, for: load.waiters, now: now, wall: wall)
        }
        let found = slice.records.filter {
            $0.soul == load.soul && (isWhole || $0.key == load.key) && !isExpired($0, wall: wall)
        }
        // What is nowhere is not held: questions must not fill memory.
        let isAwaited = load.waiters.contains { if case .unit = $0 { true } else { false } }
        if !found.isEmpty || isAwaited || memory.nodes[load.soul] != nil {
            memory.hold(load.soul, isComplete: false)
            for record in found {
                _ = memory.merge(record)
                noteLifetime(of: record, now: now, wall: wall)
            }
            if isWhole { memory.markComplete(load.soul) }
        }
        for waiter in load.waiters {
            switch waiter {
            case .query(let waiting):
                guard links[waiting.link] != nil else { continue }
                _ = answer(waiting, whenKnown: false, now: now)
            case .unit(let id):
                if let unit = storage.loadDone(id) { apply(unit, now: now, wall: wall) }
            case .peer(let peer):
                if let key = load.key { loadedPending(load.soul, key, for: peer, now: now) }
            }
        }
    }

    /// The batch is safe: its puts are acknowledged.
    public mutating func stored(_ id: BatchID, now: Instant) { finish(id, fault: nil, now: now) }

    /// The batch could not be written: its writers are told.
    public mutating func storeFailed(_ id: BatchID, now: Instant) {
        finish(id, fault: "The relay could not store it.", now: now)
    }

    private mutating func finish(_ id: BatchID, fault: JSONText?, now: Instant) {
        var frames: [LinkID: [[UInt8]]] = [:]
        for item in storage.finishBatch(id) {
            if item.record != nil { memory.addUnstored(item.soul, -1) }
            if let fault { jobs[item.job]?.fault = fault }
            jobs[item.job]?.remaining -= 1
            guard let job = jobs[item.job], job.remaining <= 0 else { continue }
            jobs[item.job] = nil
            guard let message = job.message, links[job.link] != nil else { continue }
            frames[job.link, default: []].append(acknowledgement(of: message, fault: job.fault).serialized())
        }
        for link in frames.keys.sorted() { for frame in frames[link] ?? [] { enqueue(frame, for: link) } }
        flush()
        if changes != nil {
            offerChanges(now: now)
            for number in peers.keys.sorted() { beginCheckpoint(number) }
            trimChanges()
        }
        evict()
    }

    mutating func flush() {
        if let (id, records) = storage.startBatch(limit: configuration.batchRecords, after: changes?.last) {
            changes?.last += UInt64(records.count)
            events.append(.store(id, records))
        }
    }

    mutating func evict() {
        guard memory.cost > configuration.memoryBytes else { return }
        counters.evictedNodes += memory.evict { soul, held in held.unstored > 0 || storage.isAwaited(soul) }
    }

    // MARK: Souls that forget

    /// Whether the record's time is over: it was written to a soul that forgets, too long ago (gun.md §10.6).
    func isExpired(_ record: GunRecord, wall: Double) -> Bool {
        guard let lifetime = record.soul.lifetime else { return false }
        return record.state + lifetime * 1000 < wall
    }

    mutating func noteLifetime(of record: GunRecord, now: Instant, wall: Double) {
        guard let lifetime = record.soul.lifetime else { return }
        let end = record.state + lifetime * 1000
        if memory.extend(record.soul, until: end) {
            ephemeral.add(record.soul, at: now + .milliseconds(min(max(end - wall + 1, 0), 1e12)))
        }
    }

    /// Forgets the node if no later write has given it more time, or looks again when that is over.
    mutating func expire(_ soul: Soul, now: Instant, wall: Double) {
        guard let held = memory.nodes[soul], let end = held.expires else { return }
        if end >= wall || held.unstored > 0 || storage.isAwaited(soul) {
            ephemeral.add(soul, at: now + .milliseconds(min(max(end - wall + 1, 1000), 1e12)))
            return
        }
        counters.expiredNodes += 1
        memory.forget(soul)
    }
}
