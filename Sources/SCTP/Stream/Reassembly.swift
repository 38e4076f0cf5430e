import SwarmBase

/// Puts fragments together and orderly messages in order (RFC 9260 §6.5, §6.9; RFC 8260 §2.2.3).
///
/// Fragments of a message in DATA chunks have consecutive numbers. So what is incomplete is kept as *runs*: stretches of
/// consecutive fragments of one message, sorted by number; a gap that closes joins two of them. I-DATA says where each
/// fragment belongs; ``InterleavedReassembly`` keeps those.
struct Reassembly: Sendable {
    /// What became of a fragment.
    enum Outcome: Equatable, Sendable {
        case accepted
        /// The message grew beyond the limit: the association cannot go on (section 6.9 leaves the sender no way out).
        case messageTooLarge
    }

    private struct Run: Sendable {
        var first: TSN
        /// The number that would continue the run.
        var next: TSN
        var begins: Bool
        var ends: Bool
        var isUnordered: Bool
        var stream: UInt16
        var sequence: UInt32
        var payloadProtocol: UInt32
        var pieces: PayloadPieces

        /// Whether `other`, which starts where this one stops, is of the same message.
        func continues(into other: Run) -> Bool {
            next == other.first && !ends && !other.begins && stream == other.stream
                && isUnordered == other.isUnordered && (isUnordered || sequence == other.sequence)
        }

        /// The same of a fragment.
        func continues(into chunk: DataChunk, tsn: TSN) -> Bool {
            next == tsn && !ends && !chunk.flags.contains(.begin) && stream == chunk.stream
                && isUnordered == chunk.flags.contains(.unordered) && (isUnordered || sequence == chunk.sequence)
        }
    }

    /// More than this is tolerated beyond the limit: one packet.
    static let tolerance = 1200

    private var runs: [Run] = []
    private var interleaved: InterleavedReassembly
    private var ordered = OrderedDelivery()
    private let maxMessageSize: Int
    private var runBytes = 0
    /// The last fragmented message's size: the next one may be like it.
    private var hint = 0

    /// Payload bytes kept here.
    var heldBytes: Int { runBytes + interleaved.heldBytes + ordered.heldBytes }
    /// Runs and waiting messages kept here: each costs memory beside its payload.
    var heldItems: Int { runs.count + interleaved.heldItems + ordered.heldItems }
    /// Stretches of incomplete messages kept here.
    var runCount: Int { runs.count + interleaved.heldItems }

    /// - Parameter maxMessageSize: the limit announced to the peer; one packet more is tolerated.
    init(maxMessageSize: Int) {
        self.maxMessageSize = maxMessageSize
        interleaved = InterleavedReassembly(maxMessageSize: maxMessageSize)
    }

    /// Takes one fragment that is new by its number, and delivers the messages it completes.
    mutating func add(
        _ chunk: DataChunk, tsn: TSN, in packet: [UInt8], to inbox: inout Inbox
    ) -> Outcome {
        let isUnordered = chunk.flags.contains(.unordered)
        if chunk.flags.isSuperset(of: [.begin, .end]) {
            guard chunk.payload.count <= maxMessageSize + Self.tolerance else { return .messageTooLarge }
            let message = ReceivedMessage(
                stream: chunk.stream, payloadProtocol: chunk.payloadProtocol, payload: Array(packet[chunk.payload]))
            if isUnordered {
                inbox.deliver(message)
            } else {
                ordered.deliver(
                    message, sequence: chunk.sequence, isInterleaved: chunk.isInterleaved, to: &inbox)
            }
            return .accepted
        }
        if chunk.isInterleaved {
            // What was skipped comes too late.
            if !isUnordered, ordered.hasPassed(chunk.sequence, of: chunk.stream) { return .accepted }
            switch interleaved.add(chunk, in: packet) {
            case .incomplete: return .accepted
            case .tooLarge: return .messageTooLarge
            case .complete(let message):
                if isUnordered {
                    inbox.deliver(message)
                } else {
                    ordered.deliver(message, sequence: chunk.sequence, isInterleaved: true, to: &inbox)
                }
                return .accepted
            }
        }
        return addRun(chunk, tsn: tsn, in: packet, to: &inbox)
    }

