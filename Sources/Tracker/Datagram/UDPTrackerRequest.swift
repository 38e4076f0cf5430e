import SwarmBase

/// A request to a UDP tracker that is repeated until it is answered (BEP 15, "Time outs"). It is sent once when it is made.
struct UDPTrackerRequest: Sendable {
    /// BEP 15: a request is repeated after 15 × 2ⁿ s. The first two come sooner, as one lost datagram is no reason to find
    /// nobody for 15 s.
    static let retransmissions: [Duration] = [.seconds(2), .seconds(5), .seconds(15), .seconds(30)]

    let transaction: UInt32
    let datagram: [UInt8]
    private var sends = 1
    /// When it is to be repeated, or given up.
    private(set) var due: Instant

    init(_ datagram: [UInt8], transaction: UInt32, now: Instant) {
        self.datagram = datagram
        self.transaction = transaction
        due = now + Self.retransmissions[0]
    }

    /// It is due.
    ///
    /// - Returns: whether it is to be sent once more; else it was sent often enough.
    mutating func repeats(now: Instant) -> Bool {
        guard sends < Self.retransmissions.count else { return false }
        due = now + Self.retransmissions[sends]
        sends += 1
        return true
    }
}
