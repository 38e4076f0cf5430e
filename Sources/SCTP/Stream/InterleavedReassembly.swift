/// Incomplete messages that came in I-DATA chunks: each fragment says its message and its place there (RFC 8260 §2.2.3).
struct InterleavedReassembly: Sendable {
    /// What became of a fragment.
    enum Outcome: Equatable, Sendable {
        case incomplete
        case complete(ReceivedMessage)
        case tooLarge
    }

    /// A stretch of consecutive fragments.
    private struct Run: Sendable {
        var first: UInt32
        var last: UInt32
        var pieces: PayloadPieces
    }

    private struct Message: Sendable {
        var stream: UInt16
        var isUnordered: Bool
        var identifier: UInt32
        /// Known once the first fragment is here.
        var payloadProtocol: UInt32?
        /// Known once the last one is.
        var lastFragment: UInt32?
        var size = 0
        /// In order, apart from each other.
        var runs: [Run] = []
    }

    private let maxMessageSize: Int
    private var messages: [Message] = []
    private var hint = 0
    /// Unordered messages up to these will not come, per stream: what is still under way of them is not kept.
    private var skipped: [UInt16: UInt32] = [:]

    /// Payload bytes kept here.
    private(set) var heldBytes = 0
    /// Stretches of fragments kept here.
    private(set) var heldItems = 0

    init(maxMessageSize: Int) {
        self.maxMessageSize = maxMessageSize
    }

    /// Takes a fragment that is not a whole message.
    mutating func add(_ chunk: DataChunk, in packet: [UInt8]) -> Outcome {
        if !skipped.isEmpty, chunk.flags.contains(.unordered), let last = skipped[chunk.stream],
            !requestSequence(last, precedes: chunk.sequence)
        {
            return .incomplete
        }
        let index = find(chunk)
        let position = messages[index].runs.lastIndex { $0.first <= chunk.fragment }
        // A place that is taken, or beyond the end, is the peer's mistake.
        if let position, messages[index].runs[position].last >= chunk.fragment { return .incomplete }
        if let last = messages[index].lastFragment, chunk.fragment > last { return .incomplete }
        if chunk.flags.contains(.end) {
            if let highest = messages[index].runs.last, highest.last > chunk.fragment { return .incomplete }
            messages[index].lastFragment = chunk.fragment
        }
        if chunk.flags.contains(.begin) { messages[index].payloadProtocol = chunk.payloadProtocol }
        messages[index].size += chunk.payload.count
        heldBytes += chunk.payload.count
        guard messages[index].size <= maxMessageSize + Reassembly.tolerance else { return .tooLarge }
        insert(chunk, in: packet, at: index, after: position)
        return finish(index)
    }

    private mutating func insert(_ chunk: DataChunk, in packet: [UInt8], at index: Int, after position: Int?) {
        var changed = position.map { $0 + 1 } ?? 0
        // Neither bound overflows: a run below ends before this fragment, a run above begins after it.
        if let position, messages[index].runs[position].last + 1 == chunk.fragment {
            changed = position
            messages[index].runs[position].last = chunk.fragment
            messages[index].runs[position].pieces.append(packet, chunk.payload)
        } else {
            let isFirst = chunk.flags.contains(.begin) && messages.count < 4
            messages[index].runs.insert(
                Run(
                    first: chunk.fragment, last: chunk.fragment,
                    pieces: PayloadPieces(packet, chunk.payload, hint: isFirst ? hint : 0)), at: changed)
            heldItems += 1
        }
        let above = changed + 1
        if above < messages[index].runs.count,
            messages[index].runs[above].first == messages[index].runs[changed].last &+ 1
        {
            let upper = messages[index].runs.remove(at: above)
            messages[index].runs[changed].last = upper.last
            messages[index].runs[changed].pieces.append(upper.pieces)
            heldItems -= 1
        }
    }

    private mutating func finish(_ index: Int) -> Outcome {
        guard messages[index].runs.count == 1, let payloadProtocol = messages[index].payloadProtocol,
            let last = messages[index].lastFragment, messages[index].runs[0].first == 0,
            messages[index].runs[0].last == last
        else { return .incomplete }
        var message = messages.remove(at: index)
        heldBytes -= message.size
        heldItems -= 1
        hint = message.size
        return .complete(
            ReceivedMessage(
                stream: message.stream, payloadProtocol: payloadProtocol,
                payload: message.runs.removeLast().pieces.joined()))
    }

    /// The message of a fragment; few are incomplete at a time, and the last ones are the likeliest.
    private mutating func find(_ chunk: DataChunk) -> Int {
        let isUnordered = chunk.flags.contains(.unordered)
        if let index = messages.lastIndex(where: {
            $0.identifier == chunk.sequence && $0.stream == chunk.stream && $0.isUnordered == isUnordered
        }) {
            return index
        }
        messages.append(Message(stream: chunk.stream, isUnordered: isUnordered, identifier: chunk.sequence))
        return messages.count - 1
    }

    /// Drops a message that will not be completed, and the earlier ones of its stream and kind.
    mutating func skip(_ skip: ForwardTSNChunk.Skip) {
        if skip.isUnordered {
            let known = skipped[skip.stream]
            if known.map({ requestSequence($0, precedes: skip.sequence) }) ?? true {
                skipped[skip.stream] = skip.sequence
            }
        }
        remove {
            $0.stream == skip.stream && $0.isUnordered == skip.isUnordered
                && !requestSequence(skip.sequence, precedes: $0.identifier)
        }
    }

    /// Drops what was left of a stream.
    mutating func reset(_ stream: UInt16) {
        skipped[stream] = nil
        remove { $0.stream == stream }
    }

    mutating func resetAll() {
        self = InterleavedReassembly(maxMessageSize: maxMessageSize)
    }

    private mutating func remove(where isGone: (Message) -> Bool) {
        for message in messages where isGone(message) {
            heldBytes -= message.size
            heldItems -= message.runs.count
        }
        messages.removeAll(where: isGone)
    }
}
