import SwarmBase

/// Whether strangers can reach us: who cannot be reached says so in its queries, answers none, and is kept by nobody (BEP 43).
///
/// A node begins read-only. It takes part when others see it at an address that it has itself, or when two strangers have asked
/// it something of their own accord; and goes back when then nobody ever does.
struct Reachability: Sendable {
    /// So many strangers prove that we can be reached.
    private static let strangers = 2
    /// Who takes part and is asked by no stranger for so long is behind a firewall.
    private static let patience: Duration = .seconds(900)
    /// After this it is tried again.
    private static let retry: Duration = .seconds(3600)
    private static let mostRemembered = 2048

    private let isCertain: Bool
    private(set) var isReadOnly: Bool
    private var hasOwnAddress = false
    private var unsolicited: Set<IPAddress> = []
    private var activeSince: Instant?
    private var triedAt: Instant?
    // Whom we sent something lately: their queries prove nothing, as a NAT lets them in.
    private var contacted: Set<TransportAddress> = []
    private var contactedBefore: Set<TransportAddress> = []

    init(isCertain: Bool) {
        self.isCertain = isCertain
        isReadOnly = !isCertain
    }

    mutating func sent(to address: TransportAddress) {
        guard !isCertain else { return }
        contacted.insert(address)
        if contacted.count >= Self.mostRemembered / 2 {
            contactedBefore = contacted
            contacted = []
        }
    }

    /// A query came.
    mutating func queried(from address: TransportAddress, now: Instant) {
        guard !isCertain, !contacted.contains(address), !contactedBefore.contains(address) else { return }
        if unsolicited.count < 16 { unsolicited.insert(address.address) }
        // On one machine all have one address.
        if unsolicited.count >= Self.strangers || address.address.isLoopback { begin(now: now) }
    }

    /// Others see us at `address`.
    ///
    /// - Parameter isOwn: it is one of this machine.
    mutating func seen(isOwn: Bool, now: Instant) {
        hasOwnAddress = isOwn
        if isOwn, triedAt.map({ now - $0 >= Self.retry }) ?? true { begin(now: now) }
    }

    /// The network changed.
    mutating func forget() {
        guard !isCertain else { return }
        isReadOnly = true
        unsolicited = []
        activeSince = nil
        triedAt = nil
        hasOwnAddress = false
    }

    mutating func upkeep(now: Instant) {
        guard !isCertain else { return }
        if let since = activeSince, unsolicited.isEmpty, now - since >= Self.patience {
            isReadOnly = true
            activeSince = nil
        } else if isReadOnly, hasOwnAddress {
            seen(isOwn: true, now: now)
        }
    }

    private mutating func begin(now: Instant) {
        guard isReadOnly else { return }
        isReadOnly = false
        activeSince = now
        triedAt = now
    }
}
