import SwarmTransport

/// Where a tracker is, and which of the three protocols it speaks.
public enum TrackerLocation: Hashable, Sendable {
    /// WebTorrent: a `ws:` or `wss:` URL.
    case webSocket(String)
    /// BEP 3: an `http:` or `https:` URL.
    case http(String)
    /// BEP 15: `udp://HOST:PORT`, with any path.
    case udp(host: String, port: UInt16)

    /// Reads a tracker's URL, as magnet links have it in `tr`.
    ///
    /// - Returns: `nil` for another scheme, or what is no URL.
    public init?(_ url: String) {
        let scheme = url.prefix { $0 != ":" }.lowercased()
        switch scheme {
        case "ws", "wss":
            guard WebSocketURL(url) != nil else { return nil }
            self = .webSocket(url)
        case "http", "https":
            guard WebSocketURL(url) != nil else { return nil }
            self = .http(url)
        case "udp":
            // A URL like the others but for its scheme.
            guard let location = WebSocketURL("ws" + url.dropFirst(scheme.count)),
                let port = UInt16(exactly: location.port)
            else { return nil }
            self = .udp(host: location.host, port: port)
        default:
            return nil
        }
    }
}
