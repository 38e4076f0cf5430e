/// A whole message that arrived.
struct ReceivedMessage: Equatable, Sendable {
    var stream: UInt16
    var payloadProtocol: UInt32
    var payload: [UInt8]
}

/// What the owner has not taken yet, and what the messages among it, and those taken but not released, weigh in the
/// receive window.
struct Inbox: Sendable {
    private var events = RingBuffer<SCTPEvent>(filler: .connected)
    private(set) var unreadBytes = 0
    private(set) var unreadMessages = 0

    var isEmpty: Bool { events.isEmpty }

    mutating func append(_ event: SCTPEvent) { events.append(event) }

    /// A message is for the owner.
    mutating func deliver(_ message: consuming ReceivedMessage) {
        charge(message.payload.count)
        events.append(
            .message(
                stream: message.stream, payloadProtocol: message.payloadProtocol, payload: message.payload))
    }

    mutating func popFirst() -> SCTPEvent? { events.popFirst() }

    /// The owner holds a message (again).
    mutating func charge(_ bytes: Int) {
        unreadBytes += bytes
        unreadMessages += 1
    }

    /// The owner has done with messages.
    mutating func release(_ bytes: Int, messages: Int) {
        unreadBytes = max(0, unreadBytes - bytes)
        unreadMessages = max(0, unreadMessages - messages)
    }
}
