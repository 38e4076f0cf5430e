import Glibc
public import SwarmBase

/// One address of one network interface.
public struct InterfaceAddress: Hashable, Sendable {
    /// The interface's name, such as `eth0`.
    public var interface: String
    public var address: IPAddress
    /// Up and with a carrier.
    public var isRunning: Bool
    public var isLoopback: Bool

    public init(interface: String, address: IPAddress, isRunning: Bool, isLoopback: Bool) {
        self.interface = interface
        self.address = address
        self.isRunning = isRunning
        self.isLoopback = isLoopback
    }
}

/// The addresses of this host that peers may be told as host candidates (RFC 8445 §5.1.1.1).
public enum LocalAddresses {
    /// How many addresses are told at most: each costs connectivity checks at every peer.
    public static let limit = 12

    /// The addresses that are useful now, in the order of the interfaces, each once.
    public static var current: [IPAddress] { candidates(among: interfaceAddresses()) }

    /// Chooses what is useful among all addresses.
    ///
    /// Left out are interfaces that are down, link-local IPv6 (useless without a zone), multicast and unspecified
    /// addresses. Bridges that container and virtual-machine software makes count only when nothing else is there,
    /// loopback only when not even those are.
    public static func candidates(among all: [InterfaceAddress]) -> [IPAddress] {
        let usable = all.filter { entry in
            let address = entry.address
            return entry.isRunning && !address.isUnspecified && !address.isMulticastOrBroadcast
                && !(address.isIPv6 && address.isLinkLocal)
        }
        let outside = usable.filter { !$0.isLoopback && !$0.address.isLoopback }
        let real = outside.filter { !isContainerBridge($0.interface) }
        let chosen = real.isEmpty ? (outside.isEmpty ? usable : outside) : real
        var result: [IPAddress] = []
        for entry in chosen where !result.contains(entry.address) { result.append(entry.address) }
        return Array(result.prefix(limit))
    }

    /// Whether an interface's name is one that container and virtual-machine software gives to its host-side bridges.
    static func isContainerBridge(_ name: String) -> Bool {
        // `br-` and twelve hexadecimal digits is a container network; an administrator's own bridge is named otherwise.
        if name.hasPrefix("br-") { return name.utf8.count == 15 && name.utf8.dropFirst(3).allSatisfy(isHexDigit) }
        return ["docker", "virbr", "lxcbr", "lxdbr", "cni", "podman", "flannel"].contains { prefix in
            name.hasPrefix(prefix)
        }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool { hexDigitValue(byte) != nil }

    /// All addresses of all interfaces; empty when the system does not tell.
    public static func interfaceAddresses() -> [InterfaceAddress] {
        var first: UnsafeMutablePointer<ifaddrs>? = nil
        guard unsafe getifaddrs(&first) == 0 else { return [] }
        defer { unsafe freeifaddrs(first) }
        var result: [InterfaceAddress] = []
        var next = unsafe first
        while let entry = unsafe next {
            unsafe next = entry.pointee.ifa_next
            guard let address = unsafe ipAddress(entry.pointee.ifa_addr) else { continue }
            let flags = unsafe entry.pointee.ifa_flags
            let running = UInt32(IFF_UP) | UInt32(IFF_RUNNING)
            result.append(
                InterfaceAddress(
                    interface: unsafe String(cString: entry.pointee.ifa_name), address: address,
                    isRunning: flags & running == running, isLoopback: flags & UInt32(IFF_LOOPBACK) != 0))
        }
        return result
    }

    private static func ipAddress(_ sockaddr: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
        guard let address = unsafe sockaddr else { return nil }
        // Every entry's storage is as long as its family says (getifaddrs(3)): 16 bytes of IPv4, 28 of IPv6.
        let family = unsafe CInt(address.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6 else { return nil }
        let bytes = unsafe UnsafeRawBufferPointer(start: address, count: family == AF_INET ? 16 : 28)
        return unsafe TransportAddress(socketAddress: Array(bytes))?.address
    }
}
