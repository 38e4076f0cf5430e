import SwarmBase

/// A message on its way out. The send queue keeps it from `send` until the peer has acknowledged all of it; fragments
/// refer to it by its place there, so that they hold no memory of their own.
struct OutgoingMessage: Sendable {
    /// All of the message.
    var payload: [UInt8]
    var stream: UInt16
    /// Where the send queue keeps the stream.
    var slot: Int
    /// Set when the first fragment is sent: the stream sequence number, or the message identifier when interleaved.
    /// Ordered and unordered messages have counters of their own.
    var sequence: UInt32 = 0
    var payloadProtocol: UInt32
    var isUnordered: Bool
    /// The owner has given it up (RFC 3758 §3.5); nothing of it is sent any more.
    var isAbandoned = false
    /// How many times each fragment may be sent again (RFC 7496 §4.2); `nil` for no limit.
    var maxRetransmits: UInt16?
    /// When the message is no longer worth sending (RFC 3758 §4.1).
    var deadline: Instant
    /// How many bytes have been given a number.
    var sentBytes = 0
    /// How many fragments have been given a number.
    var fragments: UInt32 = 0
    /// Fragments whose numbers are above the peer's cumulative one.
    var outstanding = 0

    /// Whether the lifetime is over.
    func isExpired(at now: Instant) -> Bool { now >= deadline }

    /// How many bytes have no number yet.
    var remaining: Int { payload.count - sentBytes }

    /// The next part, of at most `length` bytes; `place` is the message's.
    mutating func take(_ length: Int, place: Int) -> SendQueue.Piece {
        let offset = sentBytes
        let taken = min(length, remaining)
        var flags: DataChunk.Flags = isUnordered ? .unordered : []
        if offset == 0 { flags.insert(.begin) }
        if taken == remaining { flags.insert(.end) }
        let piece = SendQueue.Piece(
            message: place, offset: offset, length: taken, number: fragments, flags: flags)
        sentBytes = offset + taken
        fragments &+= 1
        outstanding += 1
        return piece
    }

    /// A fragment is acknowledged for good.
    ///
    /// - Returns: whether the message is done with.
    mutating func settle() -> Bool {
        outstanding -= 1
        return outstanding == 0 && remaining == 0
    }
}
