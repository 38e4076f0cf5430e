public import NIOCore
import NIOPosix
public import SwarmBase

/// Names of hosts, resolved without holding the loop up.
public enum NameResolution {
    /// The address of a host and a port; `nil` when nobody knows it. It takes as long as the system's resolver does.
    public static func address(
        of host: String, port: UInt16, on eventLoop: any EventLoop
    ) -> EventLoopFuture<TransportAddress?> {
        if let address = IPAddress(host) { return eventLoop.makeSucceededFuture(TransportAddress(address, port: port)) }
        return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { () -> TransportAddress? in
            let address = try SocketAddress.makeAddressResolvingHost(host, port: Int(port))
            return address.ipAddress.flatMap { IPAddress($0) }.map { TransportAddress($0, port: port) }
        }.flatMapErrorThrowing { _ in nil }
    }
}
