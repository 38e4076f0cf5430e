import SwarmBase

/// The ordered, acknowledged conversation with one member, above its paths.
///
/// Sans-IO: frames come in with the path they came by, packets go out with the path they are to take. The session starts
/// on whichever path opens first, sends on the best one, and when that falls silent sends everything that is not
/// acknowledged on the next at once (docs/protocol.md, "Session").
struct Session {
    /// What a session tells its owner.
    enum Event: Equatable {
        /// Something authentic came from the member for the first time in its present run.
        case up(PathKind)
        /// Messages go another way from now on.
        case pathChanged(PathKind, rtt: Duration?)
        case message(Inbound.Message, Lane, path: PathKind)
        /// A lane of the member now stands here: to be noted durably, then `commit`.
        case inboundAdvanced(Lane, InboundNote)
        /// A message of ours is over.
        case settled(Outbound.Settled, Lane)
        /// The member has told outcomes of messages of ours: when it is noted that these are over, it is to be told that we know, by
        /// `confirmOutcomes`.
        case outcomesTold(Lane, stream: UInt64, before: UInt64)
        /// The deadline of a message of ours has passed.
        case withdrawn(Outbound.Withdrawal, Lane)
        /// Something beside messages.
        case exchange(Exchange)
        /// The member takes no part in a conversation with us: what waited is rejected.
        case refused(Rejection)
        /// The member said good-bye.
        case bye
        /// Nothing has come for `SessionConfiguration.awayAfter`, or for `directAwayAfter` from one who was directly connected.
        case away
        /// Nothing has come for `SessionConfiguration.goneAfter`.
        case gone
    }

    /// Requests and byte streams (docs/protocol.md).
    enum Exchange: Equatable {
        case request(id: UInt64, action: String, payload: [UInt8])
        /// Nobody waits for our answer any more.
        case cancelled(id: UInt64)
        case response(id: UInt64, RequestResult)
        case streamOpened(id: UInt64, name: String, MessagePriority)
        case streamReadable(id: UInt64)
        case streamWritable(id: UInt64)
        case streamEnded(id: UInt64, StreamReset)
    }

    let configuration: SessionConfiguration
    /// What goes to the member, by lane.
    var outbounds: [Outbound]
    /// What comes from the member, by lane.
    var inbounds: [Inbound]
    /// The next message's number.
    var nextMessage: UInt64
    /// Whether the member knows more than lane 0; `nil` before it is known.
    private(set) var knowsLanes: Bool?
    var requests = Requests()
    var streams: [ByteStream] = []
    var scheduler = SendScheduler()
    /// Where the streams of one rank take turns.
    var turn = 0
    /// Makes numbers of streams.
    var streamNumbers: SeededGenerator
    /// The bytes of incomplete messages in all lanes.
    var incompleteBytes = 0
    private var states = CarrierTable(PathState())
    /// Which way the peer connection's packets go; only said, never acted upon.
    private var connectionPath = PathKind.direct
    /// The peer connection is open but owes an answer for too long.
    var isConnectionSuspect: Bool { self[.connection].isSuspect }
    private(set) var suspectSince: Instant?
    /// How often a path fell under suspicion, or a relay brought nothing again.
    private(set) var doubts = 0
    private(set) var isUp = false
    /// What messages are sent on now.
    private(set) var carrier: Carrier?
    /// The path that the application was told of last.
    private var toldPath: PathKind?
    private(set) var lastHeard: Instant?
    /// When the session itself said something last, and not a layer below: of a process that hangs, or a page that is frozen, the latter may live on.
    private var lastSpoken: Instant?
    var acknowledgements = AcknowledgementsDue()
    private var pongs: [(carrier: Carrier, id: UInt64)] = []
    private var wantsPing = CarrierSet()
    /// Frames of the engine's that go with the next packet.
    private var asides: [Frame] = []
    /// When all paths were asked last because nothing was heard by any.
    private var probedAt: Instant?
    /// That it has gone was told.
    private var isGone = true
    var isPaused = false
    var rate = RateMeter()
    private var nextPingID: UInt64 = 1
    var events = FIFO<Event>()

    /// - Parameters:
    ///   - outbound: the stream of lane 0.
    ///   - seed: what those of the other lanes are made from.
    init(configuration: SessionConfiguration, outbound: Outbound, seed: UInt64 = 0) {
        self.configuration = configuration
        var numbers = SeededGenerator(seed: seed ^ outbound.stream)
        outbounds = Lane.all.map { $0 == .plain ? outbound : Outbound(lane: $0, stream: numbers.next()) }
        inbounds = Lane.all.map { Inbound(lane: $0, largestMessage: configuration.largestMessage) }
        streamNumbers = numbers
        nextMessage = outbound.nextMessage
    }

