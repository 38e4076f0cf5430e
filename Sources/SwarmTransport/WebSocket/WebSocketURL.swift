import SwarmBase

/// Where a WebSocket is dialled: `ws:`, `wss:`, and `http:`/`https:` as their twins (gun.md §4).
public struct WebSocketURL: Hashable, Sendable, LosslessStringConvertible {
    /// Whether TLS is spoken.
    public var isSecure: Bool
    /// A host name or an address, without brackets.
    public var host: String
    public var port: Int
    /// Path and query as they stand in the request line; at least `/`.
    public var target: String

    /// Reads an absolute URL. User information and fragment are dropped.
    ///
    /// - Returns: `nil` for another scheme, an empty host, a port outside 1…65535, or a character that has no place in
    ///   a request line (white space, controls, anything that is not ASCII).
    public init?(_ description: String) {
        guard description.utf8.count <= 2048, description.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
            let separator = description.firstIndex(of: ":")
        else { return nil }
        switch description[..<separator].lowercased() {
        case "ws", "http": isSecure = false
        case "wss", "https": isSecure = true
        default: return nil
        }
        var rest = description[description.index(after: separator)...]
        guard rest.hasPrefix("//") else { return nil }
        rest = rest.dropFirst(2)
        if let fragment = rest.firstIndex(of: "#") { rest = rest[..<fragment] }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        var authority = rest[..<end]
        if let at = authority.lastIndex(of: "@") { authority = authority[authority.index(after: at)...] }
        let tail = rest[end...]
        target = tail.hasPrefix("/") ? String(tail) : "/" + tail

        var portText: Substring? = nil
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            let inside = String(authority[authority.index(after: authority.startIndex)..<close])
            guard let address = IPAddress(inside), inside.contains(":") else { return nil }
            host = address.description
            let after = authority[authority.index(after: close)...]
            if after.hasPrefix(":") { portText = after.dropFirst() } else if !after.isEmpty { return nil }
        } else {
            let parts = authority.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = parts.first, !name.isEmpty, !name.contains(where: { "\\<>\"{}|^`[]".contains($0) }) else {
                return nil
            }
            host = name.lowercased()
            if parts.count == 2 { portText = parts[1] }
        }
        guard let portText, !portText.isEmpty else {
            port = isSecure ? 443 : 80
            return
        }
        guard portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt16(portText), number > 0 else {
            return nil
        }
        port = Int(number)
    }

    /// The URL with a `ws` or `wss` scheme.
    public var description: String { (isSecure ? "wss://" : "ws://") + authority + target }

    /// What the `Host` header says: the port only when it is not the scheme's (RFC 9110 §7.2).
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }
}
