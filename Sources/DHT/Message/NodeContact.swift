public import SwarmBase

/// A node as others tell of it: 26 bytes over IPv4, 38 over IPv6 (BEP 5 and 32, "compact node info").
public struct NodeContact: Hashable, Sendable {
    public var id: NodeID
    public var address: TransportAddress

    public init(id: NodeID, address: TransportAddress) {
        self.id = id
        self.address = address
    }
}

/// The two DHTs: nodes of one family know nodes of the same (BEP 32).
public enum AddressFamily: Hashable, CaseIterable, Sendable {
    case ipv4, ipv6

    /// The family of an address.
    public init(_ address: IPAddress) { self = address.isIPv6 ? .ipv6 : .ipv4 }

    /// The bytes of an address and a port.
    var endpointSize: Int { self == .ipv4 ? 6 : 18 }
    /// The bytes of a compact node.
    var contactSize: Int { NodeID.byteCount + endpointSize }
}

/// Addresses and ports in as few bytes as they have (BEP 5, "compact IP-address/port info").
enum CompactForm {
    static func append(_ endpoint: TransportAddress, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: endpoint.address.bytes)
        bytes.append(UInt8(endpoint.port >> 8))
        bytes.append(UInt8(truncatingIfNeeded: endpoint.port))
    }

    static func endpoint(_ bytes: ArraySlice<UInt8>) -> TransportAddress? {
        guard bytes.count == 6 || bytes.count == 18, let address = IPAddress(bytes: bytes.dropLast(2)) else {
            return nil
        }
        let port = bytes.suffix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
        return TransportAddress(address, port: port)
    }

    static func contacts(_ contacts: [NodeContact]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(contacts.count * 38)
        for contact in contacts {
            contact.id.append(to: &bytes)
            append(contact.address, to: &bytes)
        }
        return bytes
    }

    /// Reads whole contacts and leaves out what is not: a port of 0, an address of the other family.
    static func contacts(_ bytes: ArraySlice<UInt8>, family: AddressFamily, limit: Int) -> [NodeContact] {
        var result: [NodeContact] = []
        var rest = bytes
        while rest.count >= family.contactSize, result.count < limit {
            let piece = rest.prefix(family.contactSize)
            rest = rest.dropFirst(family.contactSize)
            guard let id = NodeID(bytes: piece.prefix(NodeID.byteCount)),
                let endpoint = endpoint(piece.dropFirst(NodeID.byteCount)), endpoint.port != 0,
                AddressFamily(endpoint.address) == family
            else { continue }
            result.append(NodeContact(id: id, address: endpoint))
        }
        return result
    }
}
