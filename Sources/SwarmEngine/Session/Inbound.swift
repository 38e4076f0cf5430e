import SwarmBase

/// What has come from another member in one lane: puts messages together and hands each on once, in order or as they are whole.
struct Inbound: Sendable {
    /// With so many outcomes that the writer has not confirmed nothing more is taken.
    static let mostOutcomes = 1024

    /// One whole message.
    struct Message: Equatable, Sendable {
        var number: UInt64
        var content: MessageContent
        /// Where its last fragment stands.
        var last: UInt64 = 0
    }

    let lane: Lane
    private(set) var stream: UInt64?
    /// The next sequence number in order: all before it have arrived.
    private(set) var expected: UInt64 = 1
    /// What has been handed on and noted durably.
    private(set) var note = InboundNote(stream: 0, next: 1)
    /// Where the first fragment of the message being put together stands: what a restart must ask for again.
    private var messageStart: UInt64 = 1
    /// Fragments that came early; in lanes without order all of messages that are not whole.
    private var early: [UInt64: DataFrame] = [:]
    private var earlyBytes = 0
    private var assembly: [UInt8] = []
    private var isAssembling = false
    /// Why what comes until the end of the message is not kept.
    private var discarding: Discarding?
    /// In lanes without order: what has been handed on at and after `messageStart`.
    private var handed: Set<UInt64> = []
    private var outcomes: [InboundNote.Outcome] = []
    /// Grows with each change of what is to be noted beside `durableNext`.
    private var revision = 0
    private var told = (stream: UInt64(0), next: UInt64(0), revision: 0)
    private let largestMessage: Int

    private enum Discarding {
        /// It began before we knew the stream.
        case unknown
        case tooLarge
        case withdrawn
    }

    init(lane: Lane = .plain, largestMessage: Int) {
        self.lane = lane
        self.largestMessage = largestMessage
    }

    /// A stream taken up again after a restart.
    mutating func restore(_ note: InboundNote) {
        stream = note.stream
        self.note = note
        expected = note.next
        messageStart = note.next
        outcomes = note.outcomes
        told = (note.stream, note.next, revision)
        guard !lane.isOrdered else { return }
        for (index, byte) in note.beyond.enumerated() where byte != 0 {
            for bit in 0..<8 where byte >> UInt8(bit) & 1 != 0 { handed.insert(note.next + UInt64(index * 8 + bit)) }
        }
        while handed.contains(expected) { expected += 1 }
    }

    /// The bytes of messages that are not whole.
    var heldBytes: Int { earlyBytes + assembly.count }

    /// Takes a fragment.
    ///
    /// - Parameter budget: how many bytes more may be held.
    /// - Returns: the messages it completes, in order.
    mutating func receive(_ frame: DataFrame, budget: Int = .max) -> [Message] {
        // The writer keeps what was not noted durably here: if its base is ahead, we have lost what we noted.
        if stream != frame.stream || frame.base > expected { begin(frame) }
        guard frame.sequence >= expected, frame.sequence - expected < UInt64(lane.window) else { return [] }
        return lane.isOrdered ? receiveInOrder(frame, budget) : receiveInAnyOrder(frame, budget)
    }

    /// The writer has to confirm outcomes before more is taken.
    private var isFull: Bool { outcomes.count >= Self.mostOutcomes }

    /// Whether fragments that come one after the other, as mail brings them, are all of use now, or have been before.
    func takes(_ frames: [DataFrame]) -> Bool {
        guard let first = frames.first else { return true }
        if isFull { return false }
        let isKnown = first.stream == stream && first.base <= expected
        var next = isKnown ? expected : first.base
        for frame in frames where frame.sequence >= next {
            guard frame.sequence - next < (lane.isOrdered ? 1 : UInt64(lane.window)) else { return false }
            if frame.sequence == next { next += 1 }
            while isKnown, early[next] != nil || handed.contains(next) { next += 1 }
        }
        return true
    }

