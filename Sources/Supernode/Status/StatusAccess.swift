import SwarmBase
import SwarmTransport

/// Who may see the operator's view: programs on this host, and whoever has the token.
struct StatusAccess {
    /// `nil`: nobody from elsewhere.
    var token: String?

    enum Decision: Equatable {
        case granted
        /// The token is missing or another.
        case tokenNeeded
        /// There is no token, and the request is not from this host.
        case hostOnly
    }

    func decide(_ request: HTTPRequest) -> Decision {
        if let token, request.header("Authorization").map({ Self.isSame($0, "Bearer \(token)") }) == true {
            return .granted
        }
        if isLocal(request) { return .granted }
        return token == nil ? .hostOnly : .tokenNeeded
    }

    /// From this host, and not passed on by a proxy; and meant for it by name, lest a page of elsewhere whose name was
    /// pointed to loopback reads it through the operator's own browser.
    private func isLocal(_ request: HTTPRequest) -> Bool {
        guard request.remoteAddress?.address.isLoopback == true, request.header("X-Forwarded-For") == nil,
            request.header("Forwarded") == nil, let host = request.header("Host"),
            let name = WebSocketURL("ws://\(host)/")?.host
        else { return false }
        return name == "localhost" || IPAddress(name)?.isLoopback == true
    }

    /// Takes as long for a wrong token as for the right one.
    private static func isSame(_ a: String, _ b: String) -> Bool {
        let (a, b) = (Array(a.utf8), Array(b.utf8))
        var difference = a.count ^ b.count
        for index in a.indices { difference |= Int(a[index] ^ b[b.isEmpty ? 0 : index % b.count]) }
        return difference == 0
    }
}
