public import SwarmBase

/// A request that a route answers.
public struct HTTPRequest: Sendable {
    /// Upper case, such as `GET`.
    public var method: String
    /// The path without the query, as sent; it starts with `/`.
    public var path: String
    /// What stood behind `?`.
    public var query: String?
    /// The fields in the order they came.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
    /// The client's address as TCP sees it.
    public var remoteAddress: TransportAddress?

    public init(
        method: String = "GET", path: String, query: String? = nil, headers: [(name: String, value: String)] = [],
        body: [UInt8] = [], remoteAddress: TransportAddress? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.remoteAddress = remoteAddress
    }

    /// The first value of a field; names do not heed case.
    public func header(_ name: String) -> String? {
        let wanted = name.lowercased()
        return headers.first { $0.name.lowercased() == wanted }?.value
    }
}

/// What a route answers.
public struct HTTPResponse: Sendable {
    public var status: Int
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A response with text of the given media type.
    public init(
        status: Int = 200, _ text: String, type: String = "text/plain; charset=utf-8",
        headers: [(name: String, value: String)] = []
    ) {
        self.init(status: status, headers: [("Content-Type", type)] + headers, body: Array(text.utf8))
    }
}

/// What becomes of a WebSocket upgrade request.
public enum WebSocketDecision {
    /// Upgrade; the closure gets the open connection on the event loop and sets its callbacks.
    case accept((WebSocketConnection) -> Void)
    /// Answer with this HTTP status instead.
    case refuse(status: Int)
}
