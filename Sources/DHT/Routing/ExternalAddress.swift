public import SwarmBase

/// How the NAT in front of this node maps the socket (RFC 4787 §4.1), as far as others have told.
public enum ExternalMapping: Hashable, Sendable {
    /// Too few have told, or they do not agree.
    case unknown
    /// Everybody sees the same address and port: others can be told of it.
    case endpointIndependent(TransportAddress)
    /// The same address, but another port for each: nobody else can use what one sees (a symmetric NAT).
    case endpointDependent(IPAddress)

    /// The outside address, if known.
    public var address: IPAddress? {
        switch self {
        case .unknown: nil
        case .endpointIndependent(let endpoint): endpoint.address
        case .endpointDependent(let address): address
        }
    }
}

/// What others say our address is (BEP 42, `ip`): one voice for each network, the latest count.
struct ExternalAddress: Sendable {
    /// So many voices from distinct networks have to agree.
    static let needed = 3
    /// Of so many, the latest: a mapping that changes is noticed soon, and two of five who lie change nothing.
    static let considered = 5

    private var votes: [(group: AddressGroup, endpoint: TransportAddress)] = []
    private(set) var mapping = ExternalMapping.unknown

    /// Notes a vote.
    ///
    /// - Returns: whether what is believed has changed.
    mutating func vote(_ endpoint: TransportAddress, by reporter: TransportAddress) -> Bool {
        guard endpoint.port != 0, !endpoint.address.isMartian,
            // Who sees us at a local address is in the same network; who is elsewhere sees something else.
            !endpoint.address.isLocal || reporter.address.isLocal
        else { return false }
        let group = AddressGroup(reporter)
        votes.removeAll { $0.group == group }
        votes.append((group, endpoint))
        if votes.count > Self.considered { votes.removeFirst(votes.count - Self.considered) }
        let before = mapping
        mapping = decide() ?? mapping
        return mapping != before
    }

    /// The network changed: what was said before says nothing.
    mutating func forget() {
        votes = []
        mapping = .unknown
    }

    /// What the votes say; `nil` for nothing new.
    private func decide() -> ExternalMapping? {
        var addresses: [IPAddress: Int] = [:]
        var endpoints: [TransportAddress: Int] = [:]
        for vote in votes {
            addresses[vote.endpoint.address, default: 0] += 1
            endpoints[vote.endpoint, default: 0] += 1
        }
        if let (endpoint, count) = endpoints.max(by: { $0.value < $1.value }), count >= Self.needed {
            return .endpointIndependent(endpoint)
        }
        guard let (address, count) = addresses.max(by: { $0.value < $1.value }), count >= Self.needed else {
            return nil
        }
        let most = endpoints.filter { $0.key.address == address }.map(\.value).max() ?? 0
        // The ports of one mapping would agree by now.
        return most * 2 <= count ? .endpointDependent(address) : nil
    }
}
