import Glibc
import NIOCore
import SwarmBase

extension TransportAddress {
    /// The transport address of a socket address; IPv4-mapped IPv6 becomes IPv4, an IPv6 zone is dropped.
    ///
    /// - Returns: `nil` for anything but IP.
    init?(_ address: SocketAddress) {
        switch address {
        case .v4(let v4):
            self.init(socketAddress: unsafe withUnsafeBytes(of: v4.address) { unsafe Array($0) })
        case .v6(let v6):
            self.init(socketAddress: unsafe withUnsafeBytes(of: v6.address) { unsafe Array($0) })
        case .unixDomainSocket:
            return nil
        }
    }

    /// The transport address in the bytes of a `sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)): the family in the machine's
    /// order, then all in network order.
    ///
    /// - Returns: `nil` for anything else.
    init?(socketAddress bytes: [UInt8]) {
        guard bytes.count >= 2 else { return nil }
        let family = unsafe bytes.withUnsafeBytes { CInt(unsafe $0.loadUnaligned(as: sa_family_t.self)) }
        var reader = ByteReader(Array(bytes.dropFirst(2)))
        guard let port = reader.integer(UInt16.self) else { return nil }
        switch family {
        case AF_INET:
            guard let address = reader.integer(UInt32.self) else { return nil }
            self.init(.v4(address), port: port)
        case AF_INET6:
            // The flow label comes between.
            guard reader.integer(UInt32.self) != nil, let high = reader.integer(UInt64.self),
                let low = reader.integer(UInt64.self)
            else { return nil }
            self.init(IPAddress(high: high, low: low), port: port)
        default:
            return nil
        }
    }
}

extension SocketAddress {
    /// The same for the system. Read and not looked up: where the machine has no IPv6 address, the resolver refuses even
    /// `::`, which can be bound all the same.
    init(_ address: TransportAddress) throws {
        try self.init(ipAddress: address.address.description, port: Int(address.port))
    }
}
