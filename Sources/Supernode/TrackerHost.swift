import NIOCore
import SwarmBase
import SwarmTransport
import Tracker

/// Runs the tracker's core: WebSockets in front of it, a timer beside it.
final class TrackerHost {
    private(set) var core: TrackerServer
    private let eventLoop: any EventLoop
    private var links: [TrackerLinkID: WebSocketConnection] = [:]
    private var lastLink: UInt64 = 0
    private var timer: LoopTimer?
    private var isDraining = false
    private var isStopped = false

    init(eventLoop: any EventLoop, configuration: TrackerServerConfiguration) {
        self.eventLoop = eventLoop
        core = TrackerServer(configuration: configuration, entropy: .system)
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in
            guard let self else { return }
            self.core.handleTimeout(now: self.now)
            self.drain()
        }
    }

    private var now: Instant { Instant(eventLoop.now) }

    /// Those that are open.
    var connections: [WebSocketConnection] { Array(links.values) }

    /// Serves a connection that is open.
    func accept(_ connection: WebSocketConnection) {
        lastLink += 1
        let link = TrackerLinkID(lastLink)
        // A reverse proxy on this host speaks for everybody: no limit by its address.
        let address = connection.remoteAddress?.address
        guard core.linkOpened(link, from: address?.isLoopback == true ? nil : address, now: now) else {
            // 1013: try again later (IANA's WebSocket close codes).
            return connection.close(code: 1013)
        }
        links[link] = connection
        // The connection lets go of these when it ends. Weak references would make each use of this object dearer.
        connection.onMessage = { message in self.core.receive(message.bytes, on: link, now: self.now) }
        connection.onReadComplete = { self.drain() }
        connection.onWritable = { self.noteBacklog(of: link) }
        connection.onClose = { _ in
            guard self.links.removeValue(forKey: link) != nil else { return }
            self.core.linkClosed(link, now: self.now)
            self.drain()
        }
        drain()
    }

    private func noteBacklog(of link: TrackerLinkID) {
        guard let connection = links[link] else { return }
        core.noteBacklog(connection.bufferedBytes, of: link, now: now)
    }

    private func drain() {
        guard !isDraining else { return }
        isDraining = true
        defer { isDraining = false }
        while true {
            while let (link, frame) = nextFrame() {
                guard let connection = links[link] else { continue }
                connection.send(text: frame)
                // It says so when it takes more again.
                if !connection.isWritable { noteBacklog(of: link) }
            }
            guard let event = nextEvent() else { break }
            switch event {
            case .close(let link, let reason):
                let connection = links.removeValue(forKey: link)
                connection?.close(code: reason == .messageTooLarge ? 1009 : 1008)
            }
        }
        if !isStopped { timer?.schedule(at: core.nextTimeout) }
    }

    // Each access to the core is a call of its own: see `RelayHost`.

    @inline(never)
    private func nextFrame() -> (link: TrackerLinkID, frame: [UInt8])? { core.pollTransmit() }

    @inline(never)
    private func nextEvent() -> TrackerServerEvent? { core.pollEvent() }

    func stop() {
        isStopped = true
        timer?.cancel()
    }
}
