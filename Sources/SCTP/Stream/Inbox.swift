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
    /// Whether something came that data channels must act on before their owner takes it: anything but binary messages.
    private(set) var needsAttention = false
    private(set) var unreadBytes = 0
    private(set) var unreadMessages = 0

    var isEmpty: Bool { events.isEmpty }

    mutating func append(_ event: SCTPEvent) {
        needsAttention = true
        events.append(event)
    }

    /// A message is for the owner.
    mutating func deliver(_ message: consuming ReceivedMessage) {
        charge(message.payload.count)
        switch message.payloadProtocol {
        case PayloadProtocol.binary, PayloadProtocol.emptyBinary: break
        default: needsAttention = true
        }
        events.append(
            .message(
                stream: message.stream, payloadProtocol: message.payloadProtocol, payload: message.payload))
    }

    mutating func popFirst() -> SCTPEvent? {
        guard let event = events.popFirst() else {
            needsAttention = false
            return nil
        }
        return event
    }

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
