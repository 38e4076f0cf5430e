/// A TURN server as a URI names it (RFC 7065): `turn:host:port?transport=udp|tcp` or `turns:host:port`.
public struct TURNLocation: Hashable, Sendable, CustomStringConvertible {
    /// How the client's side of the connection is carried; what is relayed is UDP in any case.
    public enum Carrier: Hashable, Sendable { case udp, tcp, tls }

    /// A name or an IP address, without brackets.
    public var host: String
    /// 1…65535; 3478 by default, 5349 with TLS (RFC 7065 §3.2).
    public var port: UInt16
    public var carrier: Carrier

    /// The same as a ``TURNClient`` tells it apart: TLS is its owner's.
    public var transport: TURNTransport { carrier == .udp ? .udp : .stream }

    /// A server by its parts.
    public init(host: String, port: UInt16, carrier: Carrier) {
        self.host = host
        self.port = port
        self.carrier = carrier
    }

    /// Reads a URI.
    ///
    /// - Returns: `nil` for anything else; TURN over DTLS (`turns:` with `transport=udp`) included.
    public init?(_ text: String) {
        let isSecure = text.lowercased().hasPrefix("turns:")
        guard isSecure || text.lowercased().hasPrefix("turn:") else { return nil }
        let parts = text.dropFirst(isSecure ? 6 : 5).split(separator: "?", omittingEmptySubsequences: false)
        guard parts.count <= 2, let place = parts.first else { return nil }
        switch (isSecure, parts.count == 1 ? nil : parts[1].lowercased()) {
        case (true, nil), (true, "transport=tcp"): carrier = .tls
        case (false, nil), (false, "transport=udp"): carrier = .udp
        case (false, "transport=tcp"): carrier = .tcp
        default: return nil
        }
        guard let place = ServerPlace(place, defaultPort: isSecure ? 5349 : 3478) else { return nil }
        (host, port) = (place.host, place.port)
    }

    /// The URI.
    public var description: String {
        let place = ServerPlace(host: host, port: port)
        switch carrier {
        case .udp: return "turn:\(place)"
        case .tcp: return "turn:\(place)?transport=tcp"
        case .tls: return "turns:\(place)"
        }
    }
}

/// A STUN server as a URI names it (RFC 7064): `stun:host:port`, over UDP.
public struct STUNLocation: Hashable, Sendable, CustomStringConvertible {
    /// A name or an IP address, without brackets.
    public var host: String
    /// 1…65535; 3478 by default (RFC 7064 §3.2).
    public var port: UInt16

    /// A server by its parts.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads a URI.
    ///
    /// - Returns: `nil` for anything else; STUN over TLS (`stuns:`) included, which says nothing of a UDP socket.
    public init?(_ text: String) {
        guard text.lowercased().hasPrefix("stun:"),
            let place = ServerPlace(text.dropFirst(5), defaultPort: 3478)
        else { return nil }
        (host, port) = (place.host, place.port)
    }

    /// The URI.
    public var description: String { "stun:\(ServerPlace(host: host, port: port))" }
}

/// `host`, `host:port` or `[IPv6]:port`.
private struct ServerPlace: CustomStringConvertible {
    var host: String
    var port: UInt16

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    init?(_ text: some StringProtocol, defaultPort: UInt16) {
        let end: String.Index
        if text.first == "[" {
            guard let bracket = text.firstIndex(of: "]") else { return nil }
            host = String(text[text.index(after: text.startIndex)..<bracket])
            end = text.index(after: bracket)
        } else {
            end = text.firstIndex(of: ":") ?? text.endIndex
            host = String(text[..<end])
        }
        guard !host.isEmpty, !host.contains(where: { "[]?/@ ".contains($0) }) else { return nil }
        let rest = text[end...]
        if rest.isEmpty {
            port = defaultPort
        } else {
            // An IPv6 address without brackets has more than one colon, and is no port.
            guard rest.first == ":", rest.dropFirst().allSatisfy({ $0.isASCII && $0.isNumber }),
                let port = UInt16(rest.dropFirst()), port != 0
            else { return nil }
            self.port = port
        }
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
