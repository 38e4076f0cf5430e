import SwarmBase

/// Fragments that were sent and that the peer's cumulative number has not passed, in the order of their numbers.
struct OutstandingData: Sendable {
    /// What a fragment waits for.
    enum Phase: Equatable, Sendable {
        case inFlight
        /// Thought lost; stands in the retransmission queue.
        case lost
        /// Reported above a gap.
        case acknowledged
        /// Given up together with its whole message (RFC 3758 §3.5).
        case abandoned
    }

    /// One fragment.
    struct Fragment: Sendable {
        var message: OutgoingMessage
        var range: Range<Int>
        var flags: DataChunk.Flags
        var phase = Phase.inFlight
        var transmissions = 1
        /// SACKs that reported it missing (RFC 9260 §7.2.4).
        var missingReports = 0
        var sentAt: Instant

        /// What it counts in the congestion window.
        var size: Int { DataChunk.size(payload: range.count) }
    }

    /// What a SACK told.
    struct Acknowledgement: Equatable, Sendable {
        var cumulativeAdvanced = false
        var bytesAcked = 0
        /// What was in flight before.
        var flightBefore = 0
        var roundTrip: Duration?
        /// Fragments newly thought lost.
        var losses = 0
    }

    private var fragments = RingBuffer(
        filler: Fragment(message: .filler, range: 0..<0, flags: [], sentAt: .zero))
    private var retransmissionQueue = RingBuffer(filler: TSN(initial: 0))
    /// The blocks of the last SACK: what they cover need not be looked at again.
    private var knownBlocks: [TSNBlock] = []
    /// A round trip is measured by fragments from this number on: once per round trip.
    private var measureFrom: TSN

    /// All numbers up to this one are acknowledged.
    private(set) var cumulative: TSN
    /// Bytes in flight as chunks, headers included.
    private(set) var flightBytes = 0
    /// Bytes in flight as user data: what the peer's window counts.
    private(set) var flightPayload = 0
    /// Fragments in the retransmission queue.
    private(set) var lostCount = 0
    /// A message was given up since the owner last looked.
    var didAbandon = false
    /// Whether the peer can be told to skip; if not, limits are ignored and everything is sent until it arrives.
    var mayAbandon = true

    init(initialTSN: UInt32) {
        cumulative = TSN(initial: initialTSN) - 1
        measureFrom = cumulative.next
    }

    /// The number of the next new fragment.
    var nextTSN: TSN { cumulative + (fragments.count + 1) }

    /// Whether nothing waits for the peer.
    var isEmpty: Bool { fragments.isEmpty }

    /// How many fragments wait for the peer.
    var count: Int { fragments.count }

    /// Records a fragment that is being sent for the first time.
    mutating func append(_ fragment: SendQueue.Fragment, now: Instant) -> TSN {
        let tsn = nextTSN
        let entry = Fragment(message: fragment.message, range: fragment.range, flags: fragment.flags, sentAt: now)
        fragments.append(entry)
        flightBytes += entry.size
        flightPayload += entry.range.count
        return tsn
    }

    // MARK: Acknowledgement

    /// Follows a SACK.
    ///
    /// - Returns: `nil` when it acknowledges what was never sent, or is older than one seen before.
    mutating func acknowledge(
        _ sack: SackChunk, countsAllMissing: Bool, reorderingWindow: Duration?, shortestRoundTrip: Duration?,
        queue: inout SendQueue, now: Instant
    ) -> Acknowledgement? {
        let newCumulative = TSN(sack.cumulative, near: cumulative)
        guard newCumulative >= cumulative, newCumulative < nextTSN else { return nil }
        var result = Acknowledgement(flightBefore: flightBytes)
        var evidence = Evidence()
        let highest = nextTSN - 1

        result.cumulativeAdvanced = newCumulative > cumulative
        while cumulative < newCumulative, let fragment = fragments.popFirst() {
            cumulative = cumulative.next
            if fragment.phase == .inFlight || fragment.phase == .lost {
                settle(fragment, result: &result)
                evidence.note(fragment, tsn: cumulative, now: now, shortestRoundTrip: shortestRoundTrip)
            }
            queue.settle(slot: fragment.message.slot)
        }
        if fragments.isEmpty { retransmissionQueue.removeAll() }

        let blocks = Self.blocks(of: sack, cumulative: cumulative, highest: highest)
        acknowledge(blocks, result: &result, evidence: &evidence, shortestRoundTrip: shortestRoundTrip, now: now)
        knownBlocks = blocks

        // §7.2.4: only what is below the highest number newly acknowledged is reported missing, except that in fast
        // recovery an advance of the cumulative number counts for all.
        var limit = evidence.highest
        if countsAllMissing, result.cumulativeAdvanced { limit = blocks.last?.last ?? limit }
        if let limit, let first = blocks.first, limit >= first.first {
            let latest = reorderingWindow.flatMap { window in evidence.latestSent.map { $0 - window } }
            result.losses = countMissing(
                below: limit, blocks: blocks, sentBefore: latest, queue: &queue, now: now)
        }
        if let measured = evidence.measurable, measured.tsn >= measureFrom {
            result.roundTrip = now - measured.sentAt
            measureFrom = nextTSN
        }
        return result
    }

