import JSON
import SwarmBase

extension GunRelay {
    mutating func handle(
        _ query: GunQuery, _ message: GunMessage, id: MessageID, from link: LinkID, now: Instant, wall: Double
    ) {
        counters.gets += 1
        let waiting = WaitingQuery(
            link: link, message: id, query: query, knownHash: message.hash, hops: hops(of: message, from: link))
        if case .souls(let souls, let keys, let limit) = query {
            guard links[link]?.soulQueries.take(now: now) == true else {
                counters.limitedMessages += 1
                return
            }
            let range = RecordRange(
                souls: souls, keys: keys, records: configuration.sliceRecords, bytes: configuration.sliceBytes)
            return start(QueryStream(waiting: waiting, range: range, lengthLeft: limit))
        }
        guard let (soul, key) = query.target else {
            counters.misses += 1
            if let id = message.id { send(.answer(newID(), to: id), to: link) }
            return
        }
        subscribe(link, soul, key)
        if answer(waiting, whenKnown: true, now: now) { return }
        if case .keys(_, let lex, let limit) = query {
            let range = RecordRange(
                soul, lex, records: configuration.sliceRecords, bytes: configuration.sliceBytes)
            return start(QueryStream(waiting: waiting, range: range, lengthLeft: limit))
        }
        // Not "not found": silence makes the asker try again.
        guard mayRead(link) else {
            counters.busyRefusals += 1
            return
        }
        load(soul, key, for: .query(waiting), lane: link)
    }

    private mutating func subscribe(_ link: LinkID, _ soul: Soul, _ key: Key?) {
        let before = subscriptions.count(of: link)
        var limit = configuration.subscriptionsPerLink
        if links[link]?.peer != nil { limit = max(limit, configuration.federation.subscriptions) }
        if let name = links[link]?.address, let shares = addresses[name] {
            limit = min(limit, before + max(configuration.perAddress.subscriptions - shares.subscriptions, 0))
        }
        subscriptions.subscribe(link, soul, key, limit: limit)
        addresses.subscribed(links[link]?.address, subscriptions.count(of: link) - before)
    }

    /// Answers from memory.
    ///
    /// - Parameter whenKnown: only if memory knows all that storage does about it.
    /// - Returns: whether it was answered.
    mutating func answer(_ waiting: WaitingQuery, whenKnown: Bool, now: Instant) -> Bool {
        guard let (soul, key) = waiting.query.target else { return true }
        let held = memory.use(soul)
        let isKnown = held?.isComplete ?? !configuration.hasStorage
        guard !whenKnown || isKnown || key.map({ held?.node.entries[$0] != nil }) == true else { return false }
        let records: [GunRecord]
        switch waiting.query {
        case .key(_, let key):
            records = held?.node.entries[key].map { [GunRecord(soul: soul, key: key, entry: $0)] } ?? []
        case .keys(_, let lex, let limit):
            records = lex.select(from: held?.node.records ?? [], limit: limit)
        case .node, .souls, .nothing:
            records = held?.node.records ?? []
        }
        answer(waiting, with: records, now: now)
        return true
    }

    /// Gives the whole answer: the records, or "not found"; and asks those that may know more.
    private mutating func answer(_ waiting: WaitingQuery, with records: [GunRecord], now: Instant) {
        guard !records.isEmpty else {
            counters.misses += 1
            send(.answer(newID(), to: waiting.message), to: waiting.link)
            passOn(waiting, now: now)
            return
        }
        // The hash spares gun.js the same answer from several peers; for long parts it is not worth its price.
        let bytes = records.reduce(0) { $0 + $1.cost }
        let hash = bytes <= Self.hashedBytes || waiting.knownHash != nil ? ContentHash.of(GunGraph(records)) : nil
        if waiting.knownHash == nil || waiting.knownHash != hash {
            if bytes <= configuration.answerBytes {
                var answer = GunMessage.answer(newID(), to: waiting.message)
                answer.hash = hash
                answer.put = .graph(GunGraph(records))
                send(answer, to: waiting.link)
            } else {
                sendParts(of: records, to: waiting, from: newID(), isLast: true)
            }
        }
        follow(waiting, hash: hash, now: now)
    }

    /// Up to this size an answer carries its content hash.
    private static let hashedBytes = 32 << 10

    /// Sends the records in parts of bounded size, each naming the next.
    ///
    /// - Returns: the id that the last part named for the one after it.
    @discardableResult
    private mutating func sendParts(
        of records: [GunRecord], to waiting: WaitingQuery, from first: MessageID, isLast: Bool
    ) -> MessageID {
        var part: [GunRecord] = []
        var bytes = 0
        var id = first
        func message(_ id: MessageID, next: MessageID?) -> GunMessage {
            var message = GunMessage.answer(id, to: waiting.message)
            message.hasMore = next != nil
            message.nextPart = next
            if !part.isEmpty { message.put = .graph(GunGraph(part)) }
            return message
        }
        for record in records {
            if !part.isEmpty, bytes + record.cost > configuration.answerBytes {
                let next = newID()
                send(message(id, next: next), to: waiting.link)
                id = next
                part = []
                bytes = 0
            }
            part.append(record)
            bytes += record.cost
        }
        let next = newID()
        send(message(id, next: isLast ? nil : next), to: waiting.link)
        return next
    }

    // MARK: Slice by slice

