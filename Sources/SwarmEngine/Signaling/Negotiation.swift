import SwarmBase

/// Which peer connection two members are making, and whose turn it is (docs/protocol.md, "Who offers").
///
/// The member with the lower id decides: it alone sends directed offers, and of competing attempts the one with its
/// latest attempt number counts. So two members that dial each other at once end with one connection.
struct Negotiation: Sendable {
    enum Phase: Equatable, Sendable {
        /// Nothing under way; the decider offers from `retryAt` on.
        case idle(retryAt: Instant)
        /// Our offer waits for its answer.
        case offering(deadline: Instant)
        /// Descriptions are exchanged; the channel is not open yet.
        case connecting(deadline: Instant)
        /// The channel is open.
        case connected
    }

    /// What to do with an offer.
    enum Verdict: Equatable {
        case ignore
        /// A new connection in place of what there was.
        case answer
        /// An ICE restart of the connection there is.
        case restart
        /// A copy of the offer that was answered last.
        case repeatAnswer
        /// To restart a connection that this side has given up.
        case gone
    }

    let decides: Bool
    private(set) var phase: Phase
    private(set) var connection: ConnectionID?
    private(set) var attempt: UInt64 = 0
    /// The connection that ended last.
    private var former: ConnectionID?
    private var failures = 0
    /// A restart offer of ours waits for its answer.
    private(set) var isRestarting = false

    init(decides: Bool, now: Instant) {
        self.decides = decides
        phase = .idle(retryAt: now)
    }

    var mayOffer: Instant? {
        if decides, case .idle(let retryAt) = phase { retryAt } else { nil }
    }

    var deadline: Instant? {
        switch phase {
        case .offering(let deadline), .connecting(let deadline): deadline
        case .idle, .connected: nil
        }
    }

    /// Our offer goes out.
    mutating func offered(_ connection: ConnectionID, wall: UInt64, deadline: Instant) {
        self.connection = connection
        attempt = max(attempt + 1, wall)
        phase = .offering(deadline: deadline)
        isRestarting = false
    }

    /// Our offer to restart the connection goes out.
    mutating func restarted(wall: UInt64) {
        attempt = max(attempt + 1, wall)
        isRestarting = true
    }

    /// Judges an offer sealed to us.
    func verdict(onOffer connection: ConnectionID, attempt: UInt64) -> Verdict {
        guard !decides, attempt >= self.attempt else { return .ignore }
        if connection == former { return attempt == self.attempt ? .ignore : .gone }
        if connection == self.connection { return attempt == self.attempt ? .repeatAnswer : .restart }
        return attempt == self.attempt ? .ignore : .answer
    }

    /// Judges an offer to whoever gets it: taken only when nothing else is under way.
    var takesOpenOffer: Bool {
        if case .idle = phase { true } else { false }
    }

    /// We answered.
    mutating func answered(_ connection: ConnectionID, attempt: UInt64, deadline: Instant) {
        let isNew = connection != self.connection
        self.connection = connection
        self.attempt = max(self.attempt, attempt)
        if isNew || phase != .connected { phase = .connecting(deadline: deadline) }
    }

    /// Whether an answer to an offer of ours counts, and if so takes note of it.
    ///
    /// - Parameter toOpenOffer: the answered offer went to a tracker for anyone.
    mutating func takesAnswer(
        _ connection: ConnectionID, attempt: UInt64, toOpenOffer: Bool, deadline: Instant
    ) -> Bool {
        if toOpenOffer {
            guard decides ? takesOpenOffer : attempt > self.attempt else { return false }
            self.connection = connection
            // The count is the decider's alone.
            if !decides { self.attempt = attempt }
            phase = .connecting(deadline: deadline)
            isRestarting = false
            return true
        }
        guard connection == self.connection, attempt == self.attempt else { return false }
        if isRestarting {
            isRestarting = false
            return true
        }
        guard case .offering = phase else { return false }
        phase = .connecting(deadline: deadline)
        return true
    }

    mutating func opened(_ connection: ConnectionID) {
        guard connection == self.connection else { return }
        phase = .connected
        failures = 0
    }

    /// The connection is no more. The decider tries again, ever later while it fails.
    mutating func ended(now: Instant, jitter: Double) {
        if phase == .connected { failures = 0 }
        let wait = min(Duration.milliseconds(500) * (1 << min(failures, 6)), .seconds(30))
        failures += 1
        former = connection ?? former
        connection = nil
        isRestarting = false
        phase = .idle(retryAt: now + wait * (0.5 + jitter / 2))
    }

    /// Something changed for the better: the next try need not wait.
    mutating func hurry(now: Instant) {
        failures = 0
        if case .idle(let retryAt) = phase { phase = .idle(retryAt: min(retryAt, now)) }
    }

    /// The member runs anew: what was agreed with its former run is void.
    mutating func reset(now: Instant) {
        self = Negotiation(decides: decides, now: now)
    }
}
