import Magnet
import NIOCore
import NIOPosix
import SwarmBase

extension MagnetLink.Endpoint {
    /// The address of the host; resolving a name waits for as long as the system's resolver does, but not on the loop.
    func resolved(on eventLoop: any EventLoop) -> EventLoopFuture<TransportAddress?> {
        if let transportAddress { return eventLoop.makeSucceededFuture(transportAddress) }
        let (host, port) = (host, port)
        return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { () -> TransportAddress? in
            let address = try SocketAddress.makeAddressResolvingHost(host, port: Int(port))
            return address.ipAddress.flatMap { IPAddress($0) }.map { TransportAddress($0, port: port) }
        }.flatMapErrorThrowing { _ in nil }
    }
}