    /// The lane that every member knows.
    var outbound: Outbound { outbounds[0] }

    // MARK: What happens

    /// The member lived then: something authentic came, if only for a layer below.
    mutating func noteLife(at instant: Instant) { lastHeard = max(lastHeard ?? instant, instant) }

    /// A path has come up, or its far end is a new one: all that is not acknowledged goes out on it again.
    mutating func pathOpened(_ kind: Carrier, now: Instant) {
        self[kind].open()
        rewind(kind)
        if kind == .connection { suspectSince = nil }
        wantsPing.insert(CarrierSet(kind))
        chooseCarrier(now: now)
    }

    mutating func pathClosed(_ kind: Carrier, now: Instant) {
        guard self[kind].isOpen else { return }
        self[kind].close()
        if kind == .connection { suspectSince = nil }
        rewindOthers(than: kind)
        acknowledgements.forget(kind)
        wantsPing.remove(CarrierSet(kind))
        chooseCarrier(now: now)
    }

    /// What went by one path only may be lost with it.
    private mutating func rewindOthers(than kind: Carrier) {
        for other in [Carrier.relay, .mesh] where other != kind && self[other].isOpen { rewind(other) }
    }

    /// All that is not received goes out again, when it is this path's turn.
    private mutating func rewind(_ kind: Carrier) {
        for index in outbounds.indices { outbounds[index].cursors[kind] = 0 }
        for index in streams.indices { streams[index].sending.cursors[kind] = 0 }
    }

    /// ICE moved the peer connection to another kind of candidate pair.
    mutating func connectionMoved(to path: PathKind, rtt: Duration?) {
        guard path != connectionPath else { return }
        connectionPath = path
        tellPath(rtt: rtt)
    }

    /// The way messages go now; `nil` while there is none.
    var path: PathKind? { carrier.map { path(of: $0) } }

    /// How it stands with each path that is open, the one in use first.
    var paths: [PathStatus] {
        let open = Carrier.allCases.filter { self[$0].isOpen }.map { kind in
            PathStatus(
                path: path(of: kind), roundTrip: self[kind].smoothedRTT, loss: self[kind].loss,
                lastHeard: self[kind].lastHeard, isSuspect: self[kind].isSuspect, isInUse: kind == carrier)
        }
        return open.filter(\.isInUse) + open.filter { !$0.isInUse }
    }

    private func path(of carrier: Carrier) -> PathKind {
        switch carrier {
        case .connection: connectionPath
        case .relay: .relay
        case .mesh: .mesh
        }
    }

    /// The member runs anew (its session key changed): what was on its way to the former run is sent again.
    ///
    /// - Parameter isFirst: no former run of it is known.
    mutating func peerRestarted(isFirst: Bool = false, now: Instant) {
        for index in outbounds.indices { outbounds[index].peerRestarted() }
        if !isFirst { endExchanges() }
        asides.removeAll()
        isUp = false
        if self[.connection].isOpen { pathClosed(.connection, now: now) }
        for kind in [Carrier.relay, .mesh] where self[kind].isOpen { pathOpened(kind, now: now) }
    }

    /// What the member's record says of it.
    mutating func setKnowsLanes(_ knows: Bool) {
        knowsLanes = knows
        if !knows { endExchanges(unsupported: true) }
    }

    /// Has a frame go with the next packet, once: whoever says it repeats it when it is lost.
    mutating func say(_ frame: Frame) {
        if asides.count < 64 { asides.append(frame) }
    }

    /// Takes the frames of one packet that came, authentic, by `kind`.
    mutating func receive(_ frames: [Frame], on kind: Carrier, now: Instant) {
        noteLife(at: now)
        lastSpoken = now
        self[kind].heard(now: now)
        if kind != .connection { self[kind].trust(now: now) }
        if !isUp {
            carrier = nil
            chooseCarrier(now: now)
            isUp = true
            isGone = false
            // What comes by a path that is not open at this end tells of it all the same.
            let path = path(of: carrier ?? kind)
            toldPath = path
            events.append(.up(path))
        }
        for frame in frames { receive(frame, on: kind, now: now) }
        chooseCarrier(now: now)
    }

    /// Probes the paths at once: after a change of the network, or when a message waits for a member who seemed away.
    mutating func probe() {
        for kind in Carrier.allCases where self[kind].isOpen { wantsPing.insert(CarrierSet(kind)) }
    }

    /// What went by the peer connection is lost: its packets leave from elsewhere by now.
    mutating func doubtConnection(now: Instant) {
        guard self[.connection].isOpen, !self[.connection].isSuspect else { return }
        doubt(.connection, now: now)
        chooseCarrier(now: now)
    }

