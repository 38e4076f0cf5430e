public import NIOCore
import NIOHTTP1
import NIOPosix
import SwarmBase

/// What a fetch brought: the status, and the body if it was not too long.
public struct HTTPFetchResult: Sendable {
    public var status: Int
    public var body: [UInt8]
}

/// Why a fetch brought nothing.
public enum HTTPFetchError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was given is no `http:` or `https:` URL.
    case badURL
    /// It did not come within the time.
    case timedOut
    /// The body has more bytes than were wanted.
    case tooLong
    /// The connection could not be made, or ended early; what the system said.
    case failed(String)

    public var description: String {
        switch self {
        case .badURL: "this is no http: or https: URL"
        case .timedOut: "it does not answer in time"
        case .tooLong: "its answer is too long"
        case .failed(let text): text
        }
    }
}

/// One GET of one small document; nothing is kept open, and no redirection is followed.
public enum HTTPFetch {
    /// Fetches a URL.
    ///
    /// - Parameters:
    ///   - limit: the most bytes of the body.
    ///   - timeout: from the beginning to the end.
    /// - Returns: fails with ``HTTPFetchError``.
    public static func get(
        _ text: String, limit: Int, timeout: Duration, on eventLoop: any EventLoop
    ) -> EventLoopFuture<HTTPFetchResult> {
        let promise = eventLoop.makePromise(of: HTTPFetchResult.self)
        guard let url = WebSocketURL(text) else {
            promise.fail(HTTPFetchError.badURL)
            return promise.futureResult
        }
        let deadline = eventLoop.scheduleTask(in: TimeAmount(timeout)) { promise.fail(HTTPFetchError.timedOut) }
        promise.futureResult.whenComplete { _ in deadline.cancel() }
        ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(timeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if url.isSecure { try pipeline.addHandler(ClientTLS.system.get().handler(host: url.host)) }
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(FetchHandler(url: url, limit: limit, promise: promise))
                }
            }
            .connect(host: url.host, port: url.port)
            .whenComplete { result in
                switch result {
                case .failure(let error): promise.fail(HTTPFetchError.failed(String(describing: error)))
                case .success(let channel):
                    promise.futureResult.whenComplete { _ in channel.close(promise: nil) }
                }
            }
        return promise.futureResult
    }
}

/// Sends the one request, and gathers the one answer.
private final class FetchHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let url: WebSocketURL
    private let limit: Int
    private let promise: EventLoopPromise<HTTPFetchResult>
    private var status = 0
    private var body: [UInt8] = []

    init(url: WebSocketURL, limit: Int, promise: EventLoopPromise<HTTPFetchResult>) {
        self.url = url
        self.limit = limit
        self.promise = promise
    }

    func channelActive(context: ChannelHandlerContext) {
        let host = url.host.contains(":") ? "[\(url.host)]" : url.host
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: url.target,
            headers: ["Host": "\(host):\(url.port)", "Connection": "close", "User-Agent": "swarm-space"])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): status = Int(head.status.code)
        case .body(let part):
            guard body.count + part.readableBytes <= limit else {
                promise.fail(HTTPFetchError.tooLong)
                return context.close(promise: nil)
            }
            body += part.readableBytesView
        case .end: promise.succeed(HTTPFetchResult(status: status, body: body))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(HTTPFetchError.failed("the connection ended early"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(HTTPFetchError.failed(String(describing: error)))
        context.close(promise: nil)
    }
}
