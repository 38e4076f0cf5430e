/// An address and port in 6 bytes (IPv4, BEP 23) or 18 (IPv6, BEP 7), in network order.
extension TransportAddress {
    /// The 6 or 18 bytes.
    public var compact: [UInt8] { address.bytes + [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)] }

    /// Reads 6 or 18 bytes; `nil` for any other count.
    public init?(compact bytes: some Collection<UInt8>) {
        guard bytes.count == 6 || bytes.count == 18, let address = IPAddress(bytes: bytes.dropLast(2)) else {
            return nil
        }
        self.init(address, port: bytes.suffix(2).reduce(0) { $0 << 8 | UInt16($1) })
    }

    /// Reads one after the other; bytes at the end that are too few for one more are left out.
    ///
    /// - Parameters:
    ///   - size: 6 or 18.
    ///   - limit: how many are read at most.
    public static func compactList(_ bytes: [UInt8], size: Int, limit: Int) -> [TransportAddress] {
        guard size == 6 || size == 18 else { return [] }
        return (0..<min(bytes.count / size, max(0, limit))).compactMap { index in
            TransportAddress(compact: bytes[index * size..<(index + 1) * size])
        }
    }

    /// Whether somebody could be there: a port, and an address of one host.
    public var isUsable: Bool { port != 0 && !address.isUnspecified && !address.isMulticastOrBroadcast }
}