    private mutating func doubt(_ kind: Carrier, now: Instant) {
        self[kind].doubt(now: now)
        if kind == .connection { suspectSince = now }
        doubts += 1
        rewindOthers(than: kind)
        probe()
    }

    /// A relay path that keeps bringing nothing falls under suspicion only where there is another; but the relay itself may be gone
    /// without a word, even if it is the only way.
    private mutating func doubtRelay(_ kind: Carrier) {
        if kind == .relay, self[kind].isMute { doubts += 1 }
    }

    mutating func handleTimeout(now: Instant) {
        for kind in Carrier.allCases {
            guard let at = doubtAt(kind), now >= at else { continue }
            doubt(kind, now: now)
        }
        for kind in [Carrier.relay, .mesh] where self[kind].isOpen {
            guard let at = self[kind].retransmissionAt, now >= at else { continue }
            self[kind].sendAgain()
            rewind(kind)
            if carrier == kind { wantsPing.insert(CarrierSet(kind)) }
            doubtRelay(kind)
        }
        for kind in Carrier.allCases { self[kind].handleTimeout(now: now) }
        chooseCarrier(now: now)
        for kind in Carrier.allCases {
            guard let at = nextPing(on: kind), now >= at else { continue }
            wantsPing.insert(CarrierSet(kind))
            doubtRelay(kind)
        }
        if let at = quietAt, now >= at {
            probedAt = now
            probe()
        }
        if isUp, let at = awayAt, now >= at {
            isUp = false
            events.append(.away)
        }
        if !isGone, let at = goneAt, now >= at {
            isGone = true
            events.append(.gone)
        }
        handleDeadlines(now: now)
    }

    // MARK: What goes out

    mutating func pollEvent() -> Event? {
        // What is to be noted is known when it is known what the owner took.
        if events.isEmpty { noteAdvances() }
        return events.popFirst()
    }

    /// When `handleTimeout` has to be called, or a delayed acknowledgement goes out.
    var nextTimeout: Instant? {
        var next = nextDeadline
        for kind in Carrier.allCases where self[kind].isOpen { next = .earlier(next, acknowledgements.due(on: kind)) }
        for kind in Carrier.allCases where self[kind].isOpen {
            if kind != .connection { next = .earlier(next, self[kind].retransmissionAt) }
            next = .earlier(next, .earlier(doubtAt(kind), nextPing(on: kind)))
            next = .earlier(next, self[kind].trustedFrom)
        }
        next = .earlier(next, .earlier(quietAt, isGone ? nil : goneAt))
        return .earlier(next, isUp ? awayAt : nil)
    }

    /// The next packet for `kind`, at most `configuration.largestPacket` bytes, or `nil` when there is none to send now.
    ///
    /// - Parameter room: how many more bytes the path's own queue takes. When it is full, only what is not data goes out.
    mutating func pollPacket(on kind: Carrier, room: Int, now: Instant) -> [UInt8]? {
        guard self[kind].isOpen else { return nil }
        var packet: [UInt8] = []
        for index in pongs.indices.reversed() where pongs[index].carrier == kind {
            Frame.pong(id: pongs.remove(at: index).id).write(to: &packet)
        }
        if wantsPing.remove(CarrierSet(kind)) != nil {
            Frame.ping(id: nextPingID).write(to: &packet)
            self[kind].sentPing(id: nextPingID, now: now)
            nextPingID += 1
        }
        if carrier == kind {
            while packet.count < Outbound.fragmentSize, !asides.isEmpty { asides.removeFirst().write(to: &packet) }
        }
        let flight = appendData(to: &packet, on: kind, room: room)
        appendAcknowledgements(to: &packet, on: kind, now: now)
        if let flight { self[kind].sentData(flight, now: now) }
        if packet.isEmpty { return nil }
        return packet
    }

    // MARK: Inside

    subscript(kind: Carrier) -> PathState {
        _read { yield states[kind] }
        // In place: what is under way is not to be copied for each packet.
        _modify { yield &states[kind] }
    }

