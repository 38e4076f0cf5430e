import SwarmBase

/// What is thought lost (RFC 8985, RFC 9260 §6.3.3 and §7.2.4), and is sent again.
extension OutstandingData {
    /// The highest multiplier of the reordering window.
    private static let maxReorderingSteps = 16

    /// How long a fragment may be behind its followers (RFC 8985 §6.2 step 4): a quarter of the shortest round trip,
    /// more once duplicates proved that too short, never more than the smoothed one.
    private var reorderingWindow: Int64 {
        let quarter = max(shortestRoundTrip / 4, .millisecond)
        return min(quarter * Int64(reorderingSteps), max(smoothedRoundTrip, .millisecond))
    }

    /// The peer reported fragments that came twice: something was called lost too soon, so wait longer
    /// (RFC 8985 §6.2 step 4).
    mutating func widenReorderingWindow() {
        reorderingSteps = min(reorderingSteps + 1, Self.maxReorderingSteps)
    }

    /// Looks through the gaps: lost is what was missed three times (RFC 9260 §7.2.4) or by three packets' worth of later
    /// fragments, as long as nothing was reordered on this path, and whatever is late by the clock.
    mutating func detectLosses(
        newlyAcked: TSN?, isInRecovery: Bool, advanced: Bool, queue: inout SendQueue, now: Instant
    ) -> Int {
        var lost = 0
        // §7.2.4: only what is below the highest number newly acknowledged is reported missing, except that in fast
        // recovery an advance of the cumulative number counts for all.
        var limit = newlyAcked ?? cumulative
        if isInRecovery, advanced { limit = highestAcked }
        var above = knownBlocks.reduce(0) { $0 + ($1.last - $1.first) + 1 }
        var tsn = cumulative.next
        for block in knownBlocks {
            while tsn < block.first {
                let position = position(of: tsn)
                defer { tsn = tsn.next }
                guard fragments[position].phase == .inFlight else { continue }
                var isLost = isLate(fragments[position], now: now)
                // A retransmission is judged by time only: SACKs of older packets say nothing about it.
                if !isLost, fragments[position].transmissions == 1, tsn < limit {
                    let reports = fragments[position].missingReports &+ 1
                    fragments[position].missingReports = min(reports, 200)
                    let packet = max(1, packetSize / max(1, size(at: position)))
                    isLost = !hasSeenReordering && (reports >= 3 || above >= 3 * packet)
                }
                if isLost {
                    lost += size(at: position)
                    lose(position, queue: &queue, now: now)
                }
            }
            above -= block.last - block.first + 1
            tsn = block.last.next
        }
        return lost
    }

    /// Whether a fragment in flight was sent so long before something that has arrived that it must be lost. If not yet,
    /// the deadline is noted.
    private mutating func isLate(_ fragment: Fragment, now: Instant) -> Bool {
        // Without a measurement there is no clock to judge by.
        guard shortestRoundTrip > 0, let latestSent, fragment.sentAt <= latestSent else { return false }
        let deadline = fragment.sentAt.adding(latestRoundTrip + reorderingWindow)
        if deadline <= now { return true }
        reorderingDeadline = min(reorderingDeadline ?? deadline, deadline)
        return false
    }

    /// The deadline has passed.
    ///
    /// - Returns: bytes newly thought lost.
    mutating func expireReordering(queue: inout SendQueue, now: Instant) -> Int {
        reorderingDeadline = nil
        guard highestAcked > cumulative else { return 0 }
        return detectLosses(newlyAcked: nil, isInRecovery: false, advanced: false, queue: &queue, now: now)
    }

    /// Thinks a fragment in flight lost: it is queued to be sent again, or given up when its message may not be.
    private mutating func lose(_ position: Int, queue: inout SendQueue, now: Instant) {
        flightBytes -= size(at: position)
        flightPayload -= Int(fragments[position].length)
        fragments[position].phase = .lost
        lostCount += 1
        if isSpent(position, queue: queue, now: now) {
            abandonMessage(at: position, queue: &queue, now: now)
        } else {
            retransmissionQueue.append(cumulative + (position + 1))
        }
    }

