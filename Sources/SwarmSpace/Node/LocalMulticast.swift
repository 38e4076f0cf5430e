import NIOCore
import SwarmBase
import SwarmEngine
import SwarmTransport

/// The two multicast groups of the local network. Confined to its event loop.
final class LocalMulticast {
    /// What they tell.
    enum Report {
        case announcement([UInt8], from: IPAddress)
        /// Everything that came with one wake-up has been handed out.
        case endOfBatch
    }

    private let ports: [LANGroup: MulticastPort]

    init(eventLoop: any EventLoop, report: @escaping (Report) -> Void) {
        var ports: [LANGroup: MulticastPort] = [:]
        for group in LANGroup.allCases {
            let port = MulticastPort(
                eventLoop: eventLoop, group: TransportAddress(group.address, port: LANGroup.port))
            port.onDatagram = { report(.announcement($0, from: $1.address)) }
            port.onReadComplete = { report(.endOfBatch) }
            ports[group] = port
        }
        self.ports = ports
    }

    func setInterfaces(_ addresses: [IPAddress]) {
        for port in ports.values { port.setInterfaces(addresses) }
    }

    func send(_ payload: [UInt8], to group: LANGroup) { ports[group]?.send(payload) }

    func close() {
        for port in ports.values { port.close() }
    }
}
