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
        case message(Inbound.Message, path: PathKind)
        /// The inbound stream now stands here: to be noted durably, then `commit`.
        case inboundAdvanced(stream: UInt64, next: UInt64)
        /// Our message with this number has arrived for good.
        case delivered(UInt64)
        /// The member said good-bye.
        case bye
        /// Nothing has come for `SessionConfiguration.awayAfter`, or for `directAwayAfter` from one who was directly connected.
        case away
        /// Nothing has come for `SessionConfiguration.goneAfter`.
        case gone
    }

    let configuration: SessionConfiguration
    private(set) var outbound: Outbound
    private(set) var inbound: Inbound
    private(set) var connection = PathState()
    private(set) var relay = PathState()
    private(set) var mesh = PathState()
    /// Which way the peer connection's packets go; only said, never acted upon.
    private var connectionPath = PathKind.direct
    /// The peer connection is open but owes an answer for too long.
    var isConnectionSuspect: Bool { connection.isSuspect }
    private(set) var suspectSince: Instant?
    /// How often a path fell under suspicion.
    private(set) var doubts = 0
    private(set) var isUp = false
    /// What messages are sent on now.
    private(set) var carrier: Carrier?
    /// The path that the application was told of last.
    private var toldPath: PathKind?
    private(set) var lastHeard: Instant?
    /// When the session itself said something last, and not a layer below: of a process that hangs, or a page that is frozen, the latter may live on.
    private var lastSpoken: Instant?
    private var acknowledgementDue = CarrierTable<Instant?>(nil)
    private var pongs: [(carrier: Carrier, id: UInt64)] = []
    private var wantsPing = CarrierSet()
    /// Frames of the engine's that go with the next packet.
    private var asides: [Frame] = []
    /// When all paths were asked last because nothing was heard by any.
    private var probedAt: Instant?
    /// That it has gone was told.
    private var isGone = true
    private var isPaused = false
    /// How far `inboundAdvanced` has told of.
    private var reported: (stream: UInt64, next: UInt64)?
    private var nextPingID: UInt64 = 1
    private var events = FIFO<Event>()

    init(configuration: SessionConfiguration, outbound: Outbound, inbound: Inbound? = nil) {
        self.configuration = configuration
        self.outbound = outbound
        self.inbound = inbound ?? Inbound(largestMessage: configuration.largestMessage)
    }

    // MARK: What happens

    /// The member lived then: something authentic came, if only for a layer below.
    mutating func noteLife(at instant: Instant) { lastHeard = max(lastHeard ?? instant, instant) }

    /// A path has come up, or its far end is a new one: all that is not acknowledged goes out on it again.
    mutating func pathOpened(_ kind: Carrier, now: Instant) {
        self[kind].open(resendFrom: outbound.received)
        if kind == .connection { suspectSince = nil }
        wantsPing.insert(CarrierSet(kind))
        chooseCarrier(now: now)
    }

    mutating func pathClosed(_ kind: Carrier, now: Instant) {
        guard self[kind].isOpen else { return }
        self[kind].close()
        if kind == .connection { suspectSince = nil }
        rewindOthers(than: kind)
        acknowledgementDue[kind] = nil
        wantsPing.remove(CarrierSet(kind))
        chooseCarrier(now: now)
    }

    /// What went by one path only may be lost with it.
    private mutating func rewindOthers(than kind: Carrier) {
        for other in [Carrier.relay, .mesh] where other != kind && self[other].isOpen {
            self[other].cursor = min(self[other].cursor, outbound.received)
        }
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
    mutating func peerRestarted(now: Instant) {
        outbound.peerRestarted()
        asides.removeAll()
        isUp = false
        if connection.isOpen { pathClosed(.connection, now: now) }
        for kind in [Carrier.relay, .mesh] where self[kind].isOpen { pathOpened(kind, now: now) }
    }

    /// Queues a message.
    ///
    /// - Parameter isHeld: it leaves only after `release(before:)`.
    /// - Returns: its number in the stream to this member.
    mutating func send(_ content: MessageContent, isHeld: Bool = false) -> (message: UInt64, sequence: UInt64) {
        outbound.enqueue(content, isHeld: isHeld)
    }

    /// What was queued before this sequence number is kept, and may leave.
    mutating func release(before sequence: UInt64) { outbound.release(before: sequence) }

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
        reportAdvance()
        chooseCarrier(now: now)
    }

    /// Takes what mail brought: it says nothing of paths, nor of where the member is now.
    mutating func receive(mail frames: [Frame]) {
        for frame in frames {
            switch frame {
            case .data(let data):
                for message in inbound.receive(data) { events.append(.message(message, path: .relay)) }
            case .acknowledgement(let acknowledgement):
                for number in outbound.acknowledge(acknowledgement) { events.append(.delivered(number)) }
            default: break
            }
        }
        reportAdvance()
    }

    private mutating func reportAdvance() {
        if let stream = inbound.stream, inbound.durableNext > inbound.committed,
            reported ?? (0, 0) != (stream, inbound.durableNext)
        {
            reported = (stream, inbound.durableNext)
            events.append(.inboundAdvanced(stream: stream, next: inbound.durableNext))
        }
    }

    /// What was reported by `inboundAdvanced` is durable.
    mutating func commit(stream: UInt64, next: UInt64) {
        let before = inbound.committed
        inbound.commit(stream: stream, next: next)
        // The acknowledgement that left before said less: say it again, soon.
        if inbound.committed != before, let carrier, Carrier.allCases.allSatisfy({ acknowledgementDue[$0] == nil }) {
            acknowledgementDue[carrier] = .zero
        }
    }

    /// Probes the paths at once: after a change of the network, or when a message waits for a member who seemed away.
    mutating func probe() {
        for kind in Carrier.allCases where self[kind].isOpen { wantsPing.insert(CarrierSet(kind)) }
    }

    /// What went by the peer connection is lost: its packets leave from elsewhere by now.
    mutating func doubtConnection(now: Instant) {
        guard connection.isOpen, !connection.isSuspect else { return }
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

    /// The application keeps up (again), or does not.
    mutating func setPaused(_ paused: Bool) {
        guard paused != isPaused else { return }
        isPaused = paused
        if let carrier, inbound.stream != nil { acknowledgementDue[carrier] = .zero }
    }

    mutating func handleTimeout(now: Instant) {
        for kind in Carrier.allCases {
            guard let at = doubtAt(kind), now >= at else { continue }
            doubt(kind, now: now)
        }
        for kind in [Carrier.relay, .mesh] where self[kind].isOpen {
            guard let at = self[kind].retransmissionAt, now >= at else { continue }
            self[kind].sendAgain(from: outbound.received)
            if carrier == kind { wantsPing.insert(CarrierSet(kind)) }
        }
        for kind in Carrier.allCases { self[kind].handleTimeout(now: now) }
        chooseCarrier(now: now)
        for kind in Carrier.allCases {
            if let at = nextPing(on: kind), now >= at { wantsPing.insert(CarrierSet(kind)) }
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
    }

    // MARK: What goes out

    mutating func pollEvent() -> Event? { events.popFirst() }

    /// When `handleTimeout` has to be called, or a delayed acknowledgement goes out.
    var nextTimeout: Instant? {
        var next: Instant?
        for kind in Carrier.allCases where self[kind].isOpen { next = .earlier(next, acknowledgementDue[kind]) }
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
        let highest = appendData(to: &packet, on: kind, room: room)
        if let due = acknowledgementDue[kind], due <= now || !packet.isEmpty,
            let acknowledgement = inbound.acknowledgement(isPaused: isPaused)
        {
            acknowledgementDue[kind] = nil
            Frame.acknowledgement(acknowledgement).write(to: &packet)
        }
        if let highest { self[kind].sentData(highest: highest, now: now) }
        if packet.isEmpty { return nil }
        return packet
    }

    /// A packet that only says good-bye.
    static func byePacket() -> [UInt8] {
        var packet: [UInt8] = []
        Frame.bye.write(to: &packet)
        return packet
    }

    // MARK: Inside

    private subscript(kind: Carrier) -> PathState {
        _read {
            switch kind {
            case .connection: yield connection
            case .relay: yield relay
            case .mesh: yield mesh
            }
        }
        _modify {
            switch kind {
            case .connection: yield &connection
            case .relay: yield &relay
            case .mesh: yield &mesh
            }
        }
    }

    private mutating func receive(_ frame: Frame, on kind: Carrier, now: Instant) {
        switch frame {
        case .data(let data):
            for message in inbound.receive(data) { events.append(.message(message, path: path(of: kind))) }
            let delay = kind == .connection ? .zero : configuration.relayAcknowledgementDelay
            acknowledgementDue[kind] = min(acknowledgementDue[kind] ?? .distantFuture, now + delay)
        case .acknowledgement(let acknowledgement):
            for number in outbound.acknowledge(acknowledgement) { events.append(.delivered(number)) }
            guard acknowledgement.stream == outbound.stream else { return }
            for carrier in Carrier.allCases {
                self[carrier].acknowledged(before: outbound.received, isMeasured: carrier == kind, now: now)
            }
            if kind == .connection { clearSuspicion(now: now) }
        case .ping(let id):
            if pongs.count < 16 { pongs.append((kind, id)) }
            // With the pong goes how far we are: an acknowledgement that opened the window may have been lost.
            if inbound.stream != nil { acknowledgementDue[kind] = now }
        case .pong(let id):
            if self[kind].pong(id: id, now: now), kind == .connection { clearSuspicion(now: now) }
        case .bye:
            isUp = false
            isGone = true
            events.append(.bye)
        case .neighbours, .presence, .forward, .forwarded, .rekeying, .prekeys, .prekeyStock:
            // The engine's.
            break
        }
    }

    private mutating func clearSuspicion(now: Instant) {
        connection.trust(now: now)
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

    private mutating func appendData(to packet: inout [UInt8], on kind: Carrier, room: Int) -> UInt64? {
        guard carrier == kind, room > 0 else { return nil }
        if kind != .connection, self[kind].packetsInFlight >= configuration.relayWindow { return nil }
        let limit = min(configuration.largestPacket, room)
        var cursor = max(self[kind].cursor, outbound.received)
        var highest: UInt64?
        while outbound.isInWindow(cursor), let fragment = outbound.fragment(cursor) {
            let size = Frame.overhead + DataFrame.headerSize + fragment.payload.count
            guard highest == nil || packet.count + size <= limit else { break }
            Frame.data(fragment).write(to: &packet)
            highest = cursor
            cursor += 1
        }
        self[kind].cursor = cursor
        return highest
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
                    isUp && outbound.isEmpty ? configuration.idlePingInterval : configuration.directPingInterval
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
        guard isUp, outbound.isEmpty else { return last + interval }
        return max(last, self[kind].lastHeard ?? last) + interval
    }

    private var awayAt: Instant? {
        let patience = connection.isOpen ? configuration.directAwayAfter : configuration.awayAfter
        let silent = lastHeard.map { $0 + patience }
        return .earlier(silent, lastSpoken.map { $0 + configuration.speechlessAfter })
    }

    private var goneAt: Instant? { lastHeard.map { $0 + configuration.goneAfter } }

    /// When one who is directly connected and of whom nothing is heard is asked by every path.
    private var quietAt: Instant? {
        guard isUp, connection.isOpen, let lastHeard else { return nil }
        let at = lastHeard + configuration.quietAfter
        return probedAt.map { max(at, $0 + configuration.suspectPingInterval) } ?? at
    }
}

/// How a session behaves.
public struct SessionConfiguration: Sendable {
    /// The largest message, in bytes. A larger one is refused by the sender and passed over by the receiver.
    public var largestMessage = 1 << 20
    /// The most bytes that wait for acknowledgement by one member.
    public var largestBacklog = 64 << 20
    /// How many bytes of frames are put in one packet. With 12 KiB an envelope is 16 KiB of base64.
    public var largestPacket = 12 * 1024
    /// How many packets with data may be under way through the relay: fewer than the inbox has slots.
    public var relayWindow = 24
    /// How long an acknowledgement waits for company on the relay path.
    public var relayAcknowledgementDelay: Duration = .milliseconds(8)
    /// How often a direct path is asked whether it lives while something is owed there.
    public var directPingInterval: Duration = .seconds(2)
    /// How often it is asked while nothing is.
    public var idlePingInterval: Duration = .seconds(15)
    /// How often a direct path under suspicion is asked.
    public var suspectPingInterval: Duration = .milliseconds(500)
    /// How often the relay path is asked while messages go through it.
    public var relayPingInterval: Duration = .seconds(5)
    /// How often the relay path is asked while messages go the direct way.
    public var spareRelayPingInterval: Duration = .seconds(60)
    /// A member of whom nothing came for this long is away.
    public var awayAfter: Duration = .seconds(20)
    /// A member that is directly connected, and of whom nothing came for this long, is asked by every path. ICE's checks of a path
    /// that was silent for 2 s have been answered by then.
    public var quietAfter: Duration = .milliseconds(2_500)
    /// The same member is away when nothing came for this long: four questions by each path later, within 5 s of its end.
    public var directAwayAfter: Duration = .milliseconds(4_500)
    /// A member whose session did not answer for this long is away, whatever ICE hears of its machine.
    public var speechlessAfter: Duration = .seconds(40)
    /// A member of whom nothing came for this long counts as gone: it may have left without being heard.
    public var goneAfter: Duration = .seconds(60)

    public init() {}
}
