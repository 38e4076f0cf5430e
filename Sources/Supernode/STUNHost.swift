import ICE
import NIOCore
import SwarmBase
import SwarmTransport

/// Answers STUN binding requests on the UDP port (RFC 8489 §12), within a rate.
final class STUNHost {
    let port: UDPPort
    private(set) var answered = 0
    private(set) var refused = 0
    /// Where datagrams of the DHT go; it has limits of its own.
    var dht: DHTHost?
    private let limits: (perSource: Int, total: Int)
    private var window = Instant.zero
    /// Answers in this window of one second. Its size is bounded by the limit for all.
    private var counts: [IPAddress: Int] = [:]
    private var total = 0

    init(port: UDPPort, limits: (perSource: Int, total: Int)) {
        self.port = port
        self.limits = limits
        port.onDatagram = { [weak self] datagram, source in self?.received(datagram, from: source) }
        port.onReadComplete = { [weak port] in port?.flush() }
    }

    private func received(_ datagram: [UInt8], from source: TransportAddress) {
        if datagram.first == UInt8(ascii: "d") {
            dht?.received(datagram, from: source)
            return
        }
        let now = Instant(port.eventLoop.now)
        if now - window >= .seconds(1) {
            window = now
            counts.removeAll(keepingCapacity: true)
            total = 0
        }
        // Before the datagram is looked at: a flood must not cost parsing.
        let count = counts[source.address] ?? 0
        guard count < limits.perSource, total < limits.total else {
            refused += 1
            return
        }
        guard let answer = STUNBindingServer.respond(to: datagram, from: source) else { return }
        counts[source.address] = count + 1
        total += 1
        answered += 1
        port.send(Transmit(to: source, payload: answer))
    }
}