    /// Whether a fragment is noted for good, or of a stream that is over.
    func isDurable(_ frame: DataFrame) -> Bool { frame.stream != stream || note.covers(frame.sequence) }

    /// The writer knows the outcomes of all before `base`, and so will its later runs.
    mutating func confirm(base: UInt64) {
        guard let first = outcomes.first, first.sequence < base else { return }
        outcomes.removeAll { $0.sequence < base }
        note.outcomes.removeAll { $0.sequence < base }
    }

    /// A message that was just completed is not handed on after all.
    mutating func refuse(_ message: Message) {
        addOutcome(message.last, message.number, InboundNote.Outcome.refused)
    }

    private mutating func addOutcome(_ sequence: UInt64, _ message: UInt64, _ code: UInt8) {
        outcomes.append(InboundNote.Outcome(sequence: sequence, message: message, code: code))
        revision += 1
    }

    // MARK: What is noted

    /// Everything before the message under way: what a restart of this member would know.
    var durableNext: UInt64 {
        if lane.isOrdered { return isAssembling || discarding != nil ? messageStart : expected }
        return messageStart
    }

    /// What is to be noted, if that has changed since the last call.
    mutating func pollNote() -> InboundNote? {
        guard let stream, told != (stream, durableNext, revision), durableNext >= note.next else { return nil }
        told = (stream, durableNext, revision)
        return InboundNote(stream: stream, next: durableNext, beyond: bitmap, outcomes: outcomes)
    }

    private var bitmap: [UInt8] {
        guard !handed.isEmpty else { return [] }
        var bits: [UInt8] = []
        for sequence in handed where sequence - messageStart < UInt64(Acknowledgement.farthest) {
            let bit = Int(sequence - messageStart)
            while bits.count <= bit >> 3 { bits.append(0) }
            bits[bit >> 3] |= 1 << UInt8(bit & 7)
        }
        return bits
    }

    /// Notes that what was handed on is durable, so the sender may forget it.
    mutating func commit(_ note: InboundNote) {
        guard note.stream == stream, note.next <= expected, note.next >= self.note.next else { return }
        self.note = note
    }

    /// What the sender is to be told; `nil` before anything came.
    ///
    /// - Parameters:
    ///   - isPaused: the application does not keep up: no more than is under way should come.
    ///   - knowsLanes: the sender knows more than how far its stream has come.
    func acknowledgement(isPaused: Bool, knowsLanes: Bool = true) -> Acknowledgement? {
        guard let stream else { return nil }
        var acknowledgement = Acknowledgement(
            lane: lane, stream: stream, received: expected, durable: note.next,
            window: isPaused || isFull ? 0 : lane.window)
        if knowsLanes {
            acknowledgement.outcomes = note.outcomes
            acknowledgement.bitmap = note.beyond
        }
        return acknowledgement
    }

    /// As `acknowledgement`, of all that was handed on, noted or not.
    func lastAcknowledgement(knowsLanes: Bool) -> Acknowledgement? {
        guard let stream else { return nil }
        let next = max(durableNext, note.next)
        return Acknowledgement(
            lane: lane, stream: stream, received: expected, durable: next, window: 0,
            outcomes: knowsLanes ? outcomes : [], bitmap: knowsLanes ? bitmap : [])
    }

    private mutating func begin(_ frame: DataFrame) {
        stream = frame.stream
        expected = frame.base
        messageStart = frame.base
        note = InboundNote(stream: frame.stream, next: frame.base)
        told = (frame.stream, frame.base, revision)
        early.removeAll()
        earlyBytes = 0
        handed.removeAll()
        outcomes.removeAll()
        endMessage()
    }

    private mutating func endMessage() {
        assembly = []
        isAssembling = false
        discarding = nil
    }

    // MARK: In order

