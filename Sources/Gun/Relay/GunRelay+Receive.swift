import JSON
public import SwarmBase

extension GunRelay {
    /// A text frame has arrived.
    public mutating func receive(frame: [UInt8], on link: LinkID, now: Instant, wall: Double) {
        guard let state = links[link] else { return }
        links[link]?.heardAt = now
        counters.framesReceived += 1
        counters.bytesReceived += frame.count
        var count = 1
        switch GunFrame(parsing: frame, limits: configuration.limits) {
        case .heartbeat: break
        case .foreign: counters.ignoredMessages += 1
        case .broken: complain(to: link)
        case .messages(let messages, let dropped):
            count = messages.count + dropped
            counters.ignoredMessages += dropped
            for message in messages where links[link] != nil { handle(message, from: link, now: now, wall: wall) }
        }
        pause(link, at: state.address, messages: count, bytes: frame.count, now: now)
        flush()
        evict()
    }

    /// A link that is too fast is left unread until it has paid: nothing that it wrote is lost.
    private mutating func pause(_ link: LinkID, at address: IPAddress?, messages: Int, bytes: Int, now: Instant) {
        guard links[link] != nil else { return }
        var pause = addresses.receive(address, messages: messages, bytes: bytes, now: now)
        if let own = links[link]?.messages.borrow(Double(messages), now: now) { pause = max(pause, own) }
        if let own = links[link]?.bytes.borrow(Double(bytes), now: now) { pause = max(pause, own) }
        // While storage is behind, all that ask it are slowed down, before some of it would have to go unanswered.
        if storage.waitingCount > configuration.waitingForStorage / 2
            || storage.unstoredBytes > configuration.unstoredBytes / 2
        {
            pause = max(pause, configuration.storagePause)
        }
        if lanes.count(of: link) > configuration.waitingForStorage / 8 {
            pause = max(pause, configuration.storagePause)
        }
        guard pause > .zero else { return }
        counters.pauses += 1
        events.append(.pause(link, min(pause, configuration.longestPause)))
    }

    private mutating func complain(to link: LinkID) {
        counters.brokenFrames += 1
        links[link]?.brokenFrames += 1
        send(.complaint(newID(), "DAM JSON parse error."), to: link)
        if let count = links[link]?.brokenFrames, count > configuration.brokenFrames { close(link, .brokenFrames) }
    }

    private mutating func handle(_ message: GunMessage, from link: LinkID, now: Instant, wall: Double) {
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
            handle(application: message, id: id, from: link, now: now)
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
        if let hash = answer.hash, answer.put != nil {
            let name = PassedAnswer(answered: answered, hash: hash)
            guard passedAnswers.sight(name, now: now) == nil else {
                counters.repeatedAnswers += 1
                return
            }
            passedAnswers.remember(name, true, now: now)
        }
        // What a configured relay says of a put of ours is for us; the writer has our own word.
        if answer.put == nil, let peer = links[link]?.peer, acknowledged(answered, by: peer, answer, now: now) {
            return
        }
        var asker: LinkID?
        if let route = routes.sight(answered, now: now), route.link != link, links[route.link] != nil {
            asker = route.link
            var forwarded = answer
            forwarded.id = id
            forwarded.answered = route.original ?? answered
            forwarded.heard = []
            if case .malformed = answer.put { forwarded.put = nil }
            send(forwarded, to: route.link)
        }
        guard case .graph(let graph) = answer.put else { return }
        accept(graph, of: answer, id: id, acknowledging: nil, skipping: asker, from: link, now: now, wall: wall)
    }

    // MARK: Messages of applications

    /// A message that only applications understand goes to everybody else (gun.md §5), within narrow bounds.
    private mutating func handle(application message: GunMessage, id: MessageID, from link: LinkID, now: Instant) {
        guard message.application != nil, links[link]?.applicationMessages.take(now: now) == true else {
            counters.ignoredMessages += 1
            return
        }
        var forwarded = message
        forwarded.id = id
        let hops = hops(of: message, from: link)
        guard hops < configuration.federation.hops else {
            counters.hopRefusals += 1
            return
        }
        let frames = frames(of: forwarded, after: hops)
        let others = links.filter { other, state in
            other != link && !(state.pid.map { message.heard.contains($0) } ?? false)
        }.keys.sorted()
        guard frames.plain.count <= configuration.applicationMessageBytes,
            applicationCopies.take(Double(others.count), now: now)
        else {
            counters.limitedMessages += 1
            return
        }
        counters.applicationMessages += 1
        for other in others { enqueue(links[other]?.peer == nil ? frames.plain : frames.counted, for: other) }
    }

    /// Through how many relays a message has come. One that does not count is a relay all the same.
    func hops(of message: GunMessage, from link: LinkID) -> Int {
        max(message.hops, links[link]?.peer == nil ? 0 : 1)
    }

    /// A message that is passed on: as it goes to members, and as it goes to relays, which count.
    func frames(of message: GunMessage, after hops: Int) -> (plain: [UInt8], counted: [UInt8]) {
        var message = message
        message.hops = hops > 0 ? hops + 1 : 0
        let plain = message.serialized()
        message.hops = hops + 1
        return (plain, message.serialized())
    }

    mutating func refuse(_ id: MessageID?, _ fault: JSONText, to link: LinkID) {
        counters.refusedPuts += 1
        guard let id else { return }
        var message = GunMessage.answer(newID(), to: id)
        message.err = fault
        send(message, to: link)
    }
}
