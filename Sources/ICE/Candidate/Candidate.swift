public import SwarmBase

/// How a candidate was found (RFC 8445 §4).
public enum CandidateKind: String, Hashable, Sendable, CaseIterable {
    /// An address of the machine itself.
    case host = "host"
    /// What a server on the other side of a NAT sees.
    case serverReflexive = "srflx"
    /// What the peer itself saw in a check.
    case peerReflexive = "prflx"
    /// An address that a TURN server lends.
    case relayed = "relay"

    /// The recommended type preference (RFC 8445 §5.1.2.2).
    public var typePreference: UInt8 {
        switch self {
        case .host: 126
        case .peerReflexive: 110
        case .serverReflexive: 100
        case .relayed: 0
        }
    }
}

/// A transport address that may reach an agent (RFC 8445 §5.1). Always UDP and component 1.
public struct Candidate: Hashable, Sendable {
    public var kind: CandidateKind
    public var address: TransportAddress
    /// The base of a reflexive candidate or the mapped address of a relayed one; `nil` when unknown or hidden.
    public var relatedAddress: TransportAddress?
    /// 1…2³¹ − 1 in candidates of conforming agents; not enforced.
    public var priority: UInt32
    /// 1…32 characters, equal for candidates of equal kind, base and server (RFC 8445 §5.1.1.3).
    public var foundation: String
    /// The generation it belongs to, when the line said so (the `ufrag` extension of RFC 8839 §5.1).
    public var usernameFragment: String?

    public init(
        kind: CandidateKind, address: TransportAddress, relatedAddress: TransportAddress? = nil, priority: UInt32,
        foundation: String, usernameFragment: String? = nil
    ) {
        self.kind = kind
        self.address = address
        self.relatedAddress = relatedAddress
        self.priority = priority
        self.foundation = foundation
        self.usernameFragment = usernameFragment
    }

    /// A host candidate; `rank` 0 is the address to be tried first, each address has its own.
    public static func host(_ address: TransportAddress, rank: UInt16 = 0) -> Candidate {
        Candidate(
            kind: .host, address: address,
            priority: priority(.host, localPreference: localPreference(for: address.address, rank: rank)),
            foundation: foundation(.host, base: address.address, server: nil))
    }

    /// A server-reflexive candidate that `server` (or several DHT nodes together: `nil`) told of.
    ///
    /// - Parameter base: the host address behind it; `nil` hides it from the peer.
    public static func serverReflexive(
        _ address: TransportAddress, base: TransportAddress? = nil, server: IPAddress? = nil, rank: UInt16 = 0
    ) -> Candidate {
        Candidate(
            kind: .serverReflexive, address: address, relatedAddress: base,
            priority: priority(.serverReflexive, localPreference: localPreference(for: address.address, rank: rank)),
            foundation: foundation(.serverReflexive, base: base?.address ?? address.address, server: server))
    }

    /// A relayed candidate that a TURN server lends.
    ///
    /// - Parameters:
    ///   - mapped: where that server sees us; `nil` hides it from the peer.
    ///   - rank: 0 for the server to be tried first.
    public static func relayed(
        _ address: TransportAddress, mapped: TransportAddress? = nil, server: IPAddress, rank: UInt16 = 0
    ) -> Candidate {
        Candidate(
            kind: .relayed, address: address, relatedAddress: mapped,
            priority: priority(.relayed, localPreference: localPreference(for: address.address, rank: rank)),
            foundation: foundation(.relayed, base: address.address, server: server))
    }

    /// RFC 8445 §5.1.2.1 for component 1.
    public static func priority(_ kind: CandidateKind, localPreference: UInt16) -> UInt32 {
        UInt32(kind.typePreference) << 24 | UInt32(localPreference) << 8 | 255
    }

    /// A local preference that puts IPv6 before IPv4 (RFC 8421 §4) and lower ranks before higher ones.
    public static func localPreference(for address: IPAddress, rank: UInt16) -> UInt16 {
        let top: UInt16 = address.isIPv6 ? 0xffff : 0x7fff
        return top - min(rank, 0x7fff)
    }

    /// A foundation of up to ten digits: the same for the same kind, base and server.
    static func foundation(_ kind: CandidateKind, base: IPAddress, server: IPAddress?) -> String {
        String(CRC32.checksum(([kind.typePreference] + base.bytes + (server?.bytes ?? []))[...]))
    }
}
