import SwarmBase

/// Fragments that were sent and that the peer's cumulative number has not passed, in the order of their numbers.
///
/// Losses are found by RACK (RFC 8985), with packets counted by bytes, since one packet carries many small fragments.
struct OutstandingData: Sendable {
    /// What a fragment waits for.
    enum Phase: UInt8, Equatable, Sendable {
        case inFlight
        /// Thought lost; stands in the retransmission queue.
        case lost
        /// Reported above a gap.
        case acknowledged
        /// Given up together with its whole message (RFC 3758 §3.5).
        case abandoned
    }

    /// One fragment. It holds no references: the send queue keeps the message.
    struct Fragment: Sendable {
        var sentAt: Instant
        /// The message's place in the send queue.
        var message: Int
        var offset: Int
        var number: UInt32
        var length: Int32
        var transmissions: UInt16 = 1
        /// SACKs that reported it missing (RFC 9260 §7.2.4).
        var missingReports: UInt8 = 0
        var flags: DataChunk.Flags
        var phase = Phase.inFlight

        var range: Range<Int> { offset..<offset + Int(length) }
    }

    /// What a SACK told.
    struct Acknowledgement: Equatable, Sendable {
        var cumulativeAdvanced = false
        var bytesAcked = 0
        /// What was in flight before.
        var flightBefore = 0
        /// Of the latest fragment sent once, in nanoseconds: of every SACK.
        var latestRoundTrip: Int64?
        /// The same once per round trip, for the timeout (RFC 9260 §6.3.1 C4).
        var roundTrip: Int64?
        /// Bytes newly thought lost.
        var bytesLost = 0
    }

    /// The highest multiplier of the reordering window.
    private static let maxReorderingSteps = 16

    private var fragments = RingBuffer(
        filler: Fragment(sentAt: .zero, message: -1, offset: 0, number: 0, length: 0, flags: []))
    private var retransmissionQueue = RingBuffer(filler: TSN(initial: 0))
    /// The blocks of the last SACK: what they cover need not be looked at again.
    private var knownBlocks: [TSNBlock] = []
    private var blocks: [TSNBlock] = []
    /// A round trip is measured by fragments from this number on: once per round trip.
    private var measureFrom: TSN
    /// What was sent before took another path, or was held up where this one was cut.
    private var pathFrom: TSN
    private let packetSize: Int

    // RACK (RFC 8985 §5.2, §6.2).
    /// When the latest fragment that has arrived was sent, and how long its acknowledgement took.
    private var latestSent: Instant?
    private var latestRoundTrip: Int64 = 0
    private var shortestRoundTrip: Int64 = 0
    private var smoothedRoundTrip: Int64 = 0
    /// The highest number that has arrived.
    private var highestAcked: TSN
    /// A fragment arrived after later ones, without having been sent again.
    private(set) var hasSeenReordering = false
    /// The reordering window in quarters of the shortest round trip; grows with proof that it was too short.
    private var reorderingSteps = 1

    /// All numbers up to this one are acknowledged.
    private(set) var cumulative: TSN
    /// Bytes in flight as chunks, headers included.
    private(set) var flightBytes = 0
    /// Bytes in flight as user data: what the peer's window counts.
    private(set) var flightPayload = 0
    /// Fragments in the retransmission queue.
    private(set) var lostCount = 0
    /// When fragments sent before something that has arrived are to be called lost; `nil` if there are none.
    private(set) var reorderingDeadline: Instant?
    /// A message was given up since the owner last looked.
    var didAbandon = false
    /// Whether the peer can be told to skip; if not, limits are ignored and everything is sent until it arrives.
    var mayAbandon = true
    /// Whether fragments leave as I-DATA.
    var isInterleaved = false

    init(initialTSN: UInt32, packetSize: Int = 1188) {
        cumulative = TSN(initial: initialTSN) - 1
        measureFrom = cumulative.next
        pathFrom = cumulative.next
        highestAcked = cumulative
        self.packetSize = packetSize
    }

    /// The number of the next new fragment.
    var nextTSN: TSN { cumulative + (fragments.count + 1) }

    /// Whether nothing waits for the peer.
    var isEmpty: Bool { fragments.isEmpty }

    /// How many fragments wait for the peer.
    var count: Int { fragments.count }

    /// Records a fragment that is being sent for the first time.
    mutating func append(_ piece: SendQueue.Piece, now: Instant) -> TSN {
        let tsn = nextTSN
        fragments.append(
            Fragment(
                sentAt: now, message: piece.message, offset: piece.offset, number: piece.number,
                length: Int32(piece.length), flags: piece.flags))
        flightBytes += size(piece.length)
        flightPayload += piece.length
        return tsn
    }

    /// What a fragment counts in the congestion window.
    private func size(_ length: Int) -> Int { DataChunk.size(payload: length, isInterleaved: isInterleaved) }

