/// A whole message that arrived.
struct ReceivedMessage: Equatable, Sendable {
    var stream: UInt16
    var payloadProtocol: UInt32
    var payload: [UInt8]
}

/// Puts fragments together and orderly messages in order (RFC 9260 §6.5, §6.9).
///
/// Fragments of a message have consecutive numbers. So what is incomplete is kept as *runs*: stretches of consecutive
/// fragments of one message, sorted by number. A fragment that follows a run is appended to it; one that precedes
/// a run starts its own, so no order of arrival makes bytes move more than twice.
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
        var streamSequence: UInt16
        var payloadProtocol: UInt32
        var bytes: [UInt8]

        /// Whether `other`, which starts where this one stops, is of the same message.
        func continues(into other: Run) -> Bool {
            next == other.first && !ends && !other.begins && stream == other.stream
                && isUnordered == other.isUnordered && (isUnordered || streamSequence == other.streamSequence)
        }
    }

    private struct OrderedStream: Sendable {
        var nextSequence: UInt16 = 0
        /// Whole messages that wait for earlier ones.
        var held: [UInt16: ReceivedMessage] = [:]
    }

    private var runs: [Run] = []
    private var ordered: [UInt16: OrderedStream] = [:]
    private let maxMessageSize: Int

    /// Payload bytes kept here.
    private(set) var heldBytes = 0
    /// Runs and waiting messages kept here: each costs memory beside its payload.
    private(set) var heldItems = 0

    /// Stretches of incomplete messages kept here.
    var runCount: Int { runs.count }

    /// - Parameter maxMessageSize: the limit announced to the peer; one packet more is tolerated.
    init(maxMessageSize: Int) {
        self.maxMessageSize = maxMessageSize
    }

    /// Takes one fragment that is new by its number, and appends the messages it completes to `ready`.
    mutating func add(
        _ chunk: DataChunk, tsn: TSN, in packet: [UInt8], ready: inout [ReceivedMessage]
    ) -> Outcome {
        let begins = chunk.flags.contains(.begin)
        let ends = chunk.flags.contains(.end)
        let isUnordered = chunk.flags.contains(.unordered)
        if begins, ends {
            let message = ReceivedMessage(
                stream: chunk.stream, payloadProtocol: chunk.payloadProtocol, payload: Array(packet[chunk.payload]))
            guard message.payload.count <= maxMessageSize + 1200 else { return .messageTooLarge }
            deliver(message, sequence: isUnordered ? nil : chunk.streamSequence, ready: &ready)
            return .accepted
        }
        let position = position(of: tsn)
        var changed: Int
        if position > 0, runs[position - 1].next == tsn, !begins, !runs[position - 1].ends,
            runs[position - 1].stream == chunk.stream, runs[position - 1].isUnordered == isUnordered,
            isUnordered || runs[position - 1].streamSequence == chunk.streamSequence
        {
            changed = position - 1
            runs[changed].bytes.append(contentsOf: packet[chunk.payload])
            runs[changed].next = tsn.next
            runs[changed].ends = ends
            if position < runs.count, runs[changed].continues(into: runs[position]) {
                runs[changed].bytes.append(contentsOf: runs[position].bytes)
                runs[changed].next = runs[position].next
                runs[changed].ends = runs[position].ends
                runs.remove(at: position)
                heldItems -= 1
            }
        } else {
            changed = position
            runs.insert(
                Run(
                    first: tsn, next: tsn.next, begins: begins, ends: ends, isUnordered: isUnordered,
                    stream: chunk.stream, streamSequence: chunk.streamSequence,
                    payloadProtocol: chunk.payloadProtocol, bytes: Array(packet[chunk.payload])), at: position)
            heldItems += 1
        }
        heldBytes += chunk.payload.count
        return complete(around: changed, ready: &ready)
    }

    /// Looks whether the runs that touch the changed one are a whole message now.
    private mutating func complete(around changed: Int, ready: inout [ReceivedMessage]) -> Outcome {
        var low = changed
        var size = runs[changed].bytes.count
        while low > 0, runs[low - 1].continues(into: runs[low]) {
            low -= 1
            size += runs[low].bytes.count
        }
        var high = changed
        while high + 1 < runs.count, runs[high].continues(into: runs[high + 1]) {
            high += 1
            size += runs[high].bytes.count
        }
        guard size <= maxMessageSize + 1200 else { return .messageTooLarge }
        guard runs[low].begins, runs[high].ends else { return .accepted }
        var payload: [UInt8] = []
        swap(&payload, &runs[low].bytes)
        for index in low + 1..<high + 1 { payload.append(contentsOf: runs[index].bytes) }
        let message = ReceivedMessage(
            stream: runs[low].stream, payloadProtocol: runs[low].payloadProtocol, payload: payload)
        let sequence = runs[low].isUnordered ? nil : runs[low].streamSequence
        heldBytes -= size
        heldItems -= high + 1 - low
        runs.removeSubrange(low...high)
        deliver(message, sequence: sequence, ready: &ready)
        return .accepted
    }

    /// Hands a whole message out, or keeps it until its turn comes (`sequence` is `nil` for unordered ones).
    private mutating func deliver(_ message: ReceivedMessage, sequence: UInt16?, ready: inout [ReceivedMessage]) {
        guard let sequence else {
            ready.append(message)
            return
        }
        let next = ordered[message.stream]?.nextSequence ?? 0
        guard sequence == next else {
            // A number of the past is the peer's mistake: the turn never comes, so the message is dropped.
            guard streamSequence(next, precedes: sequence) else { return }
            if ordered[message.stream, default: OrderedStream()].held.updateValue(message, forKey: sequence) == nil {
                heldBytes += message.payload.count
                heldItems += 1
            }
            return
        }
        ready.append(message)
        ordered[message.stream, default: OrderedStream()].nextSequence = next &+ 1
        release(message.stream, ready: &ready)
    }

    /// Hands out the messages whose turn has come.
    private mutating func release(_ stream: UInt16, ready: inout [ReceivedMessage]) {
        guard var state = ordered[stream], !state.held.isEmpty else { return }
        ordered[stream] = nil
        while let message = state.held.removeValue(forKey: state.nextSequence) {
            heldBytes -= message.payload.count
            heldItems -= 1
            state.nextSequence &+= 1
            ready.append(message)
        }
        ordered[stream] = state
    }

    /// Follows a FORWARD-TSN: throws away what belongs to given-up messages and lets those behind them go
    /// (RFC 3758 §3.6).
    mutating func skip(to cumulative: TSN, streams: [ForwardTSNChunk.Skip], ready: inout [ReceivedMessage]) {
        var count = 0
        while count < runs.count, runs[count].first <= cumulative {
            heldBytes -= runs[count].bytes.count
            heldItems -= 1
            count += 1
        }
        runs.removeFirst(count)
        for skip in streams {
            let next = ordered[skip.stream]?.nextSequence ?? 0
            guard !streamSequence(skip.streamSequence, precedes: next) else { continue }
            var state = ordered.removeValue(forKey: skip.stream) ?? OrderedStream()
            state.nextSequence = skip.streamSequence &+ 1
            // Whole messages below the new number were received and not given up: they go out in their order.
            let passed = state.held.keys.filter { streamSequence($0, precedes: state.nextSequence) }
            for sequence in passed.sorted(by: { streamSequence($0, precedes: $1) }) {
                guard let message = state.held.removeValue(forKey: sequence) else { continue }
                heldBytes -= message.payload.count
                heldItems -= 1
                ready.append(message)
            }
            ordered[skip.stream] = state
            release(skip.stream, ready: &ready)
        }
    }

    /// Drops runs that can never be completed, because the numbers around them arrived as something else.
    mutating func dropOrphans(cumulative: TSN) {
        while let first = runs.first {
            var chain = 0
            while chain + 1 < runs.count, runs[chain].continues(into: runs[chain + 1]) { chain += 1 }
            let isOpenAbove = !runs[chain].ends && runs[chain].next > cumulative
            let isOpenBelow = !first.begins && first.first - 1 > cumulative
            if isOpenAbove || isOpenBelow { return }
            for run in runs[...chain] { heldBytes -= run.bytes.count }
            heldItems -= chain + 1
            runs.removeFirst(chain + 1)
        }
    }

    /// Starts streams again at sequence 0 and drops what was left of them; `nil` means all (RFC 6525 §5.2.2).
    mutating func reset(_ streams: [UInt16]?) {
        guard let streams else {
            ordered = [:]
            runs = []
            heldBytes = 0
            heldItems = 0
            return
        }
        for stream in streams {
            for message in (ordered.removeValue(forKey: stream)?.held ?? [:]).values {
                heldBytes -= message.payload.count
                heldItems -= 1
            }
        }
        guard !runs.isEmpty else { return }
        let closed = Set(streams)
        for run in runs where closed.contains(run.stream) {
            heldBytes -= run.bytes.count
            heldItems -= 1
        }
        runs.removeAll { closed.contains($0.stream) }
    }

    /// Where a run that starts at `tsn` belongs.
    private func position(of tsn: TSN) -> Int {
        // Almost always at the end.
        if let last = runs.last, last.first < tsn { return runs.count }
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].first < tsn { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
