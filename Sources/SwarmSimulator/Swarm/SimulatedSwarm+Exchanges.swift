import SwarmBase
import SwarmEngine

/// Requests and byte streams of members: what their applications ask, answer, write and read.
extension SimulatedSwarm {
    /// A byte stream that a member reads.
    struct ReadStream: Hashable {
        let reader: Int
        let writer: Int
        let id: UInt64
    }

    /// Has a member ask another for something that the ledger knows.
    func request(from asker: SimulatedMember, of other: SimulatedMember, size: Int, limit: Duration?) {
        guard asker.isRunning, asker.paths[other.index] != nil else { return }
        let name = exchanges.name()
        let peer = other.identity.peerID
        act(asker) { engine in
            guard
                let id = try? engine.request(
                    "echo", ExchangeLedger.payload(name, size: size), of: peer, limit: limit, now: self.now)
            else { return }
            self.exchanges.asked(
                name, id: id, of: .init(from: asker.index, to: other.index), hasLimit: limit != nil, at: self.now)
        }
    }

    /// Has a member write a byte stream to another that the ledger knows.
    func openStream(
        from writer: SimulatedMember, to reader: SimulatedMember, size: Int, priority: MessagePriority
    ) {
        guard writer.isRunning, writer.paths[reader.index] != nil else { return }
        let name = exchanges.name()
        let pair = DeliveryLedger.Pair(from: writer.index, to: reader.index)
        act(writer) { engine in
            guard
                let id = try? engine.openStream(
                    "\(name)", to: reader.identity.peerID, priority: priority, now: self.now)
            else { return }
            self.exchanges.opened(name, id: id, of: pair, size: size, at: self.now)
            self.write(id, of: pair, engine: &engine)
        }
    }

    /// Writes what is left of a byte stream, as far as it is taken.
    private func write(_ id: UInt64, of pair: DeliveryLedger.Pair, engine: inout SwarmEngine) {
        let peer = members[pair.to].identity.peerID
        guard let (name, written, size) = exchanges.written(id: id, of: pair) else { return }
        if engine.hasStreamArrived(id, of: peer) { return exchanges.arrived(name) }
        guard written < size else { return }
        let bytes = ExchangeLedger.bytes(of: name, from: written, to: size)
        guard let count = engine.write(bytes[...], toStream: id, of: peer, now: now) else { return }
        exchanges.wrote(count, of: name)
        if written + count == size { engine.finishStream(id, of: peer, now: now) }
    }

    /// Takes what happened to a member's requests and byte streams, and does what its application would.
    func take(_ exchange: SwarmExchange, of member: SimulatedMember, engine: inout SwarmEngine) {
        let me = member.index
        switch exchange {
        case .request(let peer, let id, _, let payload):
            let answer = exchanges.carriesOut(payload, at: now)
            trace.note("\(me) is asked by \(name(peer))", at: now)
            engine.answer(id, of: peer, .result(answer), now: now)
        case .cancelled: break
        case .response(let peer, let id, let result):
            guard let other = memberOf[peer] else { return }
            let answer: [UInt8]? = if case .answered(let bytes) = result { bytes } else { nil }
            trace.note("\(me) has \(answer == nil ? "no answer" : "an answer") of \(other)", at: now)
            exchanges.ended(id: id, of: .init(from: me, to: other), answer: answer, at: now)
        case .streamOpened(let peer, let id, let text, _):
            guard let other = memberOf[peer], let name = Int(text) else { return }
            trace.note("\(me) reads byte stream \(name) of \(other)", at: now)
            reading[ReadStream(reader: me, writer: other, id: id)] = name
            // Nothing is said in this direction.
            engine.finishStream(id, of: peer, now: now)
        case .streamReadable(let peer, let id):
            guard let other = memberOf[peer] else { return }
            read(id, from: other, by: member, engine: &engine)
        case .streamWritable(let peer, let id):
            guard let other = memberOf[peer] else { return }
            write(id, of: .init(from: me, to: other), engine: &engine)
        case .streamEnded(let peer, let id, _):
            guard let other = memberOf[peer] else { return }
            let written = exchanges.written(id: id, of: .init(from: me, to: other))?.name
            let read = reading.removeValue(forKey: ReadStream(reader: me, writer: other, id: id))
            trace.note("\(me) loses a byte stream with \(other)", at: now)
            if let name = written ?? read { exchanges.interrupted(name, at: now) }
        }
    }

    private func read(_ id: UInt64, from writer: Int, by member: SimulatedMember, engine: inout SwarmEngine) {
        let key = ReadStream(reader: member.index, writer: writer, id: id)
        guard let name = reading[key] else {
            // The other direction of one that this member writes: its end.
            _ = engine.readStream(id, of: members[writer].identity.peerID, now: now)
            return
        }
        while true {
            switch engine.readStream(id, of: members[writer].identity.peerID, most: 1 << 16, now: now) {
            case .bytes(let bytes): exchanges.read(bytes, of: name, at: now)
            case .nothing: return
            case .end:
                reading[key] = nil
                trace.note("\(member.index) has read byte stream \(name)", at: now)
                return exchanges.readAll(name, at: now)
            }
        }
    }

    /// A member's run is over, and with it all that it asked, wrote and read.
    func endExchanges(of member: SimulatedMember) {
        exchanges.crashed(member.index, at: now)
        reading = reading.filter { $0.key.reader != member.index }
    }
}