    private func isSpent(_ position: Int, queue: borrowing SendQueue, now: Instant) -> Bool {
        guard mayAbandon else { return false }
        let place = fragments[position].message
        if let limit = queue[place].maxRetransmits, fragments[position].transmissions > limit { return true }
        return queue[place].isExpired(at: now)
    }

    /// The timer expired, or the path changed: everything in flight is thought lost (RFC 9260 §6.3.3 E3), and so is
    /// what the last SACK no longer reports.
    mutating func loseAll(queue: inout SendQueue, now: Instant) {
        retransmissionQueue.removeAll()
        reorderingDeadline = nil
        var known = 0
        var position = 0
        while position < fragments.count {
            let tsn = cumulative + (position + 1)
            while known < knownBlocks.count, knownBlocks[known].last < tsn { known += 1 }
            let isReported = known < knownBlocks.count && knownBlocks[known].first <= tsn
            switch fragments[position].phase {
            case .inFlight: lose(position, queue: &queue, now: now)
            case .lost: retransmissionQueue.append(tsn)
            case .acknowledged where !isReported:
                fragments[position].phase = .lost
                lostCount += 1
                retransmissionQueue.append(tsn)
            case .acknowledged, .abandoned: break
            }
            position += 1
        }
    }

    /// Another path: nothing that was learned of the order of arrival holds, and what is under way measures nothing.
    mutating func forgetPath() {
        pathFrom = nextTSN
        hasSeenReordering = false
        reorderingSteps = 1
        latestSent = nil
    }

    /// Queues the last fragment in flight again, to make the peer tell what is missing (RFC 8985 §7).
    ///
    /// - Returns: whether there was one that may be sent again.
    mutating func probe(queue: inout SendQueue, now: Instant) -> Bool {
        var position = fragments.count - 1
        while position >= 0, fragments[position].phase != .inFlight { position -= 1 }
        // Where retransmissions are counted a probe would use one up without evidence of a loss.
        guard position >= 0, queue[fragments[position].message].maxRetransmits == nil else { return false }
        lose(position, queue: &queue, now: now)
        return lostCount > 0
    }

    /// The length of the fragment to be sent again next; 0 when none waits.
    var firstLostLength: Int {
        guard let tsn = retransmissionQueue.first, tsn > cumulative else { return 0 }
        return Int(fragments[position(of: tsn)].length)
    }

    /// Whether the oldest fragment is larger than `window`.
    func isHeldBack(byWindow window: Int) -> Bool {
        guard let first = fragments.first else { return false }
        return Int(first.length) > window
    }

    /// Takes the next fragment to be sent again if it fits `room` bytes.
    mutating func takeRetransmission(
        room: Int, queue: inout SendQueue, now: Instant
    ) -> (tsn: TSN, fragment: Fragment)? {
        while let tsn = retransmissionQueue.first {
            guard tsn > cumulative, fragments[position(of: tsn)].phase == .lost else {
                _ = retransmissionQueue.popFirst()
                continue
            }
            let position = position(of: tsn)
            if isSpent(position, queue: queue, now: now) {
                _ = retransmissionQueue.popFirst()
                abandonMessage(at: position, queue: &queue, now: now)
                continue
            }
            guard size(at: position) <= room else { return nil }
            _ = retransmissionQueue.popFirst()
            fragments[position].phase = .inFlight
            fragments[position].transmissions = min(fragments[position].transmissions, .max - 1) + 1
            fragments[position].missingReports = 0
            fragments[position].sentAt = now
            lostCount -= 1
            flightBytes += size(at: position)
            flightPayload += Int(fragments[position].length)
            return (tsn, fragments[position])
        }
        return nil
    }
}
