import ICE
import NIOCore
import SwarmBase
import SwarmEngine
import SwarmTransport

/// The TCP and TLS connections to TURN servers that the engine asks for. Confined to its event loop.
final class TURNStreams {
    /// What they tell.
    enum Report {
        case opened(TURNServerID)
        case closed(TURNServerID)
        case bytes(TURNServerID, [UInt8])
        /// Everything that came in one read has been handed out, or the connection has changed.
        case endOfBatch
    }

    /// Where the servers are, for those that were found.
    var locations: [TURNServerID: TURNLocation] = [:]

    private let table: StreamTable<TURNServerID>

    init(eventLoop: any EventLoop, report: @escaping (Report) -> Void) {
        table = StreamTable(eventLoop: eventLoop)
        table.onOpen = {
            report(.opened($0))
            report(.endOfBatch)
        }
        table.onClose = {
            report(.closed($0))
            report(.endOfBatch)
        }
        table.onBytes = { report(.bytes($0, $1)) }
        table.onReadComplete = { report(.endOfBatch) }
    }

    func perform(_ action: TURNStreamAction) {
        switch action {
        case .open(let id, let address): open(id, address)
        case .send(let id, let bytes): table.send(bytes, on: id)
        case .close(let id): table.close(id)
        }
    }

    func closeAll() { table.closeAll() }

    private func open(_ id: TURNServerID, _ address: TransportAddress) {
        guard let location = locations[id], location.carrier == .tls else {
            return table.open(id, host: "\(address.address)", port: address.port)
        }
        // The certificate names the host, not its address.
        table.open(id, host: location.host, port: location.port, usesTLS: true)
    }
}
