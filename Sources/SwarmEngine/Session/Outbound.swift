import DequeModule
import SwarmBase

/// What one member has to say to another: numbered fragments, kept until acknowledged.
struct Outbound: Sendable {
    /// The longest fragment, in bytes: two of them and their headers still make a relay envelope of under 24 KiB of text.
    static let fragmentSize = 8 * 1024

    let stream: UInt64
    /// The lowest sequence number that is not durably acknowledged; `base == next` when all is.
    private(set) var base: UInt64
    /// The lowest sequence number that the running peer has not got; from `base` to `next`.
    private(set) var received: UInt64
    /// How many fragments from `received` on the peer takes.
    private var window = UInt64(Inbound.window)
    /// The next sequence number to be given out.
    private(set) var next: UInt64
    /// Fragments before this may leave: what is to survive a restart leaves only when it is kept, or the next run would
    /// give its numbers to other messages.
    private(set) var released: UInt64
    private(set) var nextMessage: UInt64
    /// Bytes of payload that wait for acknowledgement.
    private(set) var bytes = 0
    private var fragments: Deque<DataFrame> = []

    /// A new stream.
    init(stream: UInt64) {
        self.init(stream: stream, base: 1, nextMessage: 1)
    }

    /// A stream taken up again after a restart; its messages are enqueued again with their old numbers.
    init(stream: UInt64, base: UInt64, nextMessage: UInt64) {
        self.stream = stream
        self.base = base
        next = base
        received = base
        released = base
        self.nextMessage = nextMessage
    }

    var isEmpty: Bool { fragments.isEmpty }
    var messageCount: Int { fragments.reduce(0) { $0 + ($1.flags.contains(.last) ? 1 : 0) } }

    /// Cuts a message into fragments.
    ///
    /// - Parameter isHeld: the fragments leave only after `release(before:)`.
    /// - Returns: the message's number and the first of its sequence numbers.
    mutating func enqueue(_ content: MessageContent, isHeld: Bool = false) -> (message: UInt64, sequence: UInt64) {
        let payload = content.bytes
        let number = nextMessage
        let first = next
        nextMessage += 1
        var offset = 0
        repeat {
            let end = min(offset + Self.fragmentSize, payload.count)
            var flags: DataFrame.Flags = content.isText ? .text : []
            if offset == 0 { flags.insert(.first) }
            if end == payload.count { flags.insert(.last) }
            fragments.append(
                DataFrame(
                    stream: stream, sequence: next, base: base, message: number, flags: flags,
                    payload: Array(payload[offset..<end])))
            next += 1
            offset = end
        } while offset < payload.count
        bytes += payload.count
        if !isHeld { released = next }
        return (number, first)
    }

    /// What was enqueued before this number is kept, and may leave.
    mutating func release(before sequence: UInt64) { released = max(released, min(sequence, next)) }

    /// The fragment with a number, carrying the current base; `nil` when it is acknowledged, held or not there yet.
    func fragment(_ sequence: UInt64) -> DataFrame? {
        guard sequence >= base, sequence < released else { return nil }
        var fragment = fragments[Int(sequence - base)]
        fragment.base = base
        return fragment
    }

    /// Takes note of how far the stream has arrived.
    ///
    /// - Returns: the numbers of the messages that have now arrived for good. Acknowledgements of another stream, of what
    ///   is acknowledged already or of what was never sent change nothing.
    mutating func acknowledge(_ acknowledgement: Acknowledgement) -> [UInt64] {
        guard acknowledgement.stream == stream, acknowledgement.received <= next else { return [] }
        if acknowledgement.received >= received {
            received = acknowledgement.received
            window = UInt64(acknowledgement.window)
        }
        let upTo = acknowledgement.durable
        var delivered: [UInt64] = []
        while base < upTo, let fragment = fragments.popFirst() {
            bytes -= fragment.payload.count
            base += 1
            if fragment.flags.contains(.last) { delivered.append(fragment.message) }
        }
        return delivered
    }

    /// The peer runs anew: it has what was durable, no more.
    mutating func peerRestarted() {
        received = base
        window = UInt64(Inbound.window)
    }

    /// Whether the peer takes the fragment with this number now.
    func isInWindow(_ sequence: UInt64) -> Bool { sequence < received + min(window, UInt64(Inbound.window)) }
}

/// What an application sends: text or bytes.
public enum MessageContent: Equatable, Sendable {
    case text(String)
    case binary([UInt8])

    var bytes: [UInt8] {
        switch self {
        case .text(let text): Array(text.utf8)
        case .binary(let bytes): bytes
        }
    }

    var isText: Bool {
        if case .text = self { true } else { false }
    }
}
