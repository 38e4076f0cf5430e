internal import DTLS
internal import ICE
internal import SwarmBase

/// A description in about 200 characters of base64url, short enough to be copied by hand or put into a link.
///
/// It holds what two of our own peers cannot know of each other; everything else of SDP is at its default. Layout, all
/// numbers big-endian: version 1, flags (bit 0 answer, bits 1–2 setup, bit 3 end of candidates), ufrag and password each
/// with its length in one byte, the SHA-256 fingerprint, the longest message (4 bytes, 0 for no limit), then for each
/// candidate: kind (bits 0–1) and family (bit 7 for IPv6), address, port, priority.
extension SessionDescription {
    private static let compactVersion: UInt8 = 1
    private static let setups: [Setup] = [.actpass, .active, .passive]
    private static let kinds: [CandidateKind] = [.host, .serverReflexive, .peerReflexive, .relayed]
    /// Characters that are read at most; 20 candidates of IPv6 have 613 bytes, so 818 characters.
    private static let maximumCompactLength = 4096

    /// The compact form; `nil` when there is no SHA-256 fingerprint to put into it.
    public var compact: String? {
        guard let fingerprint = fingerprints.first(where: { $0.hashFunction == .sha256 }),
            let setup = Self.setups.firstIndex(of: setup)
        else { return nil }
        var writer = ByteWriter(capacity: 256)
        writer.integer(Self.compactVersion)
        writer.integer(UInt8((kind == .answer ? 1 : 0) | setup << 1 | (hasEndOfCandidates ? 8 : 0)))
        // ICE bounds both at 256 characters; 255 fit the length, and ours have 8 and 24.
        guard credentials.ufrag.utf8.count < 256, credentials.password.utf8.count < 256 else { return nil }
        writer.prefixed(by: UInt8.self, Array(credentials.ufrag.utf8))
        writer.prefixed(by: UInt8.self, Array(credentials.password.utf8))
        writer.append(fingerprint.digest)
        writer.integer(UInt32(exactly: maxMessageSize) ?? 0)
        for candidate in candidates {
            let kind = UInt8(Self.kinds.firstIndex(of: candidate.kind) ?? 0)
            writer.integer(kind | (candidate.address.address.isIPv6 ? 0x80 : 0))
            writer.append(candidate.address.address.bytes)
            writer.integer(candidate.address.port)
            writer.integer(candidate.priority)
        }
        return writer.bytes.base64URL
    }

    /// Reads the compact form; `nil` for anything else.
    public init?(compact text: String) {
        guard text.utf8.count <= Self.maximumCompactLength, let bytes = [UInt8](base64URL: text) else { return nil }
        var reader = ByteReader(bytes)
        guard reader.integer(UInt8.self) == Self.compactVersion, let flags = reader.integer(UInt8.self), flags < 16,
            let ufrag = reader.prefixed(by: UInt8.self), let password = reader.prefixed(by: UInt8.self),
            let credentials = ICECredentials(
                ufrag: String(decoding: ufrag, as: UTF8.self), password: String(decoding: password, as: UTF8.self)),
            let digest = reader.bytes(32), let fingerprint = DTLSFingerprint(.sha256, digest: digest),
            let size = reader.integer(UInt32.self)
        else { return nil }
        let kind: Kind = flags & 1 == 0 ? .offer : .answer
        let setupIndex = Int(flags >> 1 & 3)
        guard setupIndex < Self.setups.count, (kind == .offer) || Self.setups[setupIndex] != .actpass else {
            return nil
        }
        var candidates: [Candidate] = []
        while !reader.isAtEnd {
            guard let tag = reader.integer(UInt8.self), tag & 0x7c == 0,
                let address = reader.bytes(tag & 0x80 == 0 ? 4 : 16).flatMap({ IPAddress(bytes: $0) }),
                let port = reader.integer(UInt16.self), port != 0, let priority = reader.integer(UInt32.self)
            else { return nil }
            candidates.append(
                Candidate(
                    kind: Self.kinds[Int(tag & 3)], address: TransportAddress(address, port: port),
                    priority: priority, foundation: String(candidates.count + 1)))
        }
        let sessionID = digest.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } >> 1
        self.init(
            kind: kind, sessionID: sessionID, version: 2, credentials: credentials, fingerprints: [fingerprint],
            setup: Self.setups[setupIndex], maxMessageSize: size == 0 ? .max : Int(size), candidates: candidates,
            hasEndOfCandidates: flags & 8 != 0)
    }
}
