import ICE
import SwarmBase
public import SwarmEngine

/// Members: how they start, end, and are listened to.
extension SimulatedSwarm {
    func start(_ member: SimulatedMember) {
        member.run += 1
        var engine = SwarmEngine(
            configuration: member.configuration, topic: topic, identity: member.identity,
            certificate: member.certificate, entropy: entropy.fork(), now: now, wall: wall + member.clockSkew)
        engine.restore(member.disk.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, now: now)
        engine.setHostAddresses(hostAddresses(of: member), now: now)
        if member.hasTURN, let credentials = TURNCredentials(username: "u", password: "p") {
            let server = TURNServer(address: iceServerAddress, credentials: credentials)
            _ = engine.addTURNServer(server, name: "turn", now: now)
        }
        member.engine = SimulatedMember.EngineBox(engine)
        trace.note("\(member.index) starts", at: now)
        act(member) { $0.handleTimeout(now: self.now) }
    }

    func hostAddresses(of member: SimulatedMember) -> [TransportAddress] {
        network.addresses(of: member.host).map { TransportAddress($0, port: SimulatedMember.port) }
    }

    /// Ends a member without a word. Where its disk survives, what was on its way there does not.
    public func crash(_ member: SimulatedMember, storage: SimulatedMember.Storage) {
        guard member.isRunning else { return }
        trace.note("\(member.index) crashes, storage \(storage)", at: now)
        if storage == .torn {
            for _ in 0..<Int.random(in: 0...member.writing.count, using: &random) { writeNext(of: member) }
        }
        member.engine = nil
        timeouts.set(nil, of: member.index)
        member.writing = []
        let losesDisk = storage == .lost || !member.configuration.isDurable
        if losesDisk { member.disk = [:] }
        ledger.crashed(member.index, hasDisk: member.configuration.isDurable, losesDisk: losesDisk)
        endExchanges(of: member)
        member.isPaused = false
        end(member)
    }

    /// Starts a member anew after a crash, or after it has left.
    public func restart(_ member: SimulatedMember) {
        guard !member.isRunning else { return }
        start(member)
    }

    /// A member says good-bye and ends when its disk has what it was given.
    public func leave(_ member: SimulatedMember) {
        guard member.isRunning else { return }
        trace.note("\(member.index) leaves", at: now)
        act(member) { $0.leave(now: self.now) }
        while !member.writing.isEmpty { writeNext(of: member) }
        // What `stored` let go of before the end.
        member.engine = nil
        timeouts.set(nil, of: member.index)
        if !member.configuration.isDurable { member.disk = [:] }
        let isDurable = member.configuration.isDurable
        ledger.crashed(member.index, hasDisk: isDurable, losesDisk: !isDurable)
        endExchanges(of: member)
        end(member)
    }

    private func end(_ member: SimulatedMember) {
        member.paths = [:]
        pathChanges += 1
        closeLinks(of: member)
    }

    /// Sends a message that the ledger knows.
    ///
    /// - Parameter lifetime: how long it is of use; `nil` for ever.
    public func send(
        from sender: SimulatedMember, to receiver: SimulatedMember, size: Int,
        priority: MessagePriority = .normal, isOrdered: Bool = true, lifetime: Duration? = nil
    ) {
        guard sender.isRunning else { return }
        let pair = DeliveryLedger.Pair(from: sender.index, to: receiver.index)
        let text = ledger.nextText(of: pair, size: size)
        let peer = receiver.identity.peerID
        act(sender) { engine in
            do throws(SendError) {
                let options = MessageOptions(
                    priority: priority, isOrdered: isOrdered, deadline: lifetime.map { self.now + $0 })
                let lane = engine.lane(for: options, to: peer)
                let number = try engine.send(.text(text), to: peer, options, now: self.now)
                self.ledger.sent(
                    text, number: number, lane: lane, mayExpire: lifetime != nil, of: pair,
                    isKept: !sender.configuration.isDurable)
            } catch {
                self.trace.note("\(sender.index) cannot send to \(receiver.index): \(error)", at: self.now)
            }
        }
    }

    /// Does something with a member's engine, if that runs, and carries out what it wants.
    public func act(_ member: SimulatedMember, _ body: (inout SwarmEngine) -> Void) {
        guard let engine = member.engine else { return }
        body(&engine.value)
        drain(member, engine)
    }

