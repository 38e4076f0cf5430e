import SwarmBase

/// How the congestion window answers to the network.
public enum CongestionAlgorithm: Hashable, Sendable {
    /// CUBIC (RFC 9438) that tells random loss from congestion; see `CongestionControl`.
    case cubic
    /// RFC 9260 §7.2 to the letter: halves the window with any loss.
    case newReno
}

/// How much may be in flight.
///
/// Slow start is HyStart++ (RFC 9406) by bytes acknowledged, since one SACK answers many packets and pacing spreads what
/// it lets go. Afterwards the window follows CUBIC (RFC 9438).
///
/// What differs from both: a loss reduces the window only when it looks like a full queue. A loss is *tolerated* — repaired,
/// and the window stays — while the round trip shows no queue (the shortest of the latest few is within a sixteenth, and
/// within 4 to 25 ms, of the path's shortest) and little is lost; see `LossTolerance`. Reno and CUBIC read each of the random
/// losses of a radio link as congestion: at 1 % and 50 ms neither can pass 3 Mbit/s, whatever the link carries. The price:
/// behind a bottleneck with hardly any buffer, where loss is the only sign, this sender goes on until 2 % are lost, and so
/// takes more than its share beside a Reno flow there, as BBRv2 does. Where a queue can form (nearly everywhere), its delay
/// marks the loss as congestion, and the answer is CUBIC's.
///
/// A second departure bounds the queue that this sender keeps: `boundQueue`.
struct CongestionControl: Sendable {
    /// What a SACK says.
    struct Sample: Sendable {
        /// Newly acknowledged bytes.
        var bytes: Int
        /// What was in flight before.
        var flight: Int
        var cumulative: TSN
        var cumulativeAdvanced: Bool
        /// The next number to be sent.
        var nextTSN: TSN
        /// In nanoseconds, if the SACK allowed a measurement.
        var roundTrip: Int64?
        var now: Instant
    }

    enum Phase: Equatable, Sendable {
        case slowStart
        /// HyStart++'s conservative slow start: how many rounds it has lasted, and the round trip it began with.
        case conservative(rounds: Int, baseline: Int64)
        case avoidance
    }

    /// What is needed to take a reduction back, should it prove needless.
    private struct Undo: Sendable {
        var window: Int
        var threshold: Int
        var phase: Phase
        var plateau: Double
        /// Retransmissions in this recovery that were not reported as duplicates.
        var retransmissions = 0
        var didRetransmit = false
    }

    // RFC 9438 §4.1, §4.6.
    private static let scale = 0.4
    static let beta = 0.7
    // RFC 9406 §4.3.
    private static let minThreshold: Int64 = 4 * .millisecond
    private static let maxThreshold: Int64 = 16 * .millisecond
    static let samplesPerRound = 8
    private static let longestBlock = 16
    private static let shortestBlock = 4
    private static let conservativeDivisor = 4
    private static let conservativeRounds = 5

    let algorithm: CongestionAlgorithm
    let packetSize: Int
    private let initialWindow: Int
    let queueLimit: Int64
    let maxWindow: Int

    var phase = Phase.slowStart
    var threshold = Int.max
    private var partialBytesAcked = 0
    private var undo: Undo?

    // CUBIC, in packets and seconds.
    var plateau = 0.0
    private var inflection = 0.0
    var epoch: Instant?
    private var friendlyWindow = 0.0
    private var lastAck: Instant?

    // Rounds.
    private var roundEnd: TSN?
    var roundShortest = Int64.max
    var roundSamples = 0
    var lastRoundShortest = Int64.max
    /// The shortest of the latest block of measurements, and of those that are being collected.
    var blockShortest = Int64.max
    private var nextBlockShortest = Int64.max
    private var blockSamples = 0
    var pathShortest = Int64.max
    private var lastRoundTrip: Int64 = 0

    // Loss.
    var tolerance: LossTolerance
    /// What the window was before it was reduced on trial.
    private var beforeTrial: Undo?

