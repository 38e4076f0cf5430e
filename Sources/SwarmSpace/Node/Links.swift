import Logging
import NIOCore
import SwarmBase
import SwarmEngine
import SwarmTransport

/// How it stands with one relay or tracker.
public struct LinkStatus: Equatable, Sendable {
    public var url: String
    public var isOpen = false
    /// Whether it has been open at any time.
    public var wasOpen = false
    /// How many times it could not be opened, or closed again, since it was open last.
    public var failures = 0
    /// Why it failed last.
    public var lastFailure: String?
}

/// The WebSockets that the engine asks for. Confined to its event loop.
final class Links {
    /// What they tell.
    enum Report {
        case opened(SwarmLink)
        case closed(SwarmLink)
        case frame(SwarmLink, [UInt8])
        /// Everything that came in one read has been handed out.
        case endOfBatch
    }

    private struct Site {
        var status: LinkStatus
        var connection: WebSocketConnection?
    }

    private let eventLoop: any EventLoop
    private let logger: Logger
    private let report: (Report) -> Void
    private var sites: [SwarmLink: Site] = [:]
    /// Those that were told to close and have not done so yet.
    private var closing: [ObjectIdentifier: WebSocketConnection] = [:]

    init(eventLoop: any EventLoop, logger: Logger, report: @escaping (Report) -> Void) {
        self.eventLoop = eventLoop
        self.logger = logger
        self.report = report
    }

    /// How it stands with each, in no order.
    var status: [LinkStatus] { sites.values.map(\.status) }

    func perform(_ action: LinkAction) {
        switch action {
        case .dial(let link, let url): dial(link, url)
        case .send(let link, let frame): sites[link]?.connection?.send(text: frame)
        case .probe(let link): sites[link]?.connection?.probe(within: SwarmLink.probePatience)
        case .close(let link): if let connection = detach(link) { close(connection) }
        }
    }

    /// Bytes that have been sent but have not left this process.
    var bufferedBytes: Int {
        sites.values.reduce(0) { $0 + ($1.connection?.bufferedBytes ?? 0) }
            + closing.values.reduce(0) { $0 + $1.bufferedBytes }
    }

    var isIdle: Bool { closing.isEmpty && sites.values.allSatisfy { $0.connection == nil } }

    /// The network has changed: ends those whose address this machine has no more, and those that do not answer soon.
    ///
    /// - Parameter addresses: all addresses of this machine.
    func networkChanged(addresses: Set<IPAddress>) {
        for (link, site) in sites {
            guard let connection = site.connection else { continue }
            if let address = connection.localAddress, addresses.contains(address) {
                connection.probe(within: SwarmLink.probePatience)
            } else if let connection = detach(link) {
                // TCP would repeat for minutes what can neither leave nor be answered.
                close(connection)
                sites[link]?.status.failures += 1
                sites[link]?.status.lastFailure = "its address is gone"
                report(.closed(link))
            }
        }
    }

    /// Says good-bye on all of them.
    func closeAll() {
        for link in Array(sites.keys) {
            if let connection = detach(link) { close(connection) }
        }
    }

    private func dial(_ link: SwarmLink, _ address: String) {
        if let former = detach(link) { close(former) }
        sites[link, default: Site(status: LinkStatus(url: address))].status.url = address
        let connection = WebSocketConnection(eventLoop: eventLoop)
        sites[link]?.connection = connection
        guard let url = WebSocketURL(address) else {
            // Never within the call: the engine is in the middle of telling us.
            eventLoop.assumeIsolated().execute { self.closed(link, connection, "this is no WebSocket URL") }
            return
        }
        connection.onOpen = { [weak self, weak connection] in
            guard let self, let connection else { return }
            self.opened(link, connection)
        }
        connection.onMessage = { [weak self] message in self?.report(.frame(link, message.bytes)) }
        connection.onReadComplete = { [weak self] in self?.report(.endOfBatch) }
        connection.onClose = { [weak self, weak connection] reason in
            guard let self, let connection else { return }
            self.closed(link, connection, reason.description)
        }
        connection.open(url)
    }

    private func opened(_ link: SwarmLink, _ connection: WebSocketConnection) {
        guard sites[link]?.connection === connection else { return }
        sites[link]?.status.isOpen = true
        sites[link]?.status.wasOpen = true
        sites[link]?.status.failures = 0
        logger.debug("link open", metadata: ["url": "\(sites[link]?.status.url ?? "")"])
        report(.opened(link))
        report(.endOfBatch)
    }

    private func closed(_ link: SwarmLink, _ connection: WebSocketConnection, _ reason: String) {
        guard sites[link]?.connection === connection else { return }
        sites[link]?.connection = nil
        sites[link]?.status.isOpen = false
        sites[link]?.status.failures += 1
        sites[link]?.status.lastFailure = reason
        logger.debug("link closed", metadata: ["url": "\(sites[link]?.status.url ?? "")", "reason": "\(reason)"])
        report(.closed(link))
        report(.endOfBatch)
    }

    /// Takes a connection out of the table: what it tells from now on is of no interest.
    private func detach(_ link: SwarmLink) -> WebSocketConnection? {
        guard let connection = sites[link]?.connection else { return nil }
        sites[link]?.connection = nil
        sites[link]?.status.isOpen = false
        return connection
    }

    private func close(_ connection: WebSocketConnection) {
        connection.onOpen = nil
        connection.onMessage = nil
        connection.onReadComplete = nil
        let id = ObjectIdentifier(connection)
        closing[id] = connection
        connection.onClose = { [weak self] _ in self?.closing[id] = nil }
        connection.close()
        if connection.state == .closed { closing[id] = nil }
    }
}
