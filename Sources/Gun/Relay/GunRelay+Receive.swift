public import SwarmBase
import JSON

extension GunRelay {
    /// A text frame has arrived.
    public mutating func receive(frame: [UInt8], on link: LinkID, now: Instant, wall: Double) {
        guard links[link] != nil else { return }
        counters.framesReceived += 1
        counters.bytesReceived += frame.count
        guard links[link]?.bytes.take(Double(frame.count), now: now) == true else {
            counters.limitedMessages += 1
            return
        }
        switch GunFrame(parsing: frame, limits: configuration.limits) {
        case .heartbeat: break
        case .foreign: counters.ignoredMessages += 1
        case .broken: complain(to: link)
        case .messages(let messages, let dropped):
            counters.ignoredMessages += dropped
            for message in messages where links[link] != nil { handle(message, from: link, now: now, wall: wall) }
        }
        flush()
        evict()
    }

    private mutating func complain(to link: LinkID) {
        counters.brokenFrames += 1
        links[link]?.brokenFrames += 1
        send(.complaint(newID(), "DAM JSON parse error."), to: link)
        if let count = links[link]?.brokenFrames, count > configuration.brokenFrames { close(link, .brokenFrames) }
    }

    private mutating func handle(_ message: GunMessage, from link: LinkID, now: Instant, wall: Double) {
        guard links[link]?.messages.take(now: now) == true else {
            counters.limitedMessages += 1
            return
        }
        if let verb = message.dam {
            handle(verb: verb, message, from: link)
            return
        }
        let id = message.id ?? newID()
        guard routes.sight(id, now: now) == nil else {
            counters.duplicateMessages += 1
            return
        }
        routes.remember(id, AnswerRoute(link: link, original: nil), now: now)
        if let answered = message.answered {
            handle(answer: message, id: id, to: answered, from: link, now: now, wall: wall)
        } else if let put = message.put {
            handle(put: put, message, id: id, from: link, now: now, wall: wall)
        } else if let query = message.get {
            handle(query, message, id: id, from: link, now: now, wall: wall)
        } else {
            counters.ignoredMessages += 1
        }
    }

    /// The verbs that a stranger may use: the handshake. All others would let it command us.
    private mutating func handle(verb: JSONText, _ message: GunMessage, from link: LinkID) {
        guard verb == "?" else {
            counters.ignoredMessages += 1
            return
        }
        if let name = message.pid {
            if name == pid {
                close(link, .ourselves)
                return
            }
            links[link]?.pid = name
        }
        if message.answered == nil { send(.handshake(newID(), pid: pid, answering: message.id), to: link) }
    }

    // MARK: Answers

    /// An answer goes back the way the question came; what it brings is merged, whoever asked.
    private mutating func handle(
        answer: GunMessage, id: MessageID, to answered: MessageID, from link: LinkID, now: Instant, wall: Double
    ) {
        var asker: LinkID?
        if let route = routes.sight(answered, now: now), route.link != link, links[route.link] != nil {
            asker = route.link
            var forwarded = answer
            forwarded.id = id
            forwarded.answered = route.original ?? answered
            if case .malformed = answer.put { forwarded.put = nil }
            send(forwarded, to: route.link)
        }
        guard case .graph(let graph) = answer.put else { return }
        accept(graph, of: answer, id: id, acknowledging: nil, skipping: asker, from: link, now: now, wall: wall)
    }

    // MARK: Queries

    private mutating func handle(
        _ query: GunQuery, _ message: GunMessage, id: MessageID, from link: LinkID, now: Instant, wall: Double
    ) {
        counters.gets += 1
        guard let (soul, key) = query.target else {
            counters.misses += 1
            if let id = message.id { send(.answer(newID(), to: id), to: link) }
            return
        }
        subscriptions.subscribe(link, soul, key, limit: configuration.subscriptionsPerLink)
        let waiting = WaitingQuery(link: link, message: id, query: query, knownHash: message.hash)
        if answer(waiting, whenKnown: true, now: now) { return }
        // Not "not found": silence makes the asker try again.
        guard storage.waitingCount < configuration.waitingForStorage else {
            counters.busyRefusals += 1
            return
        }
        load(soul, key, for: .query(waiting))
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
        case .node, .nothing:
            records = held?.node.records ?? []
        }
        if records.isEmpty {
            counters.misses += 1
            send(.answer(newID(), to: waiting.message), to: waiting.link)
            passOn(waiting, soul, now: now)
        } else if waiting.knownHash == nil || waiting.knownHash != ContentHash.of(GunGraph(records)) {
            answer(waiting, with: records)
        }
        return true
    }

    /// Sends the records in parts of bounded size, each naming the next.
    private mutating func answer(_ waiting: WaitingQuery, with records: [GunRecord]) {
        var part: [GunRecord] = []
        var bytes = 0
        var id = newID()
        func message(_ id: MessageID) -> GunMessage {
            var message = GunMessage.answer(id, to: waiting.message)
            let graph = GunGraph(part)
            // The hash spares gun.js the same answer from several peers; for long parts it is not worth its price.
            if bytes <= 32 << 10 { message.hash = ContentHash.of(graph) }
            message.put = .graph(graph)
            return message
        }
        for record in records {
            if !part.isEmpty, bytes + record.cost > configuration.answerBytes {
                var answer = message(id)
                id = newID()
                answer.hasMore = true
                answer.nextPart = id
                send(answer, to: waiting.link)
                part = []
                bytes = 0
            }
            part.append(record)
            bytes += record.cost
        }
        send(message(id), to: waiting.link)
    }

    /// Asks the links that may have what we do not; their answers find their way back by the id of the query.
    private mutating func passOn(_ waiting: WaitingQuery, _ soul: Soul, now: Instant) {
        let relays = relayLinks.filter { $0 != waiting.link }
        let subscribers = subscriptions.route(soul, limit: configuration.missFanout) { link in
            link == waiting.link || links[link]?.isRelay != false
        }
        let asked = (relays + subscribers).prefix(configuration.missFanout)
        guard !asked.isEmpty, links[waiting.link]?.passedOn.take(now: now) == true else { return }
        let frame = GunMessage.get(waiting.message, waiting.query).serialized()
        for link in asked { enqueue(frame, for: link) }
    }

    mutating func refuse(_ id: MessageID?, _ fault: JSONText, to link: LinkID) {
        counters.refusedPuts += 1
        guard let id else { return }
        var message = GunMessage.answer(newID(), to: id)
        message.err = fault
        send(message, to: link)
    }
}
