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

    /// - Parameter bootstrap: nodes to begin with; none when this is the first.
    init(port: UDPPort, configuration: DHTConfiguration, bootstrap: [(host: String, port: UInt16)]) {
        self.port = port
        self.bootstrap = bootstrap
        node = DHTNode(configuration: configuration, entropy: .system, now: Instant(port.eventLoop.now))
        node.setHostAddresses(Set(LocalAddresses.current), now: Instant(port.eventLoop.now))
        timer = LoopTimer(eventLoop: port.eventLoop) { [weak self] in self?.timeout() }
    }

    private var now: Instant { Instant(port.eventLoop.now) }

    func start() {
        for (host, number) in bootstrap { find(host, number) }
        timeout()
    }

    func stop() { timer?.cancel() }

    /// Takes a datagram that begins with `d`. What it causes leaves with `port.flush()`.
    func received(_ datagram: [UInt8], from source: TransportAddress) {
        node.handle(datagram: datagram, from: source, now: now)
        drain()
    }

    private func timeout() {
        node.handleTimeout(now: now)
        drain()
        port.flush()
    }

    private func drain() {
        while let transmit = node.pollTransmit() { port.send(transmit) }
        while node.pollEvent() != nil {}
        timer?.schedule(at: node.nextTimeout)
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
