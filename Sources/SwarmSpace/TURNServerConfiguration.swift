import ICE
import SwarmBase

/// A TURN server (RFC 8656) that lends addresses to who has a user name and password there.
public struct TURNServerConfiguration: Hashable, Sendable {
    /// `turn:host:port`, `turn:host:port?transport=tcp` or `turns:host:port` (RFC 7065); without a port 3478, or 5349
    /// with TLS.
    public var url: String
    /// 1 to 508 bytes of UTF-8 (RFC 8489 §14.3).
    public var username: String
    public var password: String

    public init(url: String, username: String, password: String) {
        self.url = url
        self.username = username
        self.password = password
    }

    var location: TURNLocation? { TURNLocation(url) }

    /// The same for the TURN client; `nil` when the user name is too long or empty.
    func settings(at address: TransportAddress) -> TURNServer? {
        guard let location, let credentials = TURNCredentials(username: username, password: password) else {
            return nil
        }
        return TURNServer(
            address: address, transport: location.transport, credentials: credentials)
    }
}