    /// What newly acknowledged fragments say about the path.
    private struct Evidence {
        var highest: TSN?
        /// The latest moment at which something arrived was sent.
        var latestSent: Instant?
        /// The highest one that was sent only once.
        var measurable: (tsn: TSN, sentAt: Instant)?

        mutating func note(_ fragment: Fragment, tsn: TSN, now: Instant, shortestRoundTrip: Duration?) {
            highest = tsn
            if fragment.transmissions == 1 { measurable = (tsn, fragment.sentAt) }
            // An answer sooner than any round trip is to the first sending, not to the last.
            let isAmbiguous = fragment.transmissions > 1 && now - fragment.sentAt < (shortestRoundTrip ?? .zero)
            if !isAmbiguous { latestSent = max(latestSent ?? fragment.sentAt, fragment.sentAt) }
        }
    }

    /// The blocks that make sense: in order, above the cumulative number, not beyond what was sent.
    private static func blocks(of sack: SackChunk, cumulative: TSN, highest: TSN) -> [TSNBlock] {
        guard !sack.gaps.isEmpty else { return [] }
        var blocks: [TSNBlock] = []
        blocks.reserveCapacity(sack.gaps.count)
        var floor = cumulative
        for gap in sack.gaps {
            let block = TSNBlock(first: cumulative + Int(gap.first), last: cumulative + Int(gap.last))
            guard block.first > floor, block.last >= block.first, block.last <= highest else { break }
            blocks.append(block)
            floor = block.last
        }
        return blocks
    }

