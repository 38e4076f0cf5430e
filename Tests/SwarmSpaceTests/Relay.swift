import Gun
import NIOCore
import NIOPosix
import SwarmBase
import SwarmTransport

/// A GUN relay on loopback that keeps everything in memory. Confined to its event loop.
final class Relay {
    private let eventLoop: any EventLoop
    private var core: GunRelay
    private var server: HTTPServer?
    private var timer: LoopTimer?
    private var links: [LinkID: WebSocketConnection] = [:]
    private var lastLink: UInt64 = 0
    private var isDraining = false

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        var configuration = GunRelayConfiguration()
        configuration.hasStorage = false
        core = GunRelay(configuration: configuration, entropy: .system)
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in
            guard let self else { return }
            self.core.handleTimeout(now: self.now, wall: MonotonicClock.wallMilliseconds)
            self.drain()
        }
    }

    func start() -> EventLoopFuture<TransportAddress> {
        let server = HTTPServer(
            eventLoop: eventLoop, configuration: HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        ) { _ in
            nil
        } upgrades: { [weak self] _ in
            .accept { self?.accept($0) }
        }
        self.server = server
        return server.start()
    }

    func stop() -> EventLoopFuture<Void> {
        timer?.cancel()
        return server?.stop() ?? eventLoop.makeSucceededVoidFuture()
    }

    private var now: Instant { Instant(eventLoop.now) }

    private func accept(_ connection: WebSocketConnection) {
        lastLink += 1
        let link = LinkID(lastLink)
        links[link] = connection
        connection.onMessage = { [weak self] message in
            guard let self else { return }
            self.core.receive(frame: message.bytes, on: link, now: self.now, wall: MonotonicClock.wallMilliseconds)
        }
        connection.onReadComplete = { [weak self] in self?.drain() }
        connection.onClose = { [weak self] _ in
            guard let self else { return }
            self.links[link] = nil
            self.core.linkClosed(link, now: self.now)
            self.drain()
        }
        core.linkOpened(link, now: now)
        drain()
    }

    private func drain() {
        guard !isDraining else { return }
        isDraining = true
        defer { isDraining = false }
        while true {
            while let (link, frame) = core.pollTransmit() { links[link]?.send(text: frame) }
            guard let event = core.pollEvent() else { break }
            switch event {
            case .close(let link, _): links.removeValue(forKey: link)?.close(code: 1008)
            case .load(let id, _): core.loaded(id, .nothing, now: now, wall: MonotonicClock.wallMilliseconds)
            case .store(let id, _): core.stored(id, now: now)
            case .pause, .changes: break
            }
        }
        timer?.schedule(at: core.nextTimeout)
    }
}