    /// Begins an answer that is read from storage slice by slice, or from memory when there is none.
    mutating func start(_ stream: QueryStream) {
        let link = stream.waiting.link
        guard configuration.hasStorage else {
            let range = stream.range
            let isWanted = { (soul: Soul) in range.souls.matches(soul.text) }
            let records = memory.nodes.filter { isWanted($0.key) }.flatMap { $0.value.node.records }
            var all = stream
            all.range.records = .max
            all.range.bytes = .max
            return send(all.range.slice(of: records), of: all)
        }
        guard let count = links[link]?.streamCount, count < configuration.streamsPerLink, mayRead(link) else {
            counters.busyRefusals += 1
            return
        }
        links[link]?.streamCount += 1
        read(stream)
    }

    private mutating func read(_ stream: QueryStream) {
        counters.slices += 1
        let id = storage.start(.stream(stream))
        begin(.load(id, stream.range), id, lane: stream.waiting.link)
    }

    /// The link has taken something: what waits for that is read.
    mutating func goOn(_ link: LinkID) {
        guard let state = links[link], !state.streams.isEmpty, state.queuedBytes < configuration.answerBytes,
            let stream = links[link]?.streams.popFirst()
        else { return }
        read(stream)
    }

    /// A slice has been read.
    mutating func goOn(_ stream: QueryStream, with slice: RecordSlice, now: Instant, wall: Double) {
        guard links[stream.waiting.link] != nil else { return }
        send(overlaid(slice, stream.range, wall: wall), of: stream)
    }

    /// The slice with what storage has not confirmed yet: memory knows it already.
    private func overlaid(_ slice: RecordSlice, _ range: RecordRange, wall: Double) -> RecordSlice {
        var range = range
        range.records = .max
        range.bytes = .max
        let end = slice.isComplete ? nil : slice.records.last?.address
        let isReversed = range.isReversed
        var records = slice.records.filter { range.keys.matches($0.key) && !isExpired($0, wall: wall) }
        let newer = storage.unstored { record in
            range.contains(record)
                && (end.map { isReversed ? record.address >= $0 : record.address <= $0 } ?? true)
        }
        if !newer.isEmpty {
            var byAddress = Dictionary(records.map { ($0.address, $0) }) { first, _ in first }
            for record in newer where HAM.supersedes(record.entry, byAddress[record.address]?.entry) {
                byAddress[record.address] = record
            }
            records = range.slice(of: Array(byAddress.values)).records
        }
        return RecordSlice(records, isComplete: slice.isComplete)
    }

    private mutating func send(_ slice: RecordSlice, of stream: QueryStream) {
        var stream = stream
        let link = stream.waiting.link
        var records = slice.records
        var isLast = slice.isComplete
        if let left = stream.lengthLeft {
            var length = 0.0
            records = Array(
                records.prefix { record in
                    defer { length += Lex.length(of: record.value) }
                    return length < left
                })
            stream.lengthLeft = left - length
            if length >= left { isLast = true }
        }
        stream.looked += max(slice.records.count, 1)
        if stream.looked >= configuration.recordsPerQuery { isLast = true }
        if records.isEmpty, isLast, stream.partID == nil {
            counters.misses += 1
            send(.answer(newID(), to: stream.waiting.message), to: link)
        } else if !records.isEmpty || isLast {
            let first = stream.partID ?? newID()
            stream.partID = sendParts(of: GunGraph(records).records, to: stream.waiting, from: first, isLast: isLast)
        }
        guard configuration.hasStorage else { return }
        guard !isLast else {
            links[link]?.streamCount -= 1
            return
        }
        stream.range.after = slice.records.last?.address ?? stream.range.after
        links[link]?.streams.append(stream)
        goOn(link)
    }

    /// The waiters of a node that is too long to be held: each gets it slice by slice, beginning with the one at hand.
    mutating func streamNode(
        _ soul: Soul, _ slice: RecordSlice, for waiters: [RelayStorage.Waiter], now: Instant, wall: Double
    ) {
        let range = RecordRange(soul, records: configuration.sliceRecords, bytes: configuration.sliceBytes)
        for waiter in waiters {
            guard case .query(let waiting) = waiter, let count = links[waiting.link]?.streamCount else { continue }
            guard count < configuration.streamsPerLink else {
                counters.busyRefusals += 1
                continue
            }
            links[waiting.link]?.streamCount += 1
            goOn(QueryStream(waiting: waiting, range: range), with: slice, now: now, wall: wall)
        }
    }

    // MARK: Others

    /// Asks the links that may have what we do not; their answers find their way back by the id of the query.
    private mutating func passOn(_ waiting: WaitingQuery, now: Instant) {
        guard let (soul, _) = waiting.query.target else { return }
        let relays = peers.values.compactMap(\.link).filter { $0 != waiting.link }.sorted()
        let subscribers = subscriptions.route(soul, limit: configuration.missFanout) { link in
            link == waiting.link || links[link]?.peer != nil
        }
        let asked = (relays + subscribers).prefix(configuration.missFanout)
        guard !asked.isEmpty, links[waiting.link]?.passedOn.take(now: now) == true else { return }
        guard waiting.hops < configuration.federation.hops else {
            counters.hopRefusals += 1
            return
        }
        var message = GunMessage.get(waiting.message, waiting.query)
        message.heard = [pid]
        let frames = frames(of: message, after: waiting.hops)
        for link in asked {
            enqueue(links[link]?.peer == nil ? frames.plain : frames.counted, for: link)
            if let peer = links[link]?.peer { noteFollowed(waiting.query, at: peer) }
        }
    }
}