    /// How the queue answers to what is done about it.
    var queue = QueueHistory()

    /// The congestion window in bytes (cwnd).
    var window: Int
    /// Fast recovery lasts until this number is acknowledged (RFC 9260 §7.2.4).
    private(set) var recoveryEnd: TSN?
    /// How often the window was reduced, and how often that was taken back.
    private(set) var reductions = 0
    private(set) var undoneReductions = 0

    init(_ configuration: SCTPConfiguration) {
        algorithm = configuration.congestionAlgorithm
        packetSize = configuration.maxPacketSize
        initialWindow = configuration.initialWindowPackets * configuration.maxPacketSize
        queueLimit = max(0, configuration.queueLimit.nanosecondsClamped)
        tolerance = LossTolerance(configuration)
        maxWindow = max(configuration.maxCongestionWindow, initialWindow)
        window = initialWindow
    }

    /// Whether the window grows exponentially.
    var isInSlowStart: Bool { phase != .avoidance }

    /// Whether losses are being repaired.
    var isInRecovery: Bool { recoveryEnd != nil }

    /// RFC 9438 §4.6, and RFC 9260 §7.2.3, by which a few flows together keep more packets under way than a slow link holds.
    var minWindow: Int { (algorithm == .cubic ? 2 : 4) * packetSize }

    /// How many measurements make a block: those of half a window, when a SACK answers two packets, or less.
    private var samplesPerBlock: Int { min(max(window / (4 * packetSize), Self.shortestBlock), Self.longestBlock) }

    // MARK: Acknowledgements

    /// A SACK came.
    mutating func acknowledged(_ sample: Sample) {
        tolerance.acknowledged(sample.bytes)
        if let roundTrip = sample.roundTrip {
            pathShortest = min(pathShortest, roundTrip)
            roundShortest = min(roundShortest, roundTrip)
            roundSamples += 1
            lastRoundTrip = roundTrip
            nextBlockShortest = min(nextBlockShortest, roundTrip)
            blockSamples += 1
            if blockSamples >= samplesPerBlock {
                blockShortest = nextBlockShortest
                nextBlockShortest = .max
                blockSamples = 0
                if algorithm == .cubic { watchSlowStart() }
            }
        }
        let isNewRound = roundEnd.map { sample.cumulative >= $0 } ?? true
        if isNewRound { beginRound(sample) }
        defer { lastAck = sample.now }
        if let end = recoveryEnd {
            guard sample.cumulative >= end else { return }
            recoveryEnd = nil
        } else if let verdict = tolerance.judge(acked: sample.bytes, lost: 0, now: sample.now) {
            finishTrial(verdict)
        }
        guard sample.bytes > 0 else { return }
        // The window grows only when it was what held the sender back (§7.2.1, §7.2.2). Pacing leaves a part of it unused
        // at any moment.
        let slack = max(packetSize, isInSlowStart ? window / 2 : window / 8)
        guard sample.flight + slack > window else {
            // RFC 9438 §5.8: time without need of the window does not count.
            if let epoch, let lastAck { self.epoch = epoch.adding(sample.now.nanoseconds(since: lastAck)) }
            return
        }
        switch phase {
        case .slowStart: grow(by: sample.bytes)
        case .conservative: grow(by: sample.bytes / Self.conservativeDivisor)
        case .avoidance:
            if algorithm == .cubic {
                growCubic(sample)
            } else if sample.cumulativeAdvanced {
                partialBytesAcked += sample.bytes
                if partialBytesAcked >= window {
                    partialBytesAcked -= window
                    grow(by: packetSize)
                }
            }
        }
        if isInSlowStart, window >= threshold { enterAvoidance() }
    }

    private mutating func grow(by bytes: Int) {
        window = min(maxWindow, window + bytes)
    }

    private mutating func enterAvoidance() {
        phase = .avoidance
        threshold = min(threshold, window)
        partialBytesAcked = 0
        epoch = nil
    }

