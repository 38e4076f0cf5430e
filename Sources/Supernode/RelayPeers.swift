import Logging
import NIOCore
import SwarmBase
import SwarmTransport

/// Keeps a link to each of the configured relays: dialled at start, and again whenever it breaks (gun.md §9.1).
final class RelayPeers {
    private let urls: [WebSocketURL]
    private let relay: RelayHost
    private let eventLoop: any EventLoop
    private let logger: Logger
    private var connections: [WebSocketURL: WebSocketConnection] = [:]
    private var redials: [WebSocketURL: Scheduled<Void>] = [:]
    private var failures: [WebSocketURL: Int] = [:]
    private var isStopped = false

    init(urls: [WebSocketURL], relay: RelayHost, eventLoop: any EventLoop, logger: Logger) {
        self.urls = urls
        self.relay = relay
        self.eventLoop = eventLoop
        self.logger = logger
    }

    func start() { for url in Set(urls) { dial(url) } }

    /// The number of a relay, the same at each dial.
    private func number(of url: WebSocketURL) -> Int? { urls.firstIndex(of: url) }

    private func dial(_ url: WebSocketURL) {
        guard !isStopped else { return }
        let connection = WebSocketConnection(eventLoop: eventLoop)
        connections[url] = connection
        let dialledAt = Instant(eventLoop.now)
        let ended = { [weak self] (reason: WebSocketCloseReason) -> Void in
            self?.ended(url, after: dialledAt, reason)
        }
        connection.onClose = ended
        connection.onOpen = { [weak self, weak connection] in
            guard let self, let connection else { return }
            self.logger.info("linked to a relay", metadata: ["url": "\(url)"])
            self.relay.accept(connection, peer: self.number(of: url), onClose: ended)
        }
        connection.open(url)
    }

    private func ended(_ url: WebSocketURL, after dialledAt: Instant, _ reason: WebSocketCloseReason) {
        connections[url] = nil
        guard !isStopped else { return }
        // A link that held for a minute is a good one: start anew.
        let held = Instant(eventLoop.now) - dialledAt
        let count = held > .seconds(60) ? 0 : min((failures[url] ?? 0) + 1, 6)
        failures[url] = count
        // 1 s doubled up to 64 s, of which a random half: relays that restart are not all dialled at once.
        let longest = Double(1 << count)
        let delay = Double.random(in: longest / 2...longest)
        logger.info("no link to a relay", metadata: ["url": "\(url)", "reason": "\(reason)"])
        redials[url] = eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(Int64(delay * 1e9))) {
            [weak self] () -> Void in self?.dial(url)
        }
    }

    func stop() {
        isStopped = true
        for redial in redials.values { redial.cancel() }
        for connection in connections.values { connection.close(code: 1001) }
        redials = [:]
        connections = [:]
    }
}