    private mutating func receiveInOrder(_ frame: DataFrame, _ budget: Int) -> [Message] {
        if frame.sequence > expected {
            if early[frame.sequence] == nil, frame.payload.count <= budget,
                earlyBytes + frame.payload.count <= largestMessage * 2
            {
                earlyBytes += frame.payload.count
                early[frame.sequence] = frame
            }
            return []
        }
        var messages: [Message] = []
        accept(frame, &messages, budget)
        while let next = early.removeValue(forKey: expected) {
            earlyBytes -= next.payload.count
            accept(next, &messages, budget)
        }
        return messages
    }

    private mutating func accept(_ frame: DataFrame, _ messages: inout [Message], _ budget: Int) {
        if frame.flags.contains(.withdrawn) {
            if !isAssembling, discarding == nil { messageStart = expected }
            endMessage()
            discarding = .withdrawn
        } else if frame.flags.contains(.first) {
            messageStart = expected
            endMessage()
            assembly = frame.payload
            isAssembling = true
        } else if isAssembling {
            assembly += frame.payload
        } else if discarding == nil {
            messageStart = expected
            discarding = .unknown
        }
        let sequence = expected
        expected += 1
        // Taken off the sender's hands, but not handed on.
        if isAssembling, assembly.count > largestMessage || frame.payload.count > budget {
            endMessage()
            discarding = .tooLarge
        }
        guard frame.flags.contains(.last) else { return }
        switch discarding {
        case nil: messages.append(Self.message(frame, assembly))
        case .withdrawn: addOutcome(sequence, frame.message, InboundNote.Outcome.withdrawn)
        case .tooLarge: addOutcome(sequence, frame.message, InboundNote.Outcome.tooLarge)
        case .unknown: break
        }
        endMessage()
    }

    private static func message(_ last: DataFrame, _ bytes: [UInt8]) -> Message {
        let content: MessageContent =
            last.flags.contains(.text) ? .text(String(decoding: bytes, as: UTF8.self)) : .binary(bytes)
        return Message(number: last.message, content: content, last: last.sequence)
    }

    // MARK: In any order

    private mutating func receiveInAnyOrder(_ frame: DataFrame, _ budget: Int) -> [Message] {
        guard early[frame.sequence] == nil, !handed.contains(frame.sequence) else { return [] }
        var frame = frame
        if frame.payload.count > budget || earlyBytes + frame.payload.count > largestMessage * 2 {
            frame.payload = []
            frame.flags.insert(.dropped)
        }
        earlyBytes += frame.payload.count
        early[frame.sequence] = frame
        let message = whole(around: frame)
        while early[expected] != nil || handed.contains(expected) { expected += 1 }
        while handed.remove(messageStart) != nil { messageStart += 1 }
        return message.map { [$0] } ?? []
    }

    /// The message that a fragment completes.
    private mutating func whole(around frame: DataFrame) -> Message? {
        var (first, last) = (frame, frame)
        while !first.flags.contains(.first) {
            guard let before = early[first.sequence - 1], before.message == frame.message else { return nil }
            first = before
        }
        while !last.flags.contains(.last) {
            guard let after = early[last.sequence + 1], after.message == frame.message else { return nil }
            last = after
        }
        var bytes: [UInt8] = []
        var code: UInt8?
        for sequence in first.sequence...last.sequence {
            guard let piece = early.removeValue(forKey: sequence) else { continue }
            earlyBytes -= piece.payload.count
            bytes += piece.payload
            if piece.flags.contains(.withdrawn) { code = InboundNote.Outcome.withdrawn }
            if piece.flags.contains(.dropped), code == nil { code = InboundNote.Outcome.tooLarge }
            handed.insert(sequence)
        }
        revision += 1
        if bytes.count > largestMessage { code = code ?? InboundNote.Outcome.tooLarge }
        if let code {
            addOutcome(last.sequence, frame.message, code)
            return nil
        }
        return Self.message(last, bytes)
    }
}
