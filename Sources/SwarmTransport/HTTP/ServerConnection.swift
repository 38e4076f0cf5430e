import NIOCore
import NIOHTTP1
import NIOSSL
import SwarmBase

/// One TCP connection of an ``HTTPServer``: plain HTTP until an upgrade makes it a WebSocket.
final class ServerConnection {
    let remoteAddress: TransportAddress?
    private let server: HTTPServer
    private let channel: any Channel
    private var deadline: Scheduled<Void>?
    private var webSocket: WebSocketConnection?
    private var accepted: ((WebSocketConnection) -> Void)?
    private var offeredProtocol: String?
    private var refusal: HTTPResponse?
    /// Whether a request is being received or answered; else the connection idles and may be closed any time.
    private var isBusy = false

    init(server: HTTPServer, channel: any Channel, remoteAddress: TransportAddress?) {
        self.server = server
        self.channel = channel
        self.remoteAddress = remoteAddress
    }

    func start() throws {
        setDeadline(server.configuration.firstRequestTimeout)
        let pipeline = channel.pipeline.syncOperations
        if let tls = server.configuration.tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls.context)) }
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        let upgrader = WebSocketServerUpgrade {
            bound.value.upgradeHeaders()
        } begin: {
            try bound.value.upgrade()
        }
        var http = NIOUpgradableHTTPServerPipelineConfiguration(
            upgradeConfiguration: NIOTypedHTTPServerUpgradeConfiguration(
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(HTTPRequests(connection: bound.value))
                        return false
                    }
                }))
        http.decoderConfiguration.maxHeaderListSize = server.configuration.maximumHeaderBytes
        http.decoderConfiguration.maxHeaderFieldSize = server.configuration.maximumHeaderBytes
        http.decoderConfiguration.maxHeaderFieldCount = server.configuration.maximumHeaderFields
        try pipeline.configureUpgradableHTTPServerPipeline(configuration: http).assumeIsolated().whenFailure { _ in
            self.channel.close(promise: nil)
        }
        let upgrades = try pipeline.handler(type: NIOTypedHTTPServerUpgradeHandler<Bool>.self)
        try pipeline.addHandler(UpgradeFilter(connection: self), position: .before(upgrades))
    }

    var maximumBodyBytes: Int { server.configuration.maximumBodyBytes }

    private func setDeadline(_ duration: Duration?) {
        deadline?.cancel()
        deadline = duration.map { duration in
            channel.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(duration)) { [weak self] () -> Void in
                self?.channel.close(promise: nil)
            }
        }
    }

    // MARK: Upgrades

    private func request(_ head: HTTPRequestHead, body: [UInt8] = []) -> HTTPRequest {
        var target = head.uri[...]
        // The absolute form, as proxies use it (RFC 9112 §3.2.2).
        if target.lowercased().hasPrefix("http://") || target.lowercased().hasPrefix("https://") {
            let rest = target.drop { $0 != "/" }.dropFirst(2)
            target = rest.firstIndex(of: "/").map { rest[$0...] } ?? "/"
        }
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        return HTTPRequest(
            method: head.method.rawValue, path: parts.first.map { String($0) } ?? "/",
            query: parts.count == 2 ? String(parts[1]) : nil,
            headers: head.headers.map { (name: $0.name, value: $0.value) }, body: body, remoteAddress: remoteAddress)
    }

    /// Decides about the first request of the connection.
    ///
    /// The upgrade handler behind this forgets the head of a request that it does not upgrade. So it sees an
    /// `Upgrade` field only when the upgrade will happen; everything else is a plain request to it.
    func filter(_ head: HTTPRequestHead) -> HTTPRequestHead {
        var head = head
        let wantsWebSocket = head.headers[canonicalForm: "Upgrade"].contains { $0.lowercased() == "websocket" }
        head.headers.remove(name: "Upgrade")
        guard wantsWebSocket else { return head }
        switch decision(head) {
        case .success(let handler):
            accepted = handler
            // A client may insist on the sub-protocol it offered; the first is as good as any (gun.md §4).
            offeredProtocol = head.headers[canonicalForm: "Sec-WebSocket-Protocol"].first.map { String($0) }
            head.headers.add(name: "Upgrade", value: "websocket")
        case .failure(let refused):
            server.counters.webSocketsRefused += 1
            refusal = refused.response
        }
        return head
    }

    private struct Refused: Error {
        var response: HTTPResponse
    }

    private func decision(_ head: HTTPRequestHead) -> Result<(WebSocketConnection) -> Void, Refused> {
        // RFC 6455 §4.2.1 and §4.2.2.
        guard head.headers["Sec-WebSocket-Version"] == ["13"] else {
            return .failure(
                Refused(
                    response: HTTPResponse(
                        status: 426, "WebSocket version 13 is spoken here.\n",
                        headers: [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade")])
                ))
        }
        guard head.method == .GET, head.headers["Sec-WebSocket-Key"].count == 1,
            head.headers[canonicalForm: "Connection"].contains(where: { $0.lowercased() == "upgrade" })
        else { return .failure(Refused(response: HTTPResponse(status: 400, "This is no WebSocket request.\n"))) }
        guard !server.isStopping else { return .failure(Refused(response: HTTPResponse(status: 503))) }
        switch server.upgrades(request(head)) {
        case .accept(let handler): return .success(handler)
        case .refuse(let status):
            return .failure(Refused(response: HTTPResponse(status: status, "This WebSocket is not served.\n")))
        }
    }

    private func upgradeHeaders() -> HTTPHeaders? {
        guard accepted != nil else { return nil }
        return HTTPHeaders(offeredProtocol.map { [("Sec-WebSocket-Protocol", $0)] } ?? [])
    }

    private func upgrade() throws {
        guard let handler = accepted.take(), !server.isStopping else { throw HTTPServerError.stopped }
        setDeadline(nil)
        let webSocket = WebSocketConnection(
            eventLoop: channel.eventLoop, configuration: server.configuration.webSocket, isClient: false,
            flushes: server.flushes)
        self.webSocket = webSocket
        webSocket.onReceiving = { [server] in server.receiving($0) }
        try webSocket.upgrading(channel)
        // From now on everything is for the WebSocket.
        let pipeline = channel.pipeline.syncOperations
        pipeline.removeHandler(try pipeline.handler(type: UpgradeFilter.self), promise: nil)
        webSocket.upgraded()
        server.counters.webSocketsAccepted += 1
        handler(webSocket)
    }

    // MARK: Requests

    func requestStarted() { isBusy = true }

    /// - Returns: the response and whether the connection can be used for another request.
    func respond(to head: HTTPRequestHead, body: [UInt8]?) -> (response: HTTPResponse, keepAlive: Bool) {
        server.counters.requests += 1
        setDeadline(server.configuration.idleTimeout)
        let keepAlive = head.isKeepAlive && body != nil && !server.isStopping
        return (response(to: head, body: body), keepAlive)
    }

    private func response(to head: HTTPRequestHead, body: [UInt8]?) -> HTTPResponse {
        guard let body else { return HTTPResponse(status: 413, "The request is too long.\n") }
        if let refusal = refusal.take() { return refusal }
        var request = request(head, body: body)
        let isHead = request.method == "HEAD"
        let isRead = isHead || request.method == "GET"
        request.method = "GET"
        guard let found = server.routes(request) else { return HTTPResponse(status: 404, "There is nothing here.\n") }
        guard isRead else {
            return HTTPResponse(status: 405, "Only GET and HEAD are served.\n", headers: [("Allow", "GET, HEAD")])
        }
        return found
    }

    /// The answer is written; a client that asks and asks but never reads is cut.
    func responseWritten() {
        isBusy = false
        let waiting = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        if waiting > server.configuration.maximumBufferedBytes { cut() }
    }

    // MARK: The end

    func leave() {
        if let webSocket {
            webSocket.close(code: 1001, reason: "going away")
        } else if !isBusy {
            channel.close(promise: nil)
        }
    }

    /// What its WebSocket has received of a message that is not whole.
    var receivingBytes: Int { webSocket?.receivingBytes ?? 0 }

    /// Ends the WebSocket: what it sends in parts takes too much.
    func cutWebSocket() { webSocket?.end(.violation(code: 1009)) }

    func cut() { channel.close(promise: nil) }

    func closed() {
        deadline?.cancel()
        deadline = nil
        accepted = nil
        webSocket?.channelClosed()
    }
}

/// Shows the first request to its connection before the upgrade handler sees it.
private final class UpgradeFilter: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    private let connection: ServerConnection
    private var isFirst = true

    init(connection: ServerConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isFirst, case .head(let head) = Self.unwrapInboundIn(data) else { return context.fireChannelRead(data) }
        isFirst = false
        context.fireChannelRead(Self.wrapInboundOut(.head(connection.filter(head))))
    }

    /// What is no HTTP has been answered with 400 by now; there is no way on.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }
}

