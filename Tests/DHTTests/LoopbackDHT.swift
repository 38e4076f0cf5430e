import DHT
import SwarmBase
import SwarmSimulator

/// A few nodes on one machine, on virtual time: 127.0.0.1 (or ::1) and a port for each.
struct LoopbackDHT {
    var nodes: [DHTNode] = []
    var events: [[DHTEvent]] = []
    private(set) var now = Instant.zero
    private var queue = DeadlineQueue<(from: Int, Transmit)>()
    private let isIPv6: Bool

    /// - Parameter count: all are told of the first one.
    init(count: Int, seed: UInt64, isIPv6: Bool = false) {
        self.isIPv6 = isIPv6
        for number in 0..<count {
            var node = DHTNode(configuration: .reachable, entropy: .seed(seed &* 1000 &+ UInt64(number)), now: now)
            if number > 0 { node.addBootstrap(address(0), now: now) }
            nodes.append(node)
            events.append([])
        }
    }

    func address(_ index: Int) -> TransportAddress {
        TransportAddress(isIPv6 ? .v6(0, 1) : .v4(0x7f00_0001), port: UInt16(20_000 + index))
    }

    mutating func replace(_ index: Int, by node: DHTNode) { nodes[index] = node }

    /// Lets time pass, in steps of 5 ms, which is how long a datagram takes.
    mutating func run(for duration: Duration, until isOver: (LoopbackDHT) -> Bool = { _ in false }) {
        let end = now + duration
        while now < end, !isOver(self) {
            now += .milliseconds(5)
            while let (from, transmit) = queue.popDue(now: now) {
                let index = Int(transmit.destination.port) - 20_000
                guard nodes.indices.contains(index) else { continue }
                nodes[index].handle(datagram: transmit.payload, from: address(from), now: now)
                drain(index)
            }
            for index in nodes.indices {
                if let at = nodes[index].nextTimeout, now >= at { nodes[index].handleTimeout(now: now) }
                drain(index)
            }
        }
    }

    private mutating func drain(_ index: Int) {
        while let transmit = nodes[index].pollTransmit() { queue.add((index, transmit), at: now + .milliseconds(5)) }
        while let event = nodes[index].pollEvent() { events[index].append(event) }
    }
}