    private func size(at position: Int) -> Int { size(Int(fragments[position].length)) }

    // MARK: Acknowledgement

    /// Follows a SACK.
    ///
    /// - Parameters:
    ///   - isInRecovery: whether earlier losses are being repaired: then the order of arrival is trusted less.
    ///   - estimator: the round trips known before this SACK.
    /// - Returns: `nil` when it acknowledges what was never sent, or is older than one seen before.
    mutating func acknowledge(
        _ sack: SackChunk, isInRecovery: Bool, estimator: RoundTripEstimator, queue: inout SendQueue, now: Instant
    ) -> Acknowledgement? {
        let newCumulative = TSN(sack.cumulative, near: cumulative)
        guard newCumulative >= cumulative, newCumulative < nextTSN else { return nil }
        var result = Acknowledgement(flightBefore: flightBytes)
        var evidence = Evidence(shortestRoundTrip: estimator.shortestNanoseconds)
        shortestRoundTrip = estimator.shortestNanoseconds
        smoothedRoundTrip = estimator.smoothedNanoseconds
        let highest = nextTSN - 1

        result.cumulativeAdvanced = newCumulative > cumulative
        while cumulative < newCumulative, let fragment = fragments.popFirst() {
            cumulative = cumulative.next
            if fragment.phase == .inFlight || fragment.phase == .lost {
                settle(fragment, result: &result)
                note(fragment, tsn: cumulative, evidence: &evidence, now: now)
            }
            queue.settle(fragment.message)
        }
        if fragments.isEmpty { retransmissionQueue.removeAll() }

        if !sack.gaps.isEmpty || !knownBlocks.isEmpty {
            readBlocks(of: sack, highest: highest)
            acknowledgeBlocks(result: &result, evidence: &evidence, now: now)
            swap(&knownBlocks, &blocks)
        }
        if let highestNew = evidence.highest {
            highestAcked = max(highestAcked, highestNew)
            if let sent = evidence.latestSent, sent >= latestSent ?? sent {
                latestSent = sent
                latestRoundTrip = now.nanoseconds(since: sent)
            }
        }
        reorderingDeadline = nil
        if !fragments.isEmpty, highestAcked > cumulative {
            result.bytesLost = detectLosses(
                newlyAcked: evidence.highest, isInRecovery: isInRecovery, advanced: result.cumulativeAdvanced,
                queue: &queue, now: now)
        }
        // What was sent once may have arrived long ago, and only the answer to the repetition tells of it: an
        // acknowledgement of both measures nothing.
        if let measured = evidence.measurable, !evidence.coversRetransmission {
            result.latestRoundTrip = now.nanoseconds(since: measured.sentAt)
            if measured.tsn >= measureFrom {
                result.roundTrip = result.latestRoundTrip
                measureFrom = nextTSN
            }
        }
        return result
    }

    /// What newly acknowledged fragments say about the path.
    private struct Evidence {
        var shortestRoundTrip: Int64
        var highest: TSN?
        /// The latest moment at which something arrived was sent.
        var latestSent: Instant?
        /// The highest one that was sent only once.
        var measurable: (tsn: TSN, sentAt: Instant)?
        /// One of them was sent more than once.
        var coversRetransmission = false

        mutating func note(_ sent: Instant) { latestSent = max(latestSent ?? sent, sent) }
    }

    private mutating func note(_ fragment: Fragment, tsn: TSN, evidence: inout Evidence, now: Instant) {
        evidence.highest = tsn
        if fragment.transmissions == 1 {
            if tsn >= pathFrom { evidence.measurable = (tsn, fragment.sentAt) }
            if tsn < highestAcked, fragment.phase == .inFlight { hasSeenReordering = true }
            evidence.note(fragment.sentAt)
            return
        }
        evidence.coversRetransmission = true
        if now.nanoseconds(since: fragment.sentAt) < evidence.shortestRoundTrip {
            // An answer sooner than any round trip is to the first sending, not to the last.
            return
        }
        evidence.note(fragment.sentAt)
    }

    /// The blocks that make sense: in order, above the cumulative number, not beyond what was sent.
    private mutating func readBlocks(of sack: SackChunk, highest: TSN) {
        blocks.removeAll(keepingCapacity: true)
        var floor = cumulative
        for gap in sack.gaps {
            let block = TSNBlock(first: cumulative + Int(gap.first), last: cumulative + Int(gap.last))
            guard block.first > floor, block.last >= block.first, block.last <= highest else { break }
            blocks.append(block)
            floor = block.last
        }
    }