/// Collects the parts of requests and writes the answers.
private final class HTTPRequests: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private let connection: ServerConnection
    private let maximumBodyBytes: Int
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isTooLong = false

    init(connection: ServerConnection) {
        self.connection = connection
        maximumBodyBytes = connection.maximumBodyBytes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch Self.unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            isTooLong = false
            connection.requestStarted()
        case .body(let part):
            guard head != nil else { return }
            if body.count + part.readableBytes > maximumBodyBytes {
                // Answered at once: the rest is not waited for.
                isTooLong = true
                body = []
                answer(context)
            } else {
                body.append(contentsOf: part.readableBytesView)
            }
        case .end:
            answer(context)
        }
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard let head = head.take() else { return }
        let (response, keepAlive) = connection.respond(to: head, body: isTooLong ? nil : body)
        body = []
        var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
        headers.replaceOrAdd(name: "Content-Length", value: String(response.body.count))
        if !keepAlive { headers.replaceOrAdd(name: "Connection", value: "close") }
        let answer = HTTPResponseHead(
            version: head.version, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
        context.write(Self.wrapOutboundOut(.head(answer)), promise: nil)
        if head.method != .HEAD, !response.body.isEmpty {
            context.write(Self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body)))), promise: nil)
        }
        let end = context.eventLoop.makePromise(of: Void.self)
        if !keepAlive {
            let bound = context.loopBound
            end.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        }
        context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: end)
        connection.responseWritten()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
