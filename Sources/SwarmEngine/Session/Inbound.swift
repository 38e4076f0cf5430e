import SwarmBase

/// What has come from another member: puts fragments in order, each once, and messages together.
struct Inbound: Sendable {
    /// How far ahead of the next expected fragment one is kept.
    static let window: UInt16 = 1024

    /// One whole message.
    struct Message: Equatable, Sendable {
        var number: UInt64
        var content: MessageContent
    }

    private(set) var stream: UInt64?
    /// The next sequence number in order: all before it have arrived.
    private(set) var expected: UInt64 = 1
    /// Everything before this has been handed on and noted durably.
    private(set) var committed: UInt64 = 1
    /// Where the first fragment of the message being put together stands: what a restart must ask for again.
    private var messageStart: UInt64 = 1
    private var early: [UInt64: DataFrame] = [:]
    private var earlyBytes = 0
    private var assembly: [UInt8] = []
    private var isAssembling = false
    private var isDiscarding = false
    private let largestMessage: Int

    init(largestMessage: Int) { self.largestMessage = largestMessage }

    /// A stream taken up again after a restart: everything before `next` was handed on before.
    mutating func restore(stream: UInt64, next: UInt64) {
        self.stream = stream
        expected = next
        committed = next
        messageStart = next
    }

    /// Takes a fragment.
    ///
    /// - Returns: the messages it completes, in order.
    mutating func receive(_ frame: DataFrame) -> [Message] {
        // The writer keeps what was not noted durably here: if its base is ahead, we have lost what we noted.
        if stream != frame.stream || frame.base > expected { begin(frame) }
        guard frame.sequence >= expected, frame.sequence - expected < UInt64(Self.window) else { return [] }
        if frame.sequence > expected {
            if early[frame.sequence] == nil, earlyBytes + frame.payload.count <= largestMessage * 2 {
                earlyBytes += frame.payload.count
                early[frame.sequence] = frame
            }
            return []
        }
        var messages: [Message] = []
        accept(frame, &messages)
        while let next = early.removeValue(forKey: expected) {
            earlyBytes -= next.payload.count
            accept(next, &messages)
        }
        return messages
    }

    /// Everything before the message under way: what a restart of this member would know.
    var durableNext: UInt64 { isAssembling || isDiscarding ? messageStart : expected }

    /// Notes that what was handed on before `next` is durable, so the sender may forget it.
    mutating func commit(stream: UInt64, next: UInt64) {
        guard stream == self.stream, next <= expected else { return }
        committed = max(committed, next)
    }

    /// What the sender is to be told; `nil` before anything came.
    ///
    /// - Parameter isPaused: the application does not keep up: no more than is under way should come.
    func acknowledgement(isPaused: Bool) -> Acknowledgement? {
        stream.map {
            Acknowledgement(
                stream: $0, received: expected, durable: committed, window: isPaused ? 0 : Self.window)
        }
    }

    private mutating func begin(_ frame: DataFrame) {
        stream = frame.stream
        expected = frame.base
        committed = frame.base
        messageStart = frame.base
        early.removeAll()
        earlyBytes = 0
        assembly = []
        isAssembling = false
        isDiscarding = false
    }

    private mutating func accept(_ frame: DataFrame, _ messages: inout [Message]) {
        if frame.flags.contains(.first) {
            messageStart = expected
            assembly = frame.payload
            isAssembling = true
            isDiscarding = false
        } else if isAssembling {
            assembly += frame.payload
        }
        expected += 1
        // Over the bound, or begun before we knew the stream: taken off the sender's hands, but not handed on.
        if assembly.count > largestMessage || !isAssembling {
            assembly = []
            isAssembling = false
            isDiscarding = true
        }
        guard frame.flags.contains(.last) else { return }
        if isAssembling {
            let content: MessageContent =
                frame.flags.contains(.text) ? .text(String(decoding: assembly, as: UTF8.self)) : .binary(assembly)
            messages.append(Message(number: frame.message, content: content))
        }
        assembly = []
        isAssembling = false
        isDiscarding = false
    }
}
