import SwarmBase
import WebRTC

/// Where members were met, kept from one run to the next: tried first, whatever else is there.
///
/// Keys are `peer/PEER`; a value is the time of the last meeting in milliseconds since 1970, 8 bytes, and addresses, each
/// with its length of 6 or 18 before it.
extension SwarmEngine {
    /// How many members' addresses are kept.
    static let mostKnownPeers = 64
    /// How many addresses of each.
    static let mostKnownAddresses = 4
    /// What was not met for so long is forgotten.
    static let knownFor: Duration = .seconds(90 * 86_400)

    /// Takes up what an earlier run kept.
    mutating func restoreKnownPeers(_ records: [(key: String, value: [UInt8])], now: Instant) {
        for (key, value) in records {
            let parts = key.split(separator: "/")
            guard parts.count == 2, parts[0] == "peer", let peer = PeerID(String(parts[1])), peer != peerID,
                let known = KnownPeer(parsing: value)
            else { continue }
            guard wall(now) - Double(known.metAt) <= Self.knownFor.milliseconds else {
                pendingWrites.append(StorageWrite(key: key, value: nil))
                continue
            }
            knownPeers[peer] = known
        }
        forgetSurplusKnownPeers()
        // The latest first: how many hellos leave at once is bounded.
        for (_, known) in knownPeers.sorted(by: { ($0.value.metAt, $0.key) > ($1.value.metAt, $1.key) }) {
            for address in known.addresses { datagrams.seek(address, plane: .known, isKept: true, now: now) }
        }
    }

    /// Notes where a member has just answered, or where the direct path to it leads.
    mutating func keepEndpoints(of member: Member, now: Instant) {
        var addresses = datagrams.endpoints(of: member.peer)
        if let connection = openConnection(of: member), let remote = connection.peerConnection.remoteAddress,
            connection.peerConnection.selectedPath?.isRelayed == false
        {
            addresses.insert(remote, at: 0)
        }
        var known = knownPeers[member.peer] ?? KnownPeer(metAt: 0, addresses: [])
        for address in (addresses + known.addresses).reversed() {
            known.addresses.removeAll { $0 == address }
            known.addresses.insert(address, at: 0)
        }
        known.addresses = Array(known.addresses.prefix(Self.mostKnownAddresses))
        known.metAt = UInt64(max(0, wall(now)))
        guard !known.addresses.isEmpty else { return }
        knownPeers[member.peer] = known
        forgetSurplusKnownPeers()
        guard configuration.isDurable else { return }
        pendingWrites.append(StorageWrite(key: "peer/\(member.id)", value: known.bytes))
    }

    /// Notes the socket's port: the next run takes the same one if it is free, so that others find it there again.
    public mutating func keepPort(_ port: UInt16) {
        guard configuration.isDurable, port != 0, port != keptPort else { return }
        keptPort = port
        pendingWrites.append(StorageWrite(key: "port", value: [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)]))
    }

    /// The port that an earlier run kept; 0 for none.
    ///
    /// - Parameter records: every key and value that is kept.
    public static func keptPort(in records: [(key: [UInt8], value: [UInt8])]) -> UInt16 {
        guard let kept = records.first(where: { $0.key == Array("port".utf8) })?.value, kept.count == 2 else {
            return 0
        }
        return UInt16(kept[0]) << 8 | UInt16(kept[1])
    }

    private mutating func forgetSurplusKnownPeers() {
        while knownPeers.count > Self.mostKnownPeers,
            let oldest = knownPeers.min(by: { ($0.value.metAt, $0.key) < ($1.value.metAt, $1.key) })
        {
            knownPeers[oldest.key] = nil
            if configuration.isDurable {
                pendingWrites.append(StorageWrite(key: "peer/\(oldest.key)", value: nil))
            }
        }
    }
}

/// Where one member was met.
struct KnownPeer: Equatable, Sendable {
    /// Milliseconds since 1970.
    var metAt: UInt64
    /// The latest first.
    var addresses: [TransportAddress]

    init(metAt: UInt64, addresses: [TransportAddress]) {
        self.metAt = metAt
        self.addresses = addresses
    }

    init?(parsing bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let metAt: UInt64 = reader.integer() else { return nil }
        var addresses: [TransportAddress] = []
        while addresses.count < SwarmEngine.mostKnownAddresses, let compact = reader.prefixed(by: UInt8.self),
            let address = TransportAddress(compact: compact)
        {
            addresses.append(address)
        }
        self.init(metAt: metAt, addresses: addresses)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 64)
        writer.integer(metAt)
        for address in addresses { writer.prefixed(by: UInt8.self, address.compact) }
        return writer.bytes
    }
}
