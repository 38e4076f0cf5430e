import Crypto
import SwarmBase

/// What an INIT told us, given to the peer and taken back in its COOKIE ECHO (RFC 9260 §5.1.3): so a peer that only
/// sends INITs costs no memory.
struct StateCookie: Equatable, Sendable {
    var created: Instant
    var localTag: UInt32
    var peer: PeerParameters

    /// Why a cookie was refused.
    enum Refusal: Error, Equatable, Sendable {
        case forged
        /// It is older than allowed, by so much.
        case stale(by: Duration)
    }

    private static let bodySize = 8 + 4 + 4 + 4 + 4 + 2 + 2 + 1

    /// The cookie with its authentication code.
    func sealed(key: SymmetricKey) -> [UInt8] {
        var writer = ByteWriter(capacity: Self.bodySize + 32)
        writer.integer(UInt64(bitPattern: created.nanoseconds))
        writer.integer(localTag)
        writer.integer(peer.tag)
        writer.integer(peer.initialTSN)
        writer.integer(peer.window)
        writer.integer(peer.outboundStreams)
        writer.integer(peer.inboundStreams)
        writer.integer(
            UInt8(peer.supportsForwardTSN ? 1 : 0) | UInt8(peer.supportsReconfiguration ? 2 : 0)
                | UInt8(peer.supportsInterleaving ? 4 : 0) | UInt8(peer.acceptsZeroChecksum ? 8 : 0))
        writer.append(HMAC<SHA256>.authenticationCode(for: writer.bytes, using: key))
        return writer.bytes
    }

    /// Takes a cookie back.
    static func open(
        _ bytes: [UInt8], key: SymmetricKey, lifetime: Duration, now: Instant
    ) throws(Refusal) -> StateCookie {
        guard bytes.count == bodySize + 32 else { throw .forged }
        let body = Array(bytes[..<bodySize])
        guard HMAC<SHA256>.isValidAuthenticationCode(bytes[bodySize...], authenticating: body, using: key) else {
            throw .forged
        }
        var reader = ByteReader(body)
        guard let created = reader.integer(UInt64.self), let localTag = reader.integer(UInt32.self),
            let tag = reader.integer(UInt32.self), let initialTSN = reader.integer(UInt32.self),
            let window = reader.integer(UInt32.self), let outbound = reader.integer(UInt16.self),
            let inbound = reader.integer(UInt16.self), let flags = reader.integer(UInt8.self)
        else { throw .forged }
        let instant = Instant(nanoseconds: Int64(bitPattern: created))
        let age = now - instant
        if age > lifetime { throw .stale(by: age - lifetime) }
        return StateCookie(
            created: instant, localTag: localTag,
            peer: PeerParameters(
                tag: tag, initialTSN: initialTSN, window: window, outboundStreams: outbound, inboundStreams: inbound,
                supportsForwardTSN: flags & 1 != 0, supportsReconfiguration: flags & 2 != 0,
                supportsInterleaving: flags & 4 != 0, acceptsZeroChecksum: flags & 8 != 0))
    }
}

/// What the peer said about itself in INIT or INIT ACK.
struct PeerParameters: Equatable, Sendable {
    var tag: UInt32
    var initialTSN: UInt32
    var window: UInt32
    var outboundStreams: UInt16
    var inboundStreams: UInt16
    var supportsForwardTSN: Bool
    var supportsReconfiguration: Bool
    var supportsInterleaving = false
    var acceptsZeroChecksum = false
}

extension PeerParameters {
    init(_ chunk: InitiationChunk) {
        self.init(
            tag: chunk.tag, initialTSN: chunk.initialTSN, window: chunk.window,
            outboundStreams: chunk.outboundStreams, inboundStreams: chunk.inboundStreams,
            supportsForwardTSN: chunk.supportsForwardTSN, supportsReconfiguration: chunk.supportsReconfiguration,
            supportsInterleaving: chunk.supportsInterleaving, acceptsZeroChecksum: chunk.acceptsZeroChecksum)
    }
}
