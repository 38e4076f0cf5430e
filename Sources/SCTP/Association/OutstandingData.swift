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

    var fragments = RingBuffer(
        filler: Fragment(sentAt: .zero, message: -1, offset: 0, number: 0, length: 0, flags: []))
    var retransmissionQueue = RingBuffer(filler: TSN(initial: 0))
    /// The blocks of the last SACK: what they cover need not be looked at again.
    var knownBlocks: [TSNBlock] = []
    private var blocks: [TSNBlock] = []
    /// A round trip is measured by fragments from this number on: once per round trip.
    private var measureFrom: TSN
    /// What was sent before took another path, or was held up where this one was cut.
    var pathFrom: TSN
    let packetSize: Int

    // RACK (RFC 8985 §5.2, §6.2).
    /// When the latest fragment that has arrived was sent, and how long its acknowledgement took.
    var latestSent: Instant?
    var latestRoundTrip: Int64 = 0
    var shortestRoundTrip: Int64 = 0
    var smoothedRoundTrip: Int64 = 0
    /// The highest number that has arrived.
    var highestAcked: TSN
    /// A fragment arrived after later ones, without having been sent again.
    var hasSeenReordering = false
    /// The reordering window in quarters of the shortest round trip; grows with proof that it was too short.
    var reorderingSteps = 1

    /// All numbers up to this one are acknowledged.
    private(set) var cumulative: TSN
    /// Bytes in flight as chunks, headers included.
    var flightBytes = 0
    /// Bytes in flight as user data: what the peer's window counts.
    var flightPayload = 0
    /// Fragments in the retransmission queue.
    var lostCount = 0
    /// When fragments sent before something that has arrived are to be called lost; `nil` if there are none.
    var reorderingDeadline: Instant?
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

    /// The same of a fragment that is there.
    func size(at position: Int) -> Int { size(Int(fragments[position].length)) }

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

    /// Where a fragment lies.
    func position(of tsn: TSN) -> Int { tsn - cumulative - 1 }
}