    /// RFC 9406 §4.2: the round trip grows, so a queue does. In place of a round's first samples, which are of packets
    /// that met no queue yet, each sixteen in a row are looked at: a window that doubles fills a buffer within the round.
    private mutating func watchSlowStart() {
        switch phase {
        case .slowStart:
            let reference = min(lastRoundShortest, roundShortest)
            guard lastRoundShortest < .max else { return }
            let tolerance = min(Self.maxThreshold, max(Self.minThreshold, reference / 8))
            if blockShortest >= reference + tolerance {
                phase = .conservative(rounds: 0, baseline: blockShortest)
            }
        case .conservative(_, let baseline):
            if blockShortest < baseline - Self.minThreshold / 2 {
                phase = .slowStart
            } else if queueLimit > 0, blockShortest - pathShortest > longestQueue {
                enterAvoidance()
            }
        case .avoidance:
            break
        }
    }

    private mutating func beginRound(_ sample: Sample) {
        if case .conservative(let rounds, let baseline) = phase {
            if rounds + 1 >= Self.conservativeRounds {
                enterAvoidance()
            } else {
                phase = .conservative(rounds: rounds + 1, baseline: baseline)
            }
        }
        if algorithm == .cubic { boundQueue(now: sample.now) }
        if roundSamples > 0 { lastRoundShortest = roundShortest }
        roundShortest = .max
        roundSamples = 0
        roundEnd = sample.nextTSN
        tolerance.beginRound(now: sample.now)
    }

    /// RFC 9438 §4.2–§4.5.
    private mutating func growCubic(_ sample: Sample) {
        let packet = Double(packetSize)
        let current = Double(window) / packet
        let start: Instant
        if let epoch {
            start = epoch
        } else {
            start = sample.now
            epoch = sample.now
            friendlyWindow = current
            if plateau > current {
                inflection = cubeRoot((plateau - current) / Self.scale)
            } else {
                plateau = current
                inflection = 0
            }
        }
        let acked = Double(sample.bytes) / packet
        let ahead = Double(sample.now.nanoseconds(since: start) + lastRoundTrip) / 1e9 - inflection
        let target = min(max(plateau + Self.scale * ahead * ahead * ahead, current), current * 1.5)
        // §4.3: as fast as Reno with the same average window, and after the plateau as Reno itself.
        let slope = friendlyWindow < plateau ? 3 * (1 - Self.beta) / (1 + Self.beta) : 1
        friendlyWindow += slope * acked / current
        let next = max(current + (target - current) / current * acked, min(friendlyWindow, current + acked))
        window = min(maxWindow, max(window, Int(next * packet)))
    }

    // MARK: Losses

    /// Fragments are missing: the window is reduced, once per recovery (§7.2.3, §7.2.4), unless that is tolerated.
    ///
    /// - Returns: whether a recovery began, so that one packet may go regardless of the window.
    mutating func lost(bytes: Int, highestOutstanding: TSN, now: Instant) -> Bool {
        tolerance.lost(bytes)
        guard recoveryEnd == nil else { return false }
        let isQueueShort = isQueueShort
        if tolerance.isTrying {
            if isQueueShort {
                if let verdict = tolerance.judge(acked: 0, lost: bytes, now: now) { finishTrial(verdict) }
                return false
            }
            tolerance.endTrial()
            beforeTrial = nil
        } else if isQueueShort, tolerance.isLossSmall {
            return false
        }
        reduce(to: algorithm == .cubic ? Self.beta : 0.5)
        recoveryEnd = highestOutstanding
        if isQueueShort {
            tolerance.beginTrial(window: undo?.window ?? window, isInSlowStart: undo?.phase != .avoidance)
            beforeTrial = undo
        } else {
            noteFullQueue(now: now)
        }
        return true
    }

