import SwarmBase

/// Finds out how large packets may be (datagram packetization layer path MTU discovery, RFC 8899): probes are HEARTBEATs
/// filled up with PAD (RFC 4820), so their loss harms no data and is no sign of congestion.
///
/// Nothing is sent larger than the base before a probe of that size was answered. When the path swallows what it carried
/// before (a black hole), or is another one, everything begins at the base again.
struct PathMTU: Sendable {
    /// A probe that awaits its answer.
    struct Probe: Equatable, Sendable {
        var size: Int
        /// Echoed by the peer.
        var nonce: UInt32
    }

    /// The search ends when so few bytes are at stake.
    private static let resolution = 16
    /// So many expiries of the retransmission timer in a row mean a black hole (RFC 8899 §4.3).
    private static let blackHoleExpiries = 2

    private let base: Int
    private let maximum: Int
    /// What is tried before the maximum.
    private let first: Int
    private let maxProbes: Int
    private let raiseInterval: Int64
    /// The least size known to be too large, or one more than the maximum.
    private var tooLarge: Int
    private var attempts = 0
    private var expiries = 0
    private var nextNonce: UInt32 = 1

    /// How large packets may be now, in bytes.
    private(set) var size: Int
    private(set) var probe: Probe?

    init(_ configuration: SCTPConfiguration) {
        base = configuration.maxPacketSize
        maximum = max(base, configuration.maxProbedPacketSize ?? base) & ~3
        first = min(maximum, max(base, configuration.firstProbedPacketSize & ~3))
        maxProbes = max(1, configuration.maxMTUProbes)
        raiseInterval = configuration.mtuRaiseInterval.nanosecondsClamped
        tooLarge = maximum + 4
        size = base
    }

    /// Whether the owner allows larger packets at all.
    var isEnabled: Bool { maximum > base }

    /// The size to be tried next; `nil` when the search is over. First what Ethernet carries, for most paths do; then the
    /// maximum, or the middle of what is left below.
    private var candidate: Int? {
        guard isEnabled else { return nil }
        if size >= first { return size < maximum && tooLarge > maximum ? maximum : nil }
        if tooLarge > first { return first }
        let middle = (size + (tooLarge - size) / 2) & ~3
        return tooLarge - size > Self.resolution && middle > size ? middle : nil
    }

    /// Whether a packet of this length goes by what was found out: it must not be fragmented, or nobody would notice that
    /// the path carries less by now. One that was cut for a wider path than there is now cannot be cut again
    /// (RFC 9260 §6.9), so that the network has to.
    func forbidsFragmentation(of length: Int) -> Bool { size > base && length <= size }

    /// Makes the next probe, or the same size again; `nil` when the search is over for now.
    mutating func nextProbe() -> Probe? {
        guard let size = candidate else {
            probe = nil
            return nil
        }
        attempts += 1
        let next = Probe(size: size, nonce: nextNonce)
        nextNonce &+= 1
        probe = next
        return next
    }

    /// The time until the search begins again once it is over, in nanoseconds; `nil` when there is nothing to find.
    var raiseDelay: Int64? { isEnabled && size < maximum ? raiseInterval : nil }

    /// The search begins again.
    mutating func raise() {
        guard probe == nil, candidate == nil else { return }
        tooLarge = maximum + 4
        attempts = 0
    }

    /// A probe was answered.
    ///
    /// - Returns: whether it was the one that waits.
    mutating func answered(nonce: UInt32) -> Bool {
        guard let waiting = probe, waiting.nonce == nonce else { return false }
        size = max(size, waiting.size)
        probe = nil
        attempts = 0
        return true
    }

    /// The answer to the probe is overdue.
    mutating func expired() {
        guard let waiting = probe else { return }
        probe = nil
        guard attempts >= maxProbes else { return }
        tooLarge = min(tooLarge, waiting.size)
        attempts = 0
    }

    /// Data was acknowledged: packets of this size pass.
    mutating func dataArrived() { expiries = 0 }

    /// The retransmission timer expired.
    ///
    /// - Returns: whether packets are smaller from now on.
    mutating func dataExpired() -> Bool {
        expiries += 1
        guard expiries >= Self.blackHoleExpiries, size > base else { return false }
        tooLarge = size
        size = base
        probe = nil
        attempts = 0
        return true
    }

    /// Another path.
    mutating func reset() {
        size = base
        tooLarge = maximum + 4
        probe = nil
        attempts = 0
        expiries = 0
    }
}
