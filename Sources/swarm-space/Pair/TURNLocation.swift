/// A TURN server as RFC 7065 writes it: `turn:host:port?transport=udp|tcp` or `turns:host:port`.
struct TURNLocation: Equatable, Sendable {
    enum Carrier: Equatable, Sendable { case udp, tcp, tls }

    var host: String
    /// 1…65535; 3478 by default, 5349 with TLS.
    var port: Int
    var carrier: Carrier

    /// - Returns: `nil` for anything else; TURN over DTLS (`turns:` with `transport=udp`) included.
    init?(_ text: String) {
        let isSecure = text.lowercased().hasPrefix("turns:")
        guard isSecure || text.lowercased().hasPrefix("turn:") else { return nil }
        let parts = text.dropFirst(isSecure ? 6 : 5).split(separator: "?", omittingEmptySubsequences: false)
        switch (isSecure, parts.count == 1 ? nil : parts[1].lowercased()) {
        case (true, nil), (true, "transport=tcp"): carrier = .tls
        case (false, nil), (false, "transport=udp"): carrier = .udp
        case (false, "transport=tcp"): carrier = .tcp
        default: return nil
        }
        guard parts.count <= 2, let place = parts.first else { return nil }
        if let both = HostAndPort(String(place)) {
            (host, port) = (both.host, both.port)
        } else {
            guard !place.isEmpty, !place.contains(":") || (place.hasPrefix("[") && place.hasSuffix("]")) else {
                return nil
            }
            host = String(place.hasPrefix("[") ? place.dropFirst().dropLast() : place)
            port = isSecure ? 5349 : 3478
        }
    }
}