    /// A smaller window has shown whether it was the cause of the loss.
    private mutating func finishTrial(_ verdict: LossTolerance.Verdict) {
        defer { beforeTrial = nil }
        guard verdict == .random, let before = beforeTrial else { return }
        restore(before)
        guard phase == .avoidance else { return }
        // The link was not full.
        phase = .conservative(rounds: 0, baseline: blockShortest < .max ? blockShortest : pathShortest)
        threshold = .max
    }

    private mutating func reduce(to share: Double) {
        undo = Undo(window: window, threshold: threshold, phase: phase, plateau: plateau)
        reductions += 1
        rememberPlateau()
        threshold = max(Int(Double(window) * share), minWindow)
        window = threshold
        enterAvoidance()
    }

    /// RFC 9438 §4.7: the window at which it broke, less when it had not come back to the last such one.
    private mutating func rememberPlateau() {
        let current = Double(window) / Double(packetSize)
        plateau = current < plateau ? current * (1 + Self.beta) / 2 : current
    }

    /// The retransmission timer expired (§7.2.3).
    mutating func timedOut() {
        if undo == nil || recoveryEnd != nil || window > packetSize {
            undo = Undo(window: window, threshold: threshold, phase: phase, plateau: plateau)
            rememberPlateau()
            threshold = max(window / 2, minWindow)
        }
        reductions += 1
        tolerance.endTrial()
        beforeTrial = nil
        window = packetSize
        phase = .slowStart
        partialBytesAcked = 0
        epoch = nil
        recoveryEnd = nil
        roundEnd = nil
    }

    /// A fragment was sent again.
    mutating func retransmitted() {
        undo?.retransmissions += 1
        undo?.didRetransmit = true
    }

    /// The peer reports numbers that came twice. When that is true of all that was sent again, nothing was lost, and
    /// the window is what it was.
    mutating func reportedDuplicates(_ count: Int) {
        tolerance.found(count * packetSize)
        guard var state = undo, state.didRetransmit else { return }
        state.retransmissions -= count
        if state.retransmissions <= 0 {
            restore(state)
        } else {
            undo = state
        }
    }

    /// A reduction was needless.
    private mutating func restore(_ state: Undo) {
        window = max(window, state.window)
        threshold = max(threshold, state.threshold)
        phase = state.phase
        plateau = state.plateau
        epoch = nil
        recoveryEnd = nil
        undo = nil
        undoneReductions += 1
    }

    // MARK: Path

    /// Another path: begin anew.
    mutating func reset() {
        window = initialWindow
        threshold = .max
        phase = .slowStart
        partialBytesAcked = 0
        undo = nil
        plateau = 0
        epoch = nil
        lastAck = nil
        roundEnd = nil
        roundShortest = .max
        roundSamples = 0
        lastRoundShortest = .max
        blockShortest = .max
        nextBlockShortest = .max
        blockSamples = 0
        pathShortest = .max
        lastRoundTrip = 0
        tolerance.reset()
        beforeTrial = nil
        queue = QueueHistory()
        recoveryEnd = nil
    }

    /// Bytes per second at which packets should leave when the round trip takes so many nanoseconds: enough for the
    /// window to double in a round trip of slow start, a quarter more than it needs afterwards. One packet may always be in
    /// flight, however small the window, and so a packet of `largest` bytes may leave each round trip.
    func pacingRate(roundTrip: Int64, largest: Int) -> Double {
        let gain = isInSlowStart ? 2.5 : 1.25
        return Double(max(window, largest)) * gain / max(Double(roundTrip) / 1e9, 1e-6)
    }
}

/// The cube root of a number that is not negative.
private func cubeRoot(_ value: Double) -> Double {
    guard value > 0 else { return 0 }
    var root = Double(sign: .plus, exponent: value.exponent / 3, significand: 1)
    for _ in 0..<40 {
        let next = (2 * root + value / (root * root)) / 3
        if abs(next - root) < root * 1e-9 { return next }
        root = next
    }
    return root
}
