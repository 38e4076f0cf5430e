import SwarmBase

/// What one operator can easily have many of: a /24 of IPv4, a /64 of IPv6. Tables and searches take one node of each, so
/// that many addresses of one network do not make a majority.
enum AddressGroup: Hashable, Sendable {
    case network(UInt64)
    /// A local address stands for itself: in a test, a laboratory or a home all share one network.
    case local(TransportAddress)

    init(_ address: TransportAddress) {
        if address.address.isLocal {
            self = .local(address)
        } else {
            switch address.address {
            case .v4(let value): self = .network(UInt64(value >> 8))
            case .v6(let high, _): self = .network(high)
            }
        }
    }
}

extension IPAddress {
    /// Not reachable from the internet: exempt from BEP 42, and worth nothing when a stranger tells of it.
    var isLocal: Bool {
        switch self {
        case .v4(let value):
            value >> 24 == 10 || value >> 20 == 0xac1 || value >> 16 == 0xc0a8 || isLinkLocal || isLoopback
        case .v6(let high, _):
            isLinkLocal || isLoopback || high >> 57 == 0xfc >> 1
        }
    }

    /// No node can have it.
    var isMartian: Bool {
        if isUnspecified || isMulticastOrBroadcast { return true }
        if case .v4(let value) = self { return value >> 24 == 0 || value >> 28 == 0xf }
        return false
    }
}
