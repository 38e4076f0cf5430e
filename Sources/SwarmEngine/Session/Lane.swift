public import SwarmBase

/// How urgent something is. What is more urgent goes first, and a larger part of what goes is its; nothing starves.
public enum MessagePriority: String, CaseIterable, Sendable, Codable {
    case low
    case normal
    case high
    case urgent

    /// What part of a path each gets when all have something to say (docs/protocol.md, "Lanes").
    var weight: UInt64 {
        switch self {
        case .urgent: 64
        case .high: 16
        case .normal: 4
        case .low: 1
        }
    }

    /// The priorities in the order of their lanes.
    static let byLane: [MessagePriority] = [.normal, .high, .urgent, .low]

    /// Where it stands in `byLane`.
    var rank: Int {
        switch self {
        case .normal: 0
        case .high: 1
        case .urgent: 2
        case .low: 3
        }
    }
}

/// One of the twelve streams of fragments that go from a member to another.
struct Lane: Hashable, Sendable {
    /// How many there are.
    static let count = 12
    /// The lane that every member knows: messages in order, of normal priority.
    static let plain = Lane(0)

    let index: Int

    private init(_ index: Int) { self.index = index }

    /// - Returns: `nil` for a number that names none.
    init?(number: UInt8) {
        guard number < Self.count else { return nil }
        index = Int(number)
    }

    /// - Returns: `nil` for a number that names none.
    init?(reading reader: inout ByteReader) {
        guard let number: UInt8 = reader.integer() else { return nil }
        self.init(number: number)
    }

    init(messages priority: MessagePriority, isOrdered: Bool) { index = priority.rank + (isOrdered ? 0 : 4) }

    init(control priority: MessagePriority) { index = priority.rank + 8 }

    static let all = (0..<count).map { Lane($0) }
    /// Those of messages, the most urgent first.
    static let ofMessages = MessagePriority.allCases.reversed().flatMap { priority in
        [true, false].map { Lane(messages: priority, isOrdered: $0) }
    }

    var number: UInt8 { UInt8(truncatingIfNeeded: index) }
    var priority: MessagePriority { MessagePriority.byLane[index & 3] }
    /// Whether messages are handed on in the order in which they were sent.
    var isOrdered: Bool { index < 4 || index >= 8 }
    /// Whether it carries control messages, of which nothing outlives a run.
    var isControl: Bool { index >= 8 }
    /// How many fragments from the next expected one on a reader takes.
    var window: UInt16 { self == .plain ? 1024 : 256 }
}

/// How a message is to be sent.
public struct MessageOptions: Equatable, Sendable {
    public var priority = MessagePriority.normal
    /// Whether it is handed on after those sent before it with the same priority.
    public var isOrdered = true
    /// When it is no longer of use.
    public var deadline: Instant?

    public init(priority: MessagePriority = .normal, isOrdered: Bool = true, deadline: Instant? = nil) {
        self.priority = priority
        self.isOrdered = isOrdered
        self.deadline = deadline
    }
}

/// What became of a message.
public enum MessageOutcome: Equatable, Sendable {
    /// It is in the hands of the other's application.
    case delivered
    /// It was not handed on before its deadline, and never will be.
    case expired
    /// It was not handed on, and never will be.
    case rejected(Rejection)
}

/// Why a message was not taken by the other.
public enum Rejection: UInt8, Equatable, Sendable {
    /// The other's application refused it.
    case refused = 2
    /// It is larger than the other takes.
    case tooLarge = 3
    /// The other does not admit us.
    case notAdmitted = 4
    /// The other has sent us away.
    case kicked = 5
    /// The other has blocked us.
    case blocked = 6
    /// This member has blocked the other, or sent it away.
    case blockedHere = 7
}
