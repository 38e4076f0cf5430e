internal import SwarmBase

/// Kinds of NATs and firewalls, by RFC 4787 behaviour and under their usual names.
public enum NATKind: String, CaseIterable, Hashable, Sendable {
    /// A public address that everybody can reach.
    case none
    /// A public address behind a stateful firewall: address- and port-dependent filtering.
    case firewall
    /// Endpoint-independent mapping and filtering.
    case fullCone = "full-cone"
    /// Endpoint-independent mapping, address-dependent filtering.
    case addressRestricted = "addr-restricted"
    /// Endpoint-independent mapping, address- and port-dependent filtering: the usual home router.
    case portRestricted = "port-restricted"
    /// Address- and port-dependent mapping and filtering, random ports.
    case symmetric
    /// No datagram passes; streams do.
    case udpBlocked = "udp-blocked"

    /// The six that matrices are made of.
    public static let six: [NATKind] = [
        .none, .fullCone, .addressRestricted, .portRestricted, .symmetric, .udpBlocked,
    ]

    /// Whether two hosts behind these can reach each other by sending at the same time, with the help of STUN only: not where a
    /// mapping that nobody can foretell meets a filter that looks at ports.
    public static func canMeet(_ a: NATKind, _ b: NATKind) -> Bool {
        guard a != .udpBlocked, b != .udpBlocked else { return false }
        let strict: Set<NATKind> = [.portRestricted, .symmetric, .firewall]
        return !(a == .symmetric && strict.contains(b)) && !(b == .symmetric && strict.contains(a))
    }
}

/// The state of one NAT or firewall for one family of addresses.
struct NAT: Sendable {
    /// What an outside port stands for.
    private struct Mapping: Sendable {
        let inside: TransportAddress
        var lastUsed: Instant
        /// When the inside last sent to whom.
        var peers: [TransportAddress: Instant] = [:]
        var addresses: [IPAddress: Instant] = [:]
    }

    private struct Key: Hashable, Sendable {
        let inside: TransportAddress
        /// `nil` where the mapping does not depend on it.
        let peer: TransportAddress?
    }

    let kind: NATKind
    /// The outside address; a firewall has none of its own.
    var outside: IPAddress
    let timeout: Duration
    private var ports: [Key: TransportAddress] = [:]
    private var mappings: [TransportAddress: Mapping] = [:]

    init(_ kind: NATKind, outside: IPAddress, timeout: Duration) {
        self.kind = kind
        self.outside = outside
        self.timeout = timeout
    }

    /// Forgets everything, as with a reboot.
    mutating func reset() {
        ports = [:]
        mappings = [:]
    }

    /// A datagram on its way out.
    ///
    /// - Returns: where it now comes from; `nil` when it does not pass.
    mutating func outbound(
        from inside: TransportAddress, to peer: TransportAddress, now: Instant, using random: inout SeededGenerator
    ) -> TransportAddress? {
        guard kind != .udpBlocked else { return nil }
        let key = Key(inside: inside, peer: kind == .symmetric ? peer : nil)
        var mapped: TransportAddress
        if let known = ports[key], let mapping = mappings[known], now - mapping.lastUsed < timeout {
            mapped = known
        } else {
            if let old = ports[key] { mappings[old] = nil }
            mapped = inside
            if kind != .none, kind != .firewall {
                repeat {
                    mapped = TransportAddress(outside, port: .random(in: 1024...65_535, using: &random))
                } while mappings[mapped] != nil
            }
            ports[key] = mapped
            mappings[mapped] = Mapping(inside: inside, lastUsed: now)
        }
        mappings[mapped]?.lastUsed = now
        mappings[mapped]?.peers[peer] = now
        mappings[mapped]?.addresses[peer.address] = now
        return mapped
    }

    /// A datagram on its way in.
    ///
    /// - Returns: whom it is for; `nil` when it does not pass.
    mutating func inbound(
        from peer: TransportAddress, to mapped: TransportAddress, now: Instant
    ) -> TransportAddress? {
        guard kind != .udpBlocked else { return nil }
        if kind == .none { return mapped }
        guard let mapping = mappings[mapped], now - mapping.lastUsed < timeout else { return nil }
        let isLive: (Instant?) -> Bool = { [timeout] in $0.map { now - $0 < timeout } ?? false }
        switch kind {
        case .none, .fullCone: break
        case .addressRestricted: guard isLive(mapping.addresses[peer.address]) else { return nil }
        case .portRestricted, .symmetric, .firewall: guard isLive(mapping.peers[peer]) else { return nil }
        case .udpBlocked: return nil
        }
        return mapping.inside
    }
}