    private mutating func addRun(
        _ chunk: DataChunk, tsn: TSN, in packet: [UInt8], to inbox: inout Inbox
    ) -> Outcome {
        var index = position(of: tsn)
        if index > 0, runs[index - 1].continues(into: chunk, tsn: tsn) {
            index -= 1
            runs[index].pieces.append(packet, chunk.payload)
            runs[index].next = tsn.next
            runs[index].ends = chunk.flags.contains(.end)
        } else {
            let begins = chunk.flags.contains(.begin)
            runs.insert(
                Run(
                    first: tsn, next: tsn.next, begins: begins, ends: chunk.flags.contains(.end),
                    isUnordered: chunk.flags.contains(.unordered), stream: chunk.stream, sequence: chunk.sequence,
                    payloadProtocol: chunk.payloadProtocol,
                    // Many beginnings at once are not a usual sender's; they get no more than they bring.
                    pieces: PayloadPieces(packet, chunk.payload, hint: begins && runs.count < 4 ? hint : 0)),
                at: index)
        }
        runBytes += chunk.payload.count
        if index + 1 < runs.count, runs[index].continues(into: runs[index + 1]) {
            let upper = runs.remove(at: index + 1)
            runs[index].next = upper.next
            runs[index].ends = upper.ends
            runs[index].pieces.append(upper.pieces)
        }
        let size = runs[index].pieces.count
        guard size <= maxMessageSize + Self.tolerance else { return .messageTooLarge }
        guard runs[index].begins, runs[index].ends else { return .accepted }
        let run = runs.remove(at: index)
        runBytes -= size
        hint = size
        let message = ReceivedMessage(
            stream: run.stream, payloadProtocol: run.payloadProtocol, payload: run.pieces.joined())
        if run.isUnordered {
            inbox.deliver(message)
        } else {
            ordered.deliver(message, sequence: run.sequence, isInterleaved: false, to: &inbox)
        }
        return .accepted
    }

    /// Follows a FORWARD-TSN or I-FORWARD-TSN: throws away what belongs to given-up messages and lets those behind them
    /// go (RFC 3758 §3.6, RFC 8260 §2.3.1).
    mutating func skip(to cumulative: TSN, chunk: ForwardTSNChunk, to inbox: inout Inbox) {
        var count = 0
        while count < runs.count, runs[count].first <= cumulative {
            runBytes -= runs[count].pieces.count
            count += 1
        }
        runs.removeFirst(count)
        for skip in chunk.skipped {
            if chunk.isInterleaved { interleaved.skip(skip) }
            guard !skip.isUnordered else { continue }
            ordered.skip(
                stream: skip.stream, sequence: skip.sequence, isInterleaved: chunk.isInterleaved, to: &inbox)
        }
    }

    /// Drops runs that can never be completed, because the numbers around them arrived as something else.
    mutating func dropOrphans(cumulative: TSN) {
        while let first = runs.first {
            let isOpenAbove = !first.ends && first.next > cumulative
            let isOpenBelow = !first.begins && first.first - 1 > cumulative
            if isOpenAbove || isOpenBelow { return }
            runBytes -= first.pieces.count
            runs.removeFirst()
        }
    }

    /// Starts streams again at sequence 0 and drops what was left of them; `nil` means all (RFC 6525 §5.2.2).
    mutating func reset(_ streams: [UInt16]?) {
        guard let streams else {
            ordered.resetAll()
            interleaved.resetAll()
            runs = []
            runBytes = 0
            return
        }
        for stream in streams {
            ordered.reset(stream)
            interleaved.reset(stream)
        }
        guard !runs.isEmpty else { return }
        let closed = Set(streams)
        for run in runs where closed.contains(run.stream) { runBytes -= run.pieces.count }
        runs.removeAll { closed.contains($0.stream) }
    }

    /// Where a run that starts at `tsn` belongs.
    private func position(of tsn: TSN) -> Int {
        // Almost always at the end.
        if let last = runs.last, last.first < tsn { return runs.count }
        return runs.partitioningIndex { $0.first >= tsn }
    }
}