    private mutating func receive(_ frame: Frame, on kind: Carrier, now: Instant) {
        switch frame {
        case .data(let data):
            receive(data, by: path(of: kind), now: now)
            acknowledgements.add(data.lane, on: kind, at: now + acknowledgementDelay(on: kind))
        case .acknowledgement(let acknowledgement):
            guard acknowledge(acknowledgement) else { return }
            noteProgress(by: kind, now: now)
        case .confirmed(let lane, let stream, let base):
            confirm(lane, stream: stream, base: base)
        case .bytes(let piece):
            if receive(piece, now: now) {
                acknowledgements.add(stream: piece.id, on: kind, at: now + acknowledgementDelay(on: kind))
            }
        case .credit(let id, let received, let limit):
            guard takeCredit(id, received: received, limit: limit) else { return }
            noteProgress(by: kind, now: now)
        case .refused(let reason):
            events.append(.refused((Refused.Reason(rawValue: reason) ?? .notAdmitted).rejection))
        case .ping(let id):
            if pongs.count < 16 { pongs.append((kind, id)) }
            // With the pong goes how far we are: an acknowledgement that opened the window may have been lost.
            acknowledgeAll(on: kind, at: now)
            for stream in streams { acknowledgements.add(stream: stream.id, on: kind, at: now) }
        case .pong(let id):
            if self[kind].pong(id: id, now: now), kind == .connection { clearSuspicion(now: now) }
        case .bye:
            isUp = false
            isGone = true
            events.append(.bye)
        case .neighbours, .presence, .forward, .forwarded, .rekeying, .prekeys, .prekeyStock, .deadline:
            // The engine's.
            break
        }
    }

    private func acknowledgementDelay(on kind: Carrier) -> Duration {
        kind == .connection ? .zero : configuration.relayAcknowledgementDelay
    }

    /// Something of ours has come that had not.
    private mutating func noteProgress(by kind: Carrier, now: Instant) {
        for carrier in Carrier.allCases where self[carrier].packetsInFlight > 0 {
            let arrivals = self[carrier].arrivals(has)
            self[carrier].arrived(arrivals, isMeasured: carrier == kind, now: now)
        }
        if kind == .connection { clearSuspicion(now: now) }
    }

    private mutating func clearSuspicion(now: Instant) {
        self[.connection].trust(now: now)
        suspectSince = nil
    }

    /// When a path falls under suspicion; `nil` when it is already, or when nothing is owed there.
    private func doubtAt(_ kind: Carrier) -> Instant? {
        guard self[kind].isOpen, !self[kind].isSuspect else { return nil }
        // Of paths through others only one that has an alternative is worth the doubt.
        if kind != .connection, !Carrier.allCases.contains(where: { $0 != kind && self[$0].isOpen }) { return nil }
        return self[kind].suspicionAt
    }

    /// The best path that may be trusted, else the best that there is. A relay is made for carrying what others say; a member
    /// is not, so it comes last.
    private mutating func chooseCarrier(now: Instant) {
        let best =
            Carrier.allCases.first { self[$0].isTrusted(now: now) }
            ?? Carrier.allCases.first { self[$0].isOpen && !self[$0].isSuspect }
            ?? Carrier.allCases.first { self[$0].isOpen }
        guard let best, best != carrier else { return }
        carrier = best
        tellPath(rtt: self[best].smoothedRTT)
    }

    private mutating func tellPath(rtt: Duration?) {
        guard isUp, let path, path != toldPath else { return }
        toldPath = path
        events.append(.pathChanged(path, rtt: rtt))
    }

    private func nextPing(on kind: Carrier) -> Instant? {
        guard self[kind].isOpen else { return nil }
        guard let last = self[kind].lastPing else { return .zero }
        let interval: Duration
        switch kind {
        case .connection:
            if isConnectionSuspect {
                interval = configuration.suspectPingInterval
            } else {
                // While nothing is owed there, ICE's own checks keep watch over a peer connection.
                interval =
                    isUp && !isOwed ? configuration.idlePingInterval : configuration.directPingInterval
            }
        case .relay, .mesh:
            if carrier != kind, !self[kind].isSuspect {
                interval = configuration.spareRelayPingInterval
            } else {
                // A member who does not answer is asked ever more seldom.
                interval = isUp ? configuration.relayPingInterval : .seconds(1 << min(self[kind].unansweredPings, 5))
            }
        }
        // Anything heard says as much as an answer would; but while we wait for an acknowledgement, which a pong brings
        // along, only an answer will do.
        guard isUp, !isOwed else { return last + interval }
        return max(last, self[kind].lastHeard ?? last) + interval
    }

    private var awayAt: Instant? {
        let patience = self[.connection].isOpen ? configuration.directAwayAfter : configuration.awayAfter
        let silent = lastHeard.map { $0 + patience }
        return .earlier(silent, lastSpoken.map { $0 + configuration.speechlessAfter })
    }

    private var goneAt: Instant? { lastHeard.map { $0 + configuration.goneAfter } }

    /// When one who is directly connected and of whom nothing is heard is asked by every path.
    private var quietAt: Instant? {
        guard isUp, self[.connection].isOpen, let lastHeard else { return nil }
        let at = lastHeard + configuration.quietAfter
        return probedAt.map { max(at, $0 + configuration.suspectPingInterval) } ?? at
    }
}
