import Glibc
import NIOCore
import NIOPosix

/// Hears from the kernel when interfaces, addresses or routes change: rtnetlink(7). Confined to its event loop.
final class RouteSocket {
    private var channel: (any Channel)?
    private var isClosed = false

    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR and RTMGRP_IPV6_ROUTE (linux/rtnetlink.h).
    private static let groups: UInt32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
    private static let family: CInt = 16  // AF_NETLINK
    private static let protocolNumber: CInt = 0  // NETLINK_ROUTE

    /// Opens it.
    ///
    /// - Parameter onNews: called on the event loop whenever the kernel says something; what is so now is for the caller to read.
    /// - Returns: `nil` where the system or the event loop has no such thing.
    init?(eventLoop: any EventLoop, onNews: @escaping () -> Void) {
        guard let bootstrap = NIOPipeBootstrap(validatingGroup: eventLoop), let descriptor = Self.open() else {
            return nil
        }
        let bound = NIOLoopBound(Reader(onNews: onNews), eventLoop: eventLoop)
        bootstrap.channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value) }
        }.takingOwnershipOfDescriptor(input: descriptor).assumeIsolated().whenComplete { [weak self] result in
            switch result {
            case .success(let channel):
                guard let self, !self.isClosed else { return channel.close(promise: nil) }
                self.channel = channel
            case .failure: _ = close(descriptor)
            }
        }
    }

    func stop() {
        isClosed = true
        channel?.close(promise: nil)
        channel = nil
    }

    private static func open() -> CInt? {
        let type = CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, type, protocolNumber)
        guard descriptor >= 0 else { return nil }
        // struct sockaddr_nl: family, padding, the port that the kernel is to choose, groups.
        var address: (UInt16, UInt16, UInt32, UInt32) = (UInt16(family), 0, 0, groups)
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, 12) }
        }
        guard status == 0 else {
            _ = close(descriptor)
            return nil
        }
        return descriptor
    }

    private final class Reader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let onNews: () -> Void

        init(onNews: @escaping () -> Void) { self.onNews = onNews }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { onNews() }

        /// More news than the socket holds ends it; addresses are read every few seconds all the same.
        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            onNews()
            context.close(promise: nil)
        }
    }
}
