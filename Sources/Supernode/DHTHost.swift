import DHT
import NIOCore
import SwarmBase
import SwarmTransport

/// A node of the mainline DHT on the UDP port: others begin with it.
///
/// Confined to its event loop.
final class DHTHost {
    private let port: UDPPort
    private(set) var node: DHTNode
    private var timer: LoopTimer?
    private let bootstrap: [(host: String, port: UInt16)]
    /// Keeps the table for the next run.
    private let keep: ([UInt8]) -> Void
    private var keepAt: Instant

    /// The table is kept so soon after the start, then so often, and at the end.
    private static let keepEvery: (first: Duration, then: Duration) = (.seconds(60), .seconds(600))

    /// - Parameters:
    ///   - bootstrap: nodes to begin with; none when this is the first.
    ///   - saved: the table of an earlier run.
    init(
        port: UDPPort, configuration: DHTConfiguration, bootstrap: [(host: String, port: UInt16)], saved: [UInt8],
        keep: @escaping ([UInt8]) -> Void
    ) {
        self.port = port
        self.bootstrap = bootstrap
        self.keep = keep
        let now = Instant(port.eventLoop.now)
        keepAt = now + Self.keepEvery.first
        node = DHTNode(configuration: configuration, entropy: .system, saved: saved, now: now)
        node.setHostAddresses(Set(LocalAddresses.current), now: Instant(port.eventLoop.now))
        timer = LoopTimer(eventLoop: port.eventLoop) { [weak self] in self?.timeout() }
    }

    private var now: Instant { Instant(port.eventLoop.now) }

    func start() {
        for (host, number) in bootstrap { find(host, number) }
        timeout()
    }

    func stop() {
        timer?.cancel()
        keepTable()
    }

    private func keepTable() {
        // A run in which nobody answered says nothing against those of the one before.
        guard AddressFamily.allCases.contains(where: { node.nodeCount($0) > 0 }) else { return }
        keep(node.savedTable)
    }

    /// Takes a datagram that begins with `d`. What it causes leaves with `port.flush()`.
    func received(_ datagram: [UInt8], from source: TransportAddress) {
        node.handle(datagram: datagram, from: source, now: now)
        drain()
    }

    private func timeout() {
        node.handleTimeout(now: now)
        if now >= keepAt {
            keepAt = now + Self.keepEvery.then
            keepTable()
        }
        drain()
        port.flush()
    }

    private func drain() {
        while let transmit = node.pollTransmit() { port.send(transmit) }
        while node.pollEvent() != nil {}
        timer?.schedule(at: min(node.nextTimeout ?? keepAt, keepAt))
    }

    /// Asks for the address of a node, again every half minute while nobody knows it.
    private func find(_ host: String, _ number: UInt16) {
        let eventLoop = port.eventLoop
        NameResolution.address(of: host, port: number, on: eventLoop).assumeIsolated().whenSuccess {
            [weak self] address in
            guard let self else { return }
            if let address {
                self.node.addBootstrap(address, now: self.now)
                self.timeout()
            } else {
                eventLoop.assumeIsolated().scheduleTask(in: .seconds(30)) { [weak self] () -> Void in
                    self?.find(host, number)
                }
            }
        }
    }
}