    private mutating func acknowledge(
        _ blocks: [TSNBlock], result: inout Acknowledgement, evidence: inout Evidence, shortestRoundTrip: Duration?,
        now: Instant
    ) {
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
                let phase = fragments[position].phase
                if phase == .inFlight || phase == .lost {
                    settle(fragments[position], result: &result)
                    evidence.note(fragments[position], tsn: tsn, now: now, shortestRoundTrip: shortestRoundTrip)
                    fragments[position].phase = .acknowledged
                }
                tsn = tsn.next
            }
        }
    }

    /// Takes an arrived fragment out of the accounts.
    private mutating func settle(_ fragment: Fragment, result: inout Acknowledgement) {
        result.bytesAcked += fragment.size
        if fragment.phase == .inFlight {
            flightBytes -= fragment.size
            flightPayload -= fragment.range.count
        } else {
            lostCount -= 1
        }
    }

    /// Counts a miss for the fragments in the gaps, and calls those lost that were missed three times or that were
    /// sent clearly before something that has arrived (the time rule of RFC 8985 §6.2, which also finds lost
    /// retransmissions and, after a probe, a lost tail).
    private mutating func countMissing(
        below limit: TSN, blocks: [TSNBlock], sentBefore: Instant?, queue: inout SendQueue, now: Instant
    ) -> Int {
        var losses = 0
        var tsn = cumulative.next
        for block in blocks {
            while tsn < block.first, tsn < limit {
                let position = position(of: tsn)
                if fragments[position].phase == .inFlight {
                    // A retransmission is judged by time only: SACKs of older packets say nothing about it.
                    if fragments[position].transmissions == 1 { fragments[position].missingReports += 1 }
                    let isLate = sentBefore.map { fragments[position].sentAt < $0 } ?? false
                    if fragments[position].missingReports == 3 || isLate {
                        losses += 1
                        lose(tsn, queue: &queue, now: now)
                    }
                }
                tsn = tsn.next
            }
            guard block.last < limit else { break }
            tsn = block.last.next
        }
        return losses
    }

    // MARK: Loss

    /// Thinks a fragment in flight lost: it is queued to be sent again, or given up when its message may not be.
    private mutating func lose(_ tsn: TSN, queue: inout SendQueue, now: Instant) {
        let position = position(of: tsn)
        flightBytes -= fragments[position].size
        flightPayload -= fragments[position].range.count
        fragments[position].phase = .lost
        lostCount += 1
        if isSpent(fragments[position], now: now) {
            abandonMessage(at: position, queue: &queue, now: now)
        } else {
            retransmissionQueue.append(tsn)
        }
    }

    private func isSpent(_ fragment: Fragment, now: Instant) -> Bool {
        guard mayAbandon else { return false }
        if let limit = fragment.message.maxRetransmits, fragment.transmissions > Int(limit) { return true }
        return fragment.message.isExpired(at: now)
    }

    /// The timer expired, or the path changed: everything in flight is thought lost (RFC 9260 §6.3.3 E3), and so is
    /// what the last SACK no longer reports.
    mutating func loseAll(queue: inout SendQueue, now: Instant) {
        retransmissionQueue.removeAll()
        var known = 0
        var position = 0
        while position < fragments.count {
            let tsn = cumulative + (position + 1)
            while known < knownBlocks.count, knownBlocks[known].last < tsn { known += 1 }
            let isReported = known < knownBlocks.count && knownBlocks[known].first <= tsn
            switch fragments[position].phase {
            case .inFlight: lose(tsn, queue: &queue, now: now)
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

    /// Queues the last fragment in flight again, to make the peer tell what is missing (RFC 8985 §7).
    ///
    /// - Returns: whether there was one that may be sent again.
    mutating func probe(queue: inout SendQueue, now: Instant) -> Bool {
        var position = fragments.count - 1
        while position >= 0, fragments[position].phase != .inFlight { position -= 1 }
        // Where retransmissions are counted a probe would use one up without evidence of a loss.
        guard position >= 0, fragments[position].message.maxRetransmits == nil else { return false }
        lose(cumulative + (position + 1), queue: &queue, now: now)
        return lostCount > 0
    }

    /// The length of the fragment to be sent again next; 0 when none waits.
    var firstLostLength: Int {
        guard let tsn = retransmissionQueue.first, tsn > cumulative else { return 0 }
        return fragments[position(of: tsn)].range.count
    }

    /// Whether the oldest fragment is larger than `window`.
    func isHeldBack(byWindow window: Int) -> Bool {
        guard let first = fragments.first else { return false }
        return first.range.count > window
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
            if isSpent(fragments[position], now: now) {
                _ = retransmissionQueue.popFirst()
                abandonMessage(at: position, queue: &queue, now: now)
                continue
            }
            guard fragments[position].size <= room else { return nil }
            _ = retransmissionQueue.popFirst()
            fragments[position].phase = .inFlight
            fragments[position].transmissions += 1
            fragments[position].missingReports = 0
            fragments[position].sentAt = now
            lostCount -= 1
            flightBytes += fragments[position].size
            flightPayload += fragments[position].range.count
            return (tsn, fragments[position])
        }
        return nil
    }

    // MARK: Partial reliability

    /// Gives up the message of which a part was sent and whose lifetime has ended.
    mutating func abandonServed(queue: inout SendQueue, now: Instant) {
        guard let id = queue.servedMessageID, let last = fragments.last, last.message.id == id else {
            // All fragments sent so far are acknowledged and gone: the end still needs a number.
            appendAbandonedEnd(queue: &queue, now: now)
            return
        }
        abandonMessage(at: fragments.count - 1, queue: &queue, now: now)
    }

    /// Gives up a whole message: all its fragments, and if a rest was not sent, one more number that stands for it,
    /// so that the skip covers the message to its end.
    private mutating func abandonMessage(at position: Int, queue: inout SendQueue, now: Instant) {
        let id = fragments[position].message.id
        var index = position
        while index > 0, fragments[index - 1].message.id == id { index -= 1 }
        while index < fragments.count, fragments[index].message.id == id {
            switch fragments[index].phase {
            case .inFlight:
                flightBytes -= fragments[index].size
                flightPayload -= fragments[index].range.count
            case .lost: lostCount -= 1
            case .acknowledged, .abandoned: break
            }
            fragments[index].phase = .abandoned
            index += 1
        }
        if queue.servedMessageID == id { appendAbandonedEnd(queue: &queue, now: now) }
        didAbandon = true
    }

    private mutating func appendAbandonedEnd(queue: inout SendQueue, now: Instant) {
        guard let id = queue.servedMessageID, let message = queue.discardRest(of: id) else { return }
        let end = message.payload.count
        fragments.append(
            Fragment(
                message: message, range: end..<end, flags: message.isUnordered ? [.end, .unordered] : .end,
                phase: .abandoned, transmissions: 0, sentAt: now))
        didAbandon = true
    }

    /// What to tell the peer to skip; `nil` when nothing was given up right after the cumulative number
    /// (RFC 3758 §3.5, C2–C4).
    ///
    /// - Parameter maxStreams: how many streams fit the packet; the skip ends before the message that would need more.
    func makeForwardTSN(maxStreams: Int) -> ForwardTSNChunk? {
        var chunk = ForwardTSNChunk(cumulative: cumulative.wire)
        var position = 0
        while position < fragments.count, fragments[position].phase == .abandoned {
            let message = fragments[position].message
            if !message.isUnordered {
                if let index = chunk.skipped.lastIndex(where: { $0.stream == message.stream }) {
                    chunk.skipped[index].streamSequence = message.streamSequence
                } else if chunk.skipped.count < maxStreams {
                    chunk.skipped.append(
                        ForwardTSNChunk.Skip(stream: message.stream, streamSequence: message.streamSequence))
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
