import Glibc
import NIOCore
import SwarmBase

/// Which addresses of this host packets to the internet leave from: another one says that the default route has moved.
enum OutgoingAddresses {
    /// For each family that has a way out, its source address.
    static var current: [IPAddress] {
        // Addresses for documentation (RFC 5737, RFC 3849), routed like any other; nothing is sent.
        let targets = [
            TransportAddress(.v4(0xc000_0201), port: 9), TransportAddress(.v6(0x2001_0db8 << 32, 1), port: 9),
        ]
        return targets.compactMap(source(towards:))
    }

    private static func source(towards target: TransportAddress) -> IPAddress? {
        guard let address = try? SocketAddress(target) else { return nil }
        let family = target.address.isIPv6 ? AF_INET6 : AF_INET
        let descriptor = socket(family, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { _ = close(descriptor) }
        let connected = unsafe address.withSockAddr { unsafe connect(descriptor, $0, socklen_t($1)) }
        guard connected == 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 28)
        var length = socklen_t(bytes.count)
        let named = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe buffer.withMemoryRebound(to: sockaddr.self) {
                unsafe getsockname(descriptor, $0.baseAddress, &length)
            }
        }
        guard named == 0 else { return nil }
        return TransportAddress(socketAddress: bytes)?.address
    }
}
