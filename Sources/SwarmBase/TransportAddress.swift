/// An IPv4 or IPv6 address, without a zone.
///
/// An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is always held as IPv4, so that one peer has one address however
/// the socket reports it.
public enum IPAddress: Hashable, Sendable {
    /// The four bytes in network order, as one number.
    case v4(UInt32)
    /// The sixteen bytes in network order, as two numbers.
    case v6(UInt64, UInt64)

    /// Makes an address from 4 or 16 bytes in network order.
    ///
    /// - Returns: `nil` for any other count.
    public init?(bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4:
            self = .v4(bytes.reduce(0) { $0 << 8 | UInt32($1) })
        case 16:
            let high = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let low = bytes.dropFirst(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            self.init(high: high, low: low)
        default:
            return nil
        }
    }

    /// Makes an address from the two halves of an IPv6 address, turning a mapped one into IPv4.
    public init(high: UInt64, low: UInt64) {
        if high == 0, low >> 32 == 0xffff {
            self = .v4(UInt32(truncatingIfNeeded: low))
        } else {
            self = .v6(high, low)
        }
    }

    /// The address in network order: 4 or 16 bytes.
    public var bytes: [UInt8] {
        switch self {
        case .v4(let value):
            (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
        case .v6(let high, let low):
            [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) } }
        }
    }

    /// Whether this is an IPv6 address.
    public var isIPv6: Bool {
        if case .v6 = self { true } else { false }
    }

    /// 127.0.0.0/8 or ::1.
    public var isLoopback: Bool {
        switch self {
        case .v4(let value): value >> 24 == 127
        case .v6(let high, let low): high == 0 && low == 1
        }
    }

    /// 169.254.0.0/16 or fe80::/10.
    public var isLinkLocal: Bool {
        switch self {
        case .v4(let value): value >> 16 == 0xa9fe
        case .v6(let high, _): high >> 54 == 0xfe80 >> 6
        }
    }

    /// 0.0.0.0 or ::.
    public var isUnspecified: Bool {
        switch self {
        case .v4(let value): value == 0
        case .v6(let high, let low): high == 0 && low == 0
        }
    }

    /// 224.0.0.0/4, 255.255.255.255 or ff00::/8.
    public var isMulticastOrBroadcast: Bool {
        switch self {
        case .v4(let value): value >> 28 == 0xe || value == .max
        case .v6(let high, _): high >> 56 == 0xff
        }
    }
}

extension IPAddress: Comparable {
    /// IPv4 first, then as numbers: an order that depends on nothing but the addresses.
    public static func < (a: IPAddress, b: IPAddress) -> Bool {
        switch (a, b) {
        case (.v4(let a), .v4(let b)): a < b
        case (.v6(let aHigh, let aLow), .v6(let bHigh, let bLow)): (aHigh, aLow) < (bHigh, bLow)
        case (.v4, .v6): true
        case (.v6, .v4): false
        }
    }
}

/// An IP address and a UDP or TCP port: what RFC 8445 §4 calls a transport address.
public struct TransportAddress: Hashable, Sendable {
    public var address: IPAddress
    public var port: UInt16

    @inlinable
    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

extension TransportAddress: Comparable {
    public static func < (a: TransportAddress, b: TransportAddress) -> Bool {
        (a.address, a.port) < (b.address, b.port)
    }
}

/// One datagram to be sent.
public struct Transmit: Hashable, Sendable {
    public var destination: TransportAddress
    public var payload: [UInt8]
    /// The address it is sent from when a TURN server is to do so (RFC 8656 §3: the relayed transport address); `nil`
    /// for the node's own socket.
    public var relay: TransportAddress?
    /// Whether it must be lost rather than cut apart where it is too long for the path (RFC 8899 §3): it finds out what
    /// passes, or goes by what was found out. Others may be fragmented.
    public var forbidsFragmentation: Bool

    @inlinable
    public init(
        to destination: TransportAddress, payload: [UInt8], via relay: TransportAddress? = nil,
        forbidsFragmentation: Bool = false
    ) {
        self.destination = destination
        self.payload = payload
        self.relay = relay
        self.forbidsFragmentation = forbidsFragmentation
    }
}
