import NIOCore
import SwarmBase
import SwarmTransport

/// A long way between two sockets of this machine: datagrams that come to one end leave from the other a while later, and
/// some do not.
///
/// Each end learns whom it serves from the first datagram that comes to it. Confined to its event loop.
final class EmulatedPath {
    private struct Direction {
        let port: UDPPort
        /// Who sends to this end.
        var client: TransportAddress?
        /// What has come to this end and has not left from the other yet, in order.
        var waiting = FIFO<(at: Instant, payload: [UInt8])>()
    }

    private let eventLoop: any EventLoop
    private let delay: Duration
    private let loss: Double
    private var entropy: Entropy
    private var ends: (Direction, Direction)
    private var timer: LoopTimer?

    /// - Parameters:
    ///   - delay: one way; the round trip takes twice as long.
    ///   - loss: the share of datagrams that are lost, 0…1, drawn from `seed`.
    init(eventLoop: any EventLoop, delay: Duration, loss: Double, seed: UInt64) {
        self.eventLoop = eventLoop
        self.delay = delay
        self.loss = loss
        entropy = .seed(seed)
        var configuration = UDPPortConfiguration(host: .v4(0x7f00_0001))
        configuration.sendQueueDatagrams = 65_536
        // What Ethernet carries; longer ones are lost.
        configuration.maximumDatagramBytes = 1472
        ends = (
            Direction(port: UDPPort(eventLoop: eventLoop, configuration: configuration)),
            Direction(port: UDPPort(eventLoop: eventLoop, configuration: configuration))
        )
    }

    /// Opens both ends.
    ///
    /// - Returns: the address for either side to send to.
    func open() -> EventLoopFuture<(TransportAddress, TransportAddress)> {
        eventLoop.assertInEventLoop()
        timer = LoopTimer(eventLoop: eventLoop) { [weak self] in self?.deliver() }
        ends.0.port.onDatagram = { [weak self] in self?.received($0, from: $1, at: \.0) }
        ends.1.port.onDatagram = { [weak self] in self?.received($0, from: $1, at: \.1) }
        for port in [ends.0.port, ends.1.port] { port.onReadComplete = { [weak self] in self?.deliver() } }
        return ends.0.port.bind().and(ends.1.port.bind())
    }

    func close() {
        eventLoop.assertInEventLoop()
        timer?.cancel()
        timer = nil
        ends.0.port.close()
        ends.1.port.close()
    }

    private func received(
        _ payload: [UInt8], from source: TransportAddress, at end: WritableKeyPath<(Direction, Direction), Direction>
    ) {
        ends[keyPath: end].client = source
        if loss > 0, Double.random(in: 0..<1, using: &entropy) < loss { return }
        ends[keyPath: end].waiting.append((Instant(eventLoop.now) + delay, payload))
    }

    /// Lets out what has waited long enough.
    private func deliver() {
        let now = Instant(eventLoop.now)
        var next: Instant?
        while let first = ends.0.waiting.first, first.at <= now {
            _ = ends.0.waiting.popFirst()
            if let client = ends.1.client { ends.1.port.send(Transmit(to: client, payload: first.payload)) }
        }
        while let first = ends.1.waiting.first, first.at <= now {
            _ = ends.1.waiting.popFirst()
            if let client = ends.0.client { ends.0.port.send(Transmit(to: client, payload: first.payload)) }
        }
        next = .earlier(ends.0.waiting.first?.at, ends.1.waiting.first?.at)
        ends.0.port.flush()
        ends.1.port.flush()
        timer?.schedule(at: next)
    }
}
