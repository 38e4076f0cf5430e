import SwarmBase

/// A message on its way out, as the send queue and each of its outstanding fragments hold it.
struct OutgoingMessage: Sendable {
    /// Tells messages of one association apart.
    var id: UInt64
    var stream: UInt16
    /// Where the send queue keeps the stream.
    var slot: Int
    /// Set when the first fragment is sent; 0 for unordered messages.
    var streamSequence: UInt16 = 0
    var payloadProtocol: UInt32
    var isUnordered: Bool
    /// How many times each fragment may be sent again (RFC 7496 §4.2); `nil` for no limit.
    var maxRetransmits: UInt16?
    /// When the message is no longer worth sending (RFC 3758 §4.1).
    var deadline: Instant
    /// All of the message; fragments share it.
    var payload: [UInt8]

    static let filler = OutgoingMessage(
        id: 0, stream: 0, slot: 0, payloadProtocol: 0, isUnordered: false, maxRetransmits: nil,
        deadline: .distantFuture, payload: [])

    /// Whether the lifetime is over.
    func isExpired(at now: Instant) -> Bool { now >= deadline }
}
