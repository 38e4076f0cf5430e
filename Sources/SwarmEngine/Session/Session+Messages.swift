import SwarmBase

/// Messages, lane by lane.
extension Session {
    // MARK: To the member

    /// The lane that a message goes in.
    func lane(for options: MessageOptions) -> Lane {
        knowsLanes == true ? Lane(messages: options.priority, isOrdered: options.isOrdered) : .plain
    }

    /// Queues a message.
    ///
    /// - Parameter isHeld: it leaves only after `release(before:)`.
    /// - Returns: its number, its lane, and the first of its sequence numbers there.
    mutating func send(
        _ content: MessageContent, _ options: MessageOptions = MessageOptions(), isHeld: Bool = false
    ) -> (message: UInt64, lane: Lane, sequence: UInt64) {
        let lane = lane(for: options)
        let (message, sequence) = outbounds[lane.index].enqueue(
            content, number: nextMessage, deadline: options.deadline, isHeld: isHeld)
        nextMessage = message + 1
        return (message, lane, sequence)
    }

    /// What was queued in a lane before this sequence number is kept, and may leave.
    mutating func release(_ lane: Lane = .plain, before sequence: UInt64) {
        outbounds[lane.index].release(before: sequence)
    }

    /// Bytes that wait for acknowledgement in all lanes.
    var backlog: Int {
        // By place, here and below: this is asked for each message, and an element would be copied.
        outbounds.indices.reduce(0) { $0 + outbounds[$1].bytes }
    }

    /// Something of ours waits for acknowledgement.
    var isOwed: Bool {
        outbounds.indices.contains { !outbounds[$0].isEmpty }
            || streams.contains { $0.sending.held > 0 || ($0.sending.hasEnded && !$0.sending.isOver) }
    }

    /// Nothing is under way between the two, and nothing waits.
    var isIdle: Bool { !isOwed && requests.isEmpty && streams.isEmpty }

    /// How much of a message the member has.
    func progress(of message: UInt64) -> (received: Int, size: Int)? {
        for outbound in outbounds where !outbound.lane.isControl {
            if let progress = outbound.progress(of: message) { return progress }
        }
        return nil
    }

    /// - Returns: whether it is of a stream of ours.
    mutating func acknowledge(_ acknowledgement: Acknowledgement) -> Bool {
        let lane = acknowledgement.lane
        guard outbounds[lane.index].stream == acknowledgement.stream else { return false }
        for settled in outbounds[lane.index].acknowledge(acknowledgement) where !lane.isControl {
            events.append(.settled(settled, lane))
        }
        guard !acknowledgement.outcomes.isEmpty else { return true }
        let (stream, base) = (acknowledgement.stream, outbounds[lane.index].base)
        if lane.isControl {
            confirmOutcomes(of: lane, stream: stream, before: base)
        } else {
            events.append(.outcomesTold(lane, stream: stream, before: base))
        }
        return true
    }

    /// The member need not repeat outcomes: no run of ours will ask for them again.
    mutating func confirmOutcomes(of lane: Lane, stream: UInt64, before base: UInt64) {
        guard outbounds[lane.index].stream == stream else { return }
        outbounds[lane.index].confirm(before: base)
        if let carrier { acknowledgements.addConfirmation(of: lane, on: carrier) }
    }

    /// The member knows the outcomes that we told it of.
    mutating func confirm(_ lane: Lane, stream: UInt64, base: UInt64) {
        if inbounds[lane.index].stream == stream { inbounds[lane.index].confirm(base: base) }
    }

    /// Whether the member has all of a lane or stream up to there.
    func has(_ part: FlightPart) -> Bool {
        switch part.flow {
        case .lane(let lane, let stream):
            outbounds[lane.index].stream != stream || outbounds[lane.index].received > part.highest
        case .stream(let id):
            streams.first { $0.id == id }.map { $0.sending.first > part.highest } ?? true
        }
    }

    /// The member takes nothing of us: what waits is over, and what comes later begins anew.
    ///
    /// - Returns: the messages that will not be handed on, and their lanes.
    mutating func abandon() -> [(message: UInt64, lane: Lane)] {
        endExchanges()
        var abandoned: [(UInt64, Lane)] = []
        for index in outbounds.indices {
            let lane = outbounds[index].lane
            if !lane.isControl { abandoned += outbounds[index].unsettled().map { ($0, lane) } }
            outbounds[index] = Outbound(lane: lane, stream: streamNumbers.next())
        }
        return abandoned
    }