    private mutating func acknowledgeBlocks(result: inout Acknowledgement, evidence: inout Evidence, now: Instant) {
        var known = 0
        for block in blocks {
            var tsn = block.first
            while tsn <= block.last {
                while known < knownBlocks.count, knownBlocks[known].last < tsn { known += 1 }
                if known < knownBlocks.count, knownBlocks[known].first <= tsn {
                    tsn = knownBlocks[known].last.next
                    continue
                }
                let position = position(of: tsn)
                let fragment = fragments[position]
                if fragment.phase == .inFlight || fragment.phase == .lost {
                    settle(fragment, result: &result)
                    note(fragment, tsn: tsn, evidence: &evidence, now: now)
                    fragments[position].phase = .acknowledged
                }
                tsn = tsn.next
            }
        }
    }

    /// Takes an arrived fragment out of the accounts.
    private mutating func settle(_ fragment: Fragment, result: inout Acknowledgement) {
        let bytes = size(Int(fragment.length))
        result.bytesAcked += bytes
        if fragment.phase == .inFlight {
            flightBytes -= bytes
            flightPayload -= Int(fragment.length)
        } else {
            lostCount -= 1
        }
    }

    // MARK: Loss

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
    private mutating func detectLosses(
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

    // MARK: Partial reliability

    /// Gives up the message at `place`, of which a part was sent and whose lifetime has ended.
    mutating func abandonStarted(_ place: Int, queue: inout SendQueue, now: Instant) {
        var position = fragments.count - 1
        while position >= 0, fragments[position].message != place { position -= 1 }
        if position >= 0 {
            abandonMessage(at: position, queue: &queue, now: now)
        } else {
            // All fragments sent so far are acknowledged and gone: the end still needs a number.
            appendAbandonedEnd(of: place, queue: &queue, now: now)
        }
    }

    /// Gives up a whole message: all its fragments, and if a rest was not sent, one more number that stands for it,
    /// so that the skip covers the message to its end.
    private mutating func abandonMessage(at position: Int, queue: inout SendQueue, now: Instant) {
        let place = fragments[position].message
        var left = queue[place].outstanding
        // Its fragments lie around this one, side by side unless messages interleave.
        var index = position
        while index >= 0, left > 0 {
            if fragments[index].message == place {
                abandonFragment(at: index)
                left -= 1
                if fragments[index].flags.contains(.begin) { break }
            }
            index -= 1
        }
        index = position + 1
        while index < fragments.count, left > 0 {
            if fragments[index].message == place {
                abandonFragment(at: index)
                left -= 1
            }
            index += 1
        }
        appendAbandonedEnd(of: place, queue: &queue, now: now)
    }

    private mutating func abandonFragment(at position: Int) {
        switch fragments[position].phase {
        case .inFlight:
            flightBytes -= size(at: position)
            flightPayload -= Int(fragments[position].length)
        case .lost: lostCount -= 1
        case .acknowledged, .abandoned: break
        }
        fragments[position].phase = .abandoned
    }

    private mutating func appendAbandonedEnd(of place: Int, queue: inout SendQueue, now: Instant) {
        didAbandon = true
        guard let end = queue.abandon(place) else { return }
        fragments.append(
            Fragment(
                sentAt: now, message: place, offset: end.offset, number: end.number, length: 0, transmissions: 0,
                flags: end.flags, phase: .abandoned))
    }

    /// What to tell the peer to skip; `nil` when nothing was given up right after the cumulative number
    /// (RFC 3758 §3.5 C2–C4, RFC 8260 §2.3.1).
    ///
    /// - Parameter maxStreams: how many entries fit the packet; the skip ends before the message that would need more.
    func makeForwardTSN(maxStreams: Int, queue: borrowing SendQueue) -> ForwardTSNChunk? {
        var chunk = ForwardTSNChunk(cumulative: cumulative.wire, isInterleaved: isInterleaved)
        var position = 0
        while position < fragments.count, fragments[position].phase == .abandoned {
            let place = fragments[position].message
            let stream = queue[place].stream
            let isUnordered = queue[place].isUnordered
            if isInterleaved || !isUnordered {
                let sequence = queue[place].sequence
                if let index = chunk.skipped.lastIndex(where: {
                    $0.stream == stream && $0.isUnordered == isUnordered
                }) {
                    let known = chunk.skipped[index].sequence
                    // Fragments of several messages of a stream come in any order only if it has both kinds.
                    if requestSequence(known, precedes: sequence) || !isInterleaved {
                        chunk.skipped[index].sequence = sequence
                    }
                } else if chunk.skipped.count < maxStreams {
                    chunk.skipped.append(
                        ForwardTSNChunk.Skip(stream: stream, sequence: sequence, isUnordered: isUnordered))
                } else {
                    break
                }
            }
            position += 1
        }
        guard position > 0 else { return nil }
        chunk.cumulative = (cumulative + position).wire
        return chunk
    }

    /// Whether the fragment after the cumulative number was given up.
    var awaitsForwardTSN: Bool { fragments.first?.phase == .abandoned }

    private func position(of tsn: TSN) -> Int { tsn - cumulative - 1 }
}