    private func drain(_ member: SimulatedMember, _ engine: SimulatedMember.EngineBox) {
        repeat {
            while let event = engine.value.pollEvent() { take(event, of: member) }
            while let exchange = engine.value.pollExchange() { take(exchange, of: member, engine: &engine.value) }
        } while engine.value.hasEvents
        while let batch = engine.value.pollStorage() { write(batch, of: member) }
        while let action = engine.value.pollLink() { carryOut(action, of: member) }
        while let transmit = engine.value.pollTransmit() {
            secrecy.inspect(datagram: transmit.payload)
            trace.packet(
                "\(member.index) > \(transmit.destination): \(transmit.payload.count) bytes, the first \(transmit.payload.first ?? 0)",
                at: now)
            network.send(
                transmit.payload, from: member.host, port: SimulatedMember.port, to: transmit.destination, now: now)
        }
        while engine.value.pollTURNStream() != nil {}
        timeouts.set(engine.value.nextTimeout, of: member.index)
    }

    private func take(_ event: SwarmEvent, of member: SimulatedMember) {
        let me = member.index
        switch event {
        case .peer, .path, .away, .left: pathChanges += 1
        default: break
        }
        switch event {
        case .discovered(let peer, let plane):
            trace.note("\(me) hears of \(name(peer)) by \(plane)", at: now)
        case .peer(let peer, _, let path):
            if let other = memberOf[peer] { member.paths[other] = path }
            trace.note("\(me) is in touch with \(name(peer)), \(path)", at: now)
        case .path(let peer, let path, _):
            if let other = memberOf[peer] { member.paths[other] = path }
            trace.note("\(me) reaches \(name(peer)) by \(path)", at: now)
        case .away(let peer):
            if let other = memberOf[peer] { member.paths[other] = nil }
            trace.note("\(me) hears nothing of \(name(peer))", at: now)
        case .left(let peer):
            if let other = memberOf[peer] { member.paths[other] = nil }
            trace.note("\(me) has lost \(name(peer))", at: now)
        case .message(let peer, .text(let text), let path, _):
            guard let sender = memberOf[peer] else {
                return ledger.note("\(me) was handed a message of a stranger", at: now)
            }
            let index = ledger.received(text, by: me, from: sender, at: now)
            if let index { onMessage?(.init(from: sender, to: me), index, path) }
            trace.note("\(me) has message \(index ?? -1) of \(sender), \(path)", at: now)
        case .message(let peer, .binary, _, _):
            ledger.note("\(me) was handed bytes by \(name(peer)), who sends texts", at: now)
        case .delivered(let peer, let number):
            guard let other = memberOf[peer] else { return }
            ledger.delivered(number: number, of: .init(from: me, to: other), run: member.run, at: now)
            trace.note("\(me) knows that \(number) reached \(other)", at: now)
        case .expired(let peer, let number):
            guard let other = memberOf[peer] else { return }
            ledger.expired(number: number, of: .init(from: me, to: other), run: member.run, at: now)
            trace.note("\(me) knows that \(number) to \(other) has expired", at: now)
        case .warning(let text):
            trace.remark("\(me) warns: \(text)", at: now)
        default:
            break
        }
    }

    func name(_ peer: PeerID) -> String { memberOf[peer].map(String.init) ?? "a stranger" }

    // MARK: The disk

    private func write(_ batch: StorageBatch, of member: SimulatedMember) {
        var notes: [SimulatedMember.Note] = []
        for write in batch.writes {
            let parts = write.key.split(separator: "/")
            guard parts.count >= 2, let other = memberNamed[parts[1]] else { continue }
            switch parts[0] {
            case "msg":
                guard write.value != nil, let number = parts.last.flatMap({ UInt64($0) }) else { continue }
                notes.append(.sent(to: other, number: number))
            case "in":
                let lane = parts.count > 2 ? Int(parts[2]) ?? 0 : 0
                guard let position = ledger.position(.init(from: other, to: member.index), lane: lane) else { continue }
                notes.append(.received(from: other, position))
            default: continue
            }
        }
        let at = max(now + member.diskDelay, member.writing.last?.at ?? now)
        member.writing.append(SimulatedMember.Writing(batch: batch, notes: notes, at: at))
        events.add(.written(member: member.index, run: member.run), at: at)
    }

    func written(_ member: SimulatedMember, run: Int) {
        guard member.run == run else { return }
        while let first = member.writing.first, first.at <= now, member.isRunning {
            writeNext(of: member)
            act(member) { $0.stored(through: first.batch.id, now: self.now) }
        }
    }

    private func writeNext(of member: SimulatedMember) {
        guard !member.writing.isEmpty else { return }
        let next = member.writing.removeFirst()
        for write in next.batch.writes { member.disk[write.key] = write.value }
        for note in next.notes {
            switch note {
            case .sent(let to, let number): ledger.kept(from: member.index, to: to, number: number)
            case .received(let from, let position): ledger.noted(.init(from: from, to: member.index), position)
            }
        }
    }
}