    // MARK: From the member

    mutating func receive(_ data: DataFrame, by path: PathKind, now: Instant) {
        let lane = data.lane
        let before = inbounds[lane.index].heldBytes
        let messages = inbounds[lane.index].receive(data, budget: configuration.largestIncomplete - incompleteBytes)
        incompleteBytes += inbounds[lane.index].heldBytes - before
        guard !lane.isControl else {
            for message in messages { takeControl(message.content.bytes, lane.priority, now: now) }
            return
        }
        for message in messages { events.append(.message(message, lane, path: path)) }
        guard let limit = configuration.rateLimit else { return }
        let wasPaused = rate.pausedUntil != nil
        if rate.count(messages: messages.count, bytes: data.payload.count, limit, now: now) != wasPaused {
            acknowledgeAll()
        }
    }

    /// A message that `Event.message` told of was not taken by the application.
    mutating func refuse(_ message: Inbound.Message, _ lane: Lane) {
        inbounds[lane.index].refuse(message)
    }

    /// Reports what is to be noted.
    mutating func noteAdvances() {
        for index in inbounds.indices {
            guard let note = inbounds[index].pollNote() else { continue }
            // Of what ends with the run nothing needs to be noted.
            if inbounds[index].lane.isControl {
                inbounds[index].commit(note)
            } else {
                events.append(.inboundAdvanced(inbounds[index].lane, note))
            }
        }
    }

    /// What was reported by `inboundAdvanced` is durable.
    mutating func commit(_ lane: Lane, _ note: InboundNote) {
        let before = inbounds[lane.index].note
        inbounds[lane.index].commit(note)
        // The acknowledgement that left before said less: say it again, soon.
        if inbounds[lane.index].note != before, let carrier {
            if acknowledgements.isEmpty {
                acknowledgements.add(lane, on: carrier, at: .zero)
            } else if let at = acknowledgements.due(on: carrier) {
                acknowledgements.add(lane, on: carrier, at: at)
            }
        }
    }

    /// The application keeps up (again), or does not.
    mutating func setPaused(_ paused: Bool) {
        guard paused != isPaused else { return }
        isPaused = paused
        acknowledgeAll()
    }

    private mutating func acknowledgeAll() {
        if let carrier { acknowledgeAll(on: carrier, at: .zero) }
    }

    mutating func acknowledgeAll(on kind: Carrier, at instant: Instant) {
        for inbound in inbounds where inbound.stream != nil {
            acknowledgements.add(inbound.lane, on: kind, at: instant)
        }
    }

    // MARK: Time

    /// When the next deadline passes.
    var nextDeadline: Instant? {
        var next: Instant? = .earlier(requests.nextDeadline, rate.pausedUntil)
        for index in outbounds.indices { next = .earlier(next, outbounds[index].nextDeadline) }
        return next
    }

    mutating func handleDeadlines(now: Instant) {
        for index in outbounds.indices where outbounds[index].nextDeadline.map({ $0 <= now }) ?? false {
            for withdrawal in outbounds[index].expire(now: now, knowsLanes: knowsLanes == true) {
                events.append(.withdrawn(withdrawal, outbounds[index].lane))
            }
        }
        if rate.handleTimeout(now: now) { acknowledgeAll() }
        while let id = requests.popDue(now: now) { endRequest(id, .timedOut) }
    }

    // MARK: Packets

    /// A packet that only says good-bye.
    static func byePacket() -> [UInt8] {
        var packet: [UInt8] = []
        Frame.bye.write(to: &packet)
        return packet
    }

    /// A packet that says that there is no conversation, after all that there was to acknowledge. What was handed on counts as
    /// noted: there will be no run that asks for it again.
    func lastPacket(refusing reason: UInt8) -> [UInt8] {
        var packet: [UInt8] = []
        for inbound in inbounds {
            guard let acknowledgement = inbound.lastAcknowledgement(knowsLanes: knowsLanes == true),
                inbound.lane == .plain || knowsLanes == true,
                packet.count + acknowledgement.size <= configuration.largestPacket
            else { continue }
            Frame.acknowledgement(acknowledgement).write(to: &packet)
        }
        Frame.refused(reason: reason).write(to: &packet)
        return packet
    }

    /// How large a packet may become by acknowledgements: with all that goes around it, it is to be a datagram of the relay path.
    private static let largestAcknowledged = 20 * 1024

