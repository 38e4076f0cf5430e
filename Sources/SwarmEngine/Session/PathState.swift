import DequeModule
import SwarmBase

/// What a session knows of one path: whether it is there, how long a round trip takes, what is under way on it.
struct PathState: Sendable {
    /// The path exists: the channel is open, or a relay is connected.
    private(set) var isOpen = false
    private(set) var smoothedRTT: Duration?
    private var rttVariation: Duration = .zero
    private(set) var lastHeard: Instant?
    /// Since when an answer is owed on this path and nothing has come.
    private(set) var awaitingSince: Instant?
    /// Since when what is under way has made no progress.
    private var unmovedSince: Instant?
    /// How often in a row what is under way was sent again.
    private var backoff = 0
    /// How many pings in a row brought nothing back.
    private(set) var unansweredPings = 0
    private var ping: (id: UInt64, sentAt: Instant)?
    private(set) var lastPing: Instant?
    /// Packets with data that are under way.
    private var inFlight: Deque<(flight: Flight, sentAt: Instant)> = []
    /// The share of packets with data that were given up, smoothed over some thirty.
    private(set) var loss = 0.0
    /// An answer is owed for too long: messages go another way, if there is one.
    private(set) var isSuspect = false
    private var trustedAt: Instant?
    /// How long messages stay away once the path answers again: nothing the first time, ever longer when it falls silent
    /// again and again.
    private var reluctance: Duration = .zero
    /// When messages may come back; `nil` when they may now.
    private(set) var trustedFrom: Instant?

    var packetsInFlight: Int { inFlight.count }

    mutating func open() {
        self = PathState()
        isOpen = true
    }

    mutating func close() { self = PathState() }

    /// Nothing came for so long that it must be doubted: max(3 × RTT, 300 ms), doubled with each repetition.
    var patience: Duration {
        let base = max(.milliseconds(300), (smoothedRTT ?? .milliseconds(300)) * 3)
        return min(base * (1 << min(backoff, 5)), .seconds(10))
    }

    /// What was sent was sent again and again, or one ping after another, and nothing came.
    var isMute: Bool { backoff > 1 || ping != nil && unansweredPings > 0 }

    /// When the path falls under suspicion, if nothing at all comes.
    var suspicionAt: Instant? { awaitingSince.map { $0 + patience } }

    /// When what is under way counts as lost, if it is not acknowledged.
    var retransmissionAt: Instant? { unmovedSince.map { $0 + patience } }

    /// Nothing came in time.
    mutating func doubt(now: Instant) {
        guard !isSuspect else { return }
        isSuspect = true
        trustedFrom = nil
        if let trustedAt, now - trustedAt < Self.steady + reluctance {
            reluctance = min(max(reluctance * 2, Self.leastReluctance), Self.mostReluctance)
        } else {
            reluctance = .zero
        }
    }

    /// Its time of probation may be over.
    mutating func handleTimeout(now: Instant) {
        if let from = trustedFrom, now >= from { trustedFrom = nil }
    }

    /// It answers.
    mutating func trust(now: Instant) {
        guard isSuspect else { return }
        isSuspect = false
        trustedAt = now
        trustedFrom = reluctance > .zero ? now + reluctance : nil
    }

    private static let lossGain = 1.0 / 32
    /// A path that held for this long is as good as new.
    private static let steady = Duration.seconds(10)
    private static let leastReluctance = Duration.seconds(1)
    private static let mostReluctance = Duration.seconds(16)

    /// Whether messages may go this way.
    func isTrusted(now: Instant) -> Bool { isOpen && !isSuspect && (trustedFrom.map { now >= $0 } ?? true) }

    mutating func heard(now: Instant) {
        lastHeard = now
        // What was on its way when the path broke is no answer to what is under way.
        awaitingSince = inFlight.isEmpty ? nil : now
        unansweredPings = 0
    }

    mutating func sentData(_ flight: Flight, now: Instant) {
        inFlight.append((flight, now))
        awaitingSince = awaitingSince ?? now
        unmovedSince = unmovedSince ?? now
    }

    mutating func sentPing(id: UInt64, now: Instant) {
        if ping != nil { unansweredPings += 1 }
        ping = (id, now)
        lastPing = now
        awaitingSince = awaitingSince ?? now
    }

    /// - Returns: whether this answers our last ping on this path.
    mutating func pong(id: UInt64, now: Instant) -> Bool {
        guard let ping, ping.id == id else { return false }
        self.ping = nil
        measure(now - ping.sentAt)
        return true
    }

    /// RFC 6298 §2.
    private mutating func measure(_ sample: Duration) {
        guard let smoothed = smoothedRTT else {
            smoothedRTT = sample
            rttVariation = sample / 2
            return
        }
        let difference = smoothed > sample ? smoothed - sample : sample - smoothed
        rttVariation = rttVariation * 3 / 4 + difference / 4
        smoothedRTT = smoothed * 7 / 8 + sample / 8
    }

    /// So many of the packets that have been under way for longest have come.
    ///
    /// - Parameter isMeasured: the acknowledgement came by this path, so that it says how long a round trip takes.
    mutating func arrived(_ count: Int, isMeasured: Bool, now: Instant) {
        guard count > 0 else { return }
        let sentAt = inFlight[count - 1].sentAt
        inFlight.removeFirst(count)
        for _ in 0..<count { loss -= loss * Self.lossGain }
        // What was sent twice may be acknowledged by the first copy (RFC 6298 §3).
        if isMeasured, backoff == 0 { measure(now - sentAt) }
        backoff = 0
        unmovedSince = inFlight.isEmpty ? nil : now
        awaitingSince = inFlight.isEmpty ? nil : now
    }

    /// How many of the packets that have been under way for longest hold nothing that the member lacks.
    func arrivals(_ has: (FlightPart) -> Bool) -> Int { inFlight.prefix { $0.flight.isDone(has) }.count }

    /// What is under way is given up: it goes out again.
    mutating func sendAgain() {
        for _ in inFlight { loss += (1 - loss) * Self.lossGain }
        inFlight.removeAll()
        awaitingSince = nil
        unmovedSince = nil
        backoff += 1
    }
}
