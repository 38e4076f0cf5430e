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
            self.init(
                .v4(UInt32(bigEndian: v4.address.sin_addr.s_addr)), port: UInt16(bigEndian: v4.address.sin_port))
        case .v6(let v6):
            self.init(sockaddr: v6.address)
        case .unixDomainSocket:
            return nil
        }
    }

    /// The transport address in `sockaddr`.
    init(sockaddr: sockaddr_in6) {
        let words = unsafe sockaddr.sin6_addr.__in6_u.__u6_addr32
        let high = UInt64(UInt32(bigEndian: words.0)) << 32 | UInt64(UInt32(bigEndian: words.1))
        let low = UInt64(UInt32(bigEndian: words.2)) << 32 | UInt64(UInt32(bigEndian: words.3))
        self.init(IPAddress(high: high, low: low), port: UInt16(bigEndian: sockaddr.sin6_port))
    }

    /// The address for an IPv4 socket, or `nil` when it is IPv6.
    var sockaddrIPv4: sockaddr_in? {
        guard case .v4(let value) = address else { return nil }
        var result = sockaddr_in()
        result.sin_family = sa_family_t(AF_INET)
        result.sin_port = in_port_t(port).bigEndian
        result.sin_addr.s_addr = value.bigEndian
        return result
    }

    /// The address for an IPv6 socket, IPv4 as IPv4-mapped.
    var sockaddrIPv6: sockaddr_in6 {
        let (high, low): (UInt64, UInt64) =
            switch address {
            case .v4(let value): (0, 0xffff_0000_0000 | UInt64(value))
            case .v6(let high, let low): (high, low)
            }
        func word(_ half: UInt64, _ shift: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: half >> shift).bigEndian }
        var result = sockaddr_in6()
        result.sin6_family = sa_family_t(AF_INET6)
        result.sin6_port = in_port_t(port).bigEndian
        unsafe result.sin6_addr.__in6_u.__u6_addr32 = (word(high, 32), word(high, 0), word(low, 32), word(low, 0))
        return result
    }
}