    mutating func appendAcknowledgements(to packet: inout [UInt8], on kind: Carrier, now: Instant) {
        guard let due = acknowledgements.due(on: kind), due <= now || !packet.isEmpty else { return }
        while packet.count < Self.largestAcknowledged / 2, let lane = acknowledgements.popConfirmation() {
            let outbound = outbounds[lane.index]
            Frame.confirmed(lane, stream: outbound.stream, base: outbound.confirmed).write(to: &packet)
        }
        while let lane = acknowledgements.popLane(on: kind) {
            let paused = (isPaused || rate.pausedUntil != nil) && !lane.isControl
            guard
                let acknowledgement = inbounds[lane.index].acknowledgement(
                    isPaused: paused, knowsLanes: knowsLanes ?? false)
            else { continue }
            if !packet.isEmpty, packet.count + acknowledgement.size > Self.largestAcknowledged {
                acknowledgements.add(lane, on: kind, at: now)
                break
            }
            Frame.acknowledgement(acknowledgement).write(to: &packet)
        }
        while packet.count < Self.largestAcknowledged, let id = acknowledgements.popStream(on: kind) {
            guard let index = index(ofStream: id) else { continue }
            let receiving = streams[index].receiving
            Frame.credit(id: id, received: receiving.received, limit: receiving.limit).write(to: &packet)
        }
        acknowledgements.said(on: kind)
    }

    /// Fills a packet with what waits, as the scheduler says.
    mutating func appendData(to packet: inout [UInt8], on kind: Carrier, room: Int) -> Flight? {
        guard carrier == kind, room > 0 else { return nil }
        if kind != .connection, self[kind].packetsInFlight >= configuration.relayWindow { return nil }
        let limit = min(configuration.largestPacket, room)
        var flight: Flight?
        func note(_ flow: FlightPart.Flow, _ number: UInt64) {
            let part = FlightPart(flow: flow, highest: number)
            if flight == nil { flight = Flight(first: part) } else { flight?.note(part) }
        }
        while let (rank, flow) = scheduler.choose({ nextFlow(rank: $0, on: kind) }) {
            let before = packet.count
            switch flow {
            case .lane(let index, let sequence):
                guard flight == nil || before + outbounds[index].size(of: sequence) <= limit,
                    let fragment = outbounds[index].fragment(sequence)
                else { return flight }
                Frame.data(fragment).write(to: &packet)
                outbounds[index].sent(sequence, on: kind)
                note(.lane(fragment.lane, stream: fragment.stream), sequence)
            case .stream(let index, let number):
                guard flight == nil || before + streams[index].sending.size(of: number) <= limit else { return flight }
                let id = streams[index].id
                Frame.bytes(streams[index].sending.send(number, of: id, on: kind)).write(to: &packet)
                note(.stream(id), number)
            }
            turn &+= 1
            scheduler.sent(packet.count - before, rank: rank)
        }
        return flight
    }

    private enum Flow {
        case lane(Int, sequence: UInt64)
        case stream(Int, number: UInt64)
    }

    /// What goes next of one rank: control messages first, then the others in turn.
    private func nextFlow(rank: Int, on kind: Carrier) -> Flow? {
        guard knowsLanes == true else {
            return rank == 0 ? outbounds[0].nextSequence(on: kind).map { .lane(0, sequence: $0) } : nil
        }
        if let sequence = outbounds[rank + 8].nextSequence(on: kind) { return .lane(rank + 8, sequence: sequence) }
        let ordered = outbounds[rank].nextSequence(on: kind)
        let unordered = outbounds[rank + 4].nextSequence(on: kind)
        if streams.isEmpty {
            if let ordered, unordered == nil || turn & 1 == 0 { return .lane(rank, sequence: ordered) }
            return unordered.map { .lane(rank + 4, sequence: $0) }
        }
        // Byte streams and the two lanes take turns.
        let count = streams.count + 2
        for offset in 0..<count {
            let place = (turn &+ offset) % count
            if place == 0, let ordered { return .lane(rank, sequence: ordered) }
            if place == 1, let unordered { return .lane(rank + 4, sequence: unordered) }
            guard place >= 2, streams[place - 2].priority.rank == rank else { continue }
            if let number = streams[place - 2].sending.next(on: kind) { return .stream(place - 2, number: number) }
        }
        return nil
    }
}
