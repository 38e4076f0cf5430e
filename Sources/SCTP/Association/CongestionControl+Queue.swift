import SwarmBase

/// How the queue answers to what is done about it.
struct QueueHistory: Sendable {
    /// For how long delay is no guide after another flow kept the queue; twice as long each time.
    static let shortestCompetition: Int64 = 10 * .second
    static let longestCompetition: Int64 = 80 * .second

    /// How long the queue was when it last overflowed, in nanoseconds, and when that is forgotten.
    var overflow: Int64?
    var forgetsOverflow = Instant.zero
    var roundsSinceReduction = Int.max
    /// The queue was short since the last reduction.
    var hasDrained = true
    /// Reductions in a row that did not shorten the queue, and the window before the first of them.
    var failures = 0
    var windowBefore = 0
    var ignoresDelayUntil = Instant.zero
    /// For how long delay is no guide the next time.
    var competition = QueueHistory.shortestCompetition
}

/// The queue that this sender keeps is bounded: once the shortest round trip of a round exceeds the path's by more than
/// `longestQueue`, the window is reduced to what the path holds without it, so a deep buffer is not filled to its brim. All
/// flows of this kind on one link see the same delay, reduce their windows in the same moment by the same share, and then grow
/// by the same steps, whatever their windows are: so their shares become equal.
///
/// Where the queue stays all the same, others keep it, and delay is no guide: for a time only losses count, as they do for them.
extension CongestionControl {
    private static let maxFailures = 2
    /// Of the queue that overflowed, this share is kept.
    private static let ofFullQueue = 0.75
    private static let memoryOfOverflow: Int64 = 30 * .second

    /// How much longer the shortest of the latest round trips is than the path's.
    var queueDelay: Int64 {
        let recent =
            if blockShortest < .max { blockShortest } else { min(roundShortest, lastRoundShortest) }
        return recent == .max ? 0 : recent - pathShortest
    }

    /// A delay up to which there is no queue to speak of.
    private var shortQueue: Int64 { min(max(pathShortest / 16, 4 * .millisecond), 25 * .millisecond) }

    /// Whether no queue is seen, so that a loss may be no sign of congestion.
    var isQueueShort: Bool {
        algorithm == .cubic && tolerance.isActive && pathShortest < .max && queueDelay <= shortQueue
    }

    /// The longest queue that is kept. A buffer that has overflowed is not filled again soon: so flows of this kind do without
    /// losses, which would not strike all of them.
    var longestQueue: Int64 {
        let limit = max(queueLimit, pathShortest / 2)
        guard let overflow = queue.overflow else { return limit }
        return min(limit, max(Int64(Double(overflow) * Self.ofFullQueue), shortQueue))
    }

    /// A packet was lost while there was a queue.
    mutating func noteFullQueue(now: Instant) {
        guard queueDelay > 0 else { return }
        queue.overflow = queueDelay
        queue.forgetsOverflow = now.adding(Self.memoryOfOverflow)
    }

    /// A round is over: is the queue too long?
    mutating func boundQueue(now: Instant) {
        if queue.roundsSinceReduction < .max { queue.roundsSinceReduction += 1 }
        guard queueLimit > 0, phase == .avoidance, recoveryEnd == nil, roundSamples >= Self.samplesPerRound,
            pathShortest < .max, now >= queue.ignoresDelayUntil
        else { return }
        if now >= queue.forgetsOverflow { queue.overflow = nil }
        let delay = roundShortest - pathShortest
        guard delay > longestQueue else {
            if queue.roundsSinceReduction > 0, delay <= longestQueue / 2 {
                queue.hasDrained = true
                queue.competition = QueueHistory.shortestCompetition
            }
            return
        }
        // A reduction takes a round to be felt, and another to be measured.
        guard queue.roundsSinceReduction > 2 else { return }
        if queue.hasDrained {
            queue.failures = 0
            queue.windowBefore = window
        } else {
            queue.failures += 1
            if queue.failures == Self.maxFailures {
                compete(now: now)
                return
            }
        }
        // What the path holds without a queue, and a little less: flows that came later learn how short it is.
        // A queue that still grew during the round is longer by now than the round's shortest shows.
        let latest = max(delay, blockShortest < .max ? blockShortest - pathShortest : 0)
        let share = 0.9 * Double(pathShortest) / Double(pathShortest + latest)
        window = max(Int(Double(window) * min(max(share, 0.5), 0.85)), minWindow)
        threshold = window
        // From here on growth begins slowly, and is the same for all: nobody returns to a plateau of its own.
        plateau = 0
        epoch = nil
        queue.roundsSinceReduction = 0
        queue.hasDrained = false
    }

    /// Someone else keeps the queue and takes what is given up: for a time only losses count, and the window is what it
    /// would be had they been all that counted.
    private mutating func compete(now: Instant) {
        let before = queue.windowBefore
        queue.ignoresDelayUntil = now.adding(queue.competition)
        queue.competition = min(queue.competition * 2, QueueHistory.longestCompetition)
        queue.overflow = nil
        queue.failures = 0
        queue.hasDrained = true
        queue.roundsSinceReduction = .max
        window = min(maxWindow, max(window, Int(Double(before) * Self.beta)))
        threshold = window
        plateau = Double(before) / Double(packetSize)
        epoch = nil
    }
}
