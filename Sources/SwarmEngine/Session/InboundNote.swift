import SwarmBase

/// How far a lane was handed on: what a reader keeps of it.
struct InboundNote: Equatable, Sendable {
    /// A message that was not handed on.
    struct Outcome: Equatable, Sendable {
        static let withdrawn: UInt8 = 1
        static let refused: UInt8 = 2
        static let tooLarge: UInt8 = 3

        /// The last of its fragments; 0 where nobody asks for it.
        var sequence: UInt64
        var message: UInt64
        var code: UInt8
    }

    var stream: UInt64
    /// Everything before this was handed on, or has one of the outcomes.
    var next: UInt64
    /// Those at and after `next` of which that is true too, as a bitmap.
    var beyond: [UInt8] = []
    var outcomes: [Outcome] = []

    /// Whether a fragment was handed on, or has an outcome.
    func covers(_ sequence: UInt64) -> Bool { Self.covers(sequence, next: next, beyond: beyond) }

    static func covers(_ sequence: UInt64, next: UInt64, beyond: [UInt8]) -> Bool {
        if sequence < next { return true }
        guard sequence - next < UInt64(beyond.count) * 8 else { return false }
        let bit = Int(sequence - next)
        return beyond[bit >> 3] >> UInt8(bit & 7) & 1 != 0
    }

    /// As it is kept.
    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 20 + outcomes.count * 17 + beyond.count)
        writer.integer(stream)
        writer.integer(next)
        guard !outcomes.isEmpty || !beyond.isEmpty else { return writer.bytes }
        writer.integer(UInt32(truncatingIfNeeded: outcomes.count))
        for outcome in outcomes {
            writer.integer(outcome.sequence)
            writer.integer(outcome.message)
            writer.integer(outcome.code)
        }
        writer.append(beyond)
        return writer.bytes
    }

    init(stream: UInt64, next: UInt64, beyond: [UInt8] = [], outcomes: [Outcome] = []) {
        self.stream = stream
        self.next = next
        self.beyond = beyond
        self.outcomes = outcomes
    }

    /// - Returns: `nil` for what was not kept by `bytes`.
    init?(kept: [UInt8]) {
        var reader = ByteReader(kept)
        guard let stream: UInt64 = reader.integer(), let next: UInt64 = reader.integer() else { return nil }
        self.init(stream: stream, next: next)
        guard !reader.isAtEnd else { return }
        guard let count: UInt32 = reader.integer(), count <= Acknowledgement.mostOutcomes else { return nil }
        for _ in 0..<count {
            guard let sequence: UInt64 = reader.integer(), let message: UInt64 = reader.integer(),
                let code: UInt8 = reader.integer()
            else { return nil }
            outcomes.append(Outcome(sequence: sequence, message: message, code: code))
        }
        guard reader.remaining <= Acknowledgement.farthest / 8 else { return nil }
        beyond = reader.rest()
    }
}
