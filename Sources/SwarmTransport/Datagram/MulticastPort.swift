import Glibc
public import NIOCore
import NIOPosix
public import SwarmBase

/// One multicast group: listens to it on every interface, and sends to it from each.
///
/// Other programs of this host listen to the same group on the same port, and so do other nodes. Sending goes by sockets of
/// its own, one for each interface, so that what comes at others has that interface's address as its source.
///
/// Never fails: a network without multicast is one on which nothing is heard. Confined to its event loop.
public final class MulticastPort {
    /// How many interfaces are used at most.
    public static let mostInterfaces = 8
    /// The longest datagram that is read.
    private static let longestDatagram = 2_048

    public let eventLoop: any EventLoop
    public let group: TransportAddress
    /// Called for each datagram that came to the group, on the event loop.
    public var onDatagram: (([UInt8], TransportAddress) -> Void)?
    /// Called when what came with one wake-up has been handed out.
    public var onReadComplete: (() -> Void)?

    private var receiver: (any Channel)?
    private var senders: [IPAddress: any Channel] = [:]
    private var interfaces: [IPAddress] = []
    /// What is to be sent as soon as a socket for it is there.
    private var unsent: [UInt8]?
    private var isOpening = false
    private var isClosed = false

    /// - Parameter group: a multicast address and a port.
    public init(eventLoop: any EventLoop, group: TransportAddress) {
        self.eventLoop = eventLoop
        self.group = group
    }

    /// Uses these addresses of the host from now on; those of the other family are passed over.
    public func setInterfaces(_ addresses: [IPAddress]) {
        eventLoop.assertInEventLoop()
        let usable = addresses.filter { $0.isIPv6 == group.address.isIPv6 }.prefix(Self.mostInterfaces)
        guard Array(usable) != interfaces, !isClosed else { return }
        interfaces = Array(usable)
        for address in senders.keys.filter({ !interfaces.contains($0) }) {
            senders.removeValue(forKey: address)?.close(promise: nil)
        }
        // A group is joined on an interface once and for all: with others, all begins anew.
        receiver?.close(promise: nil)
        receiver = nil
        guard !interfaces.isEmpty else { return }
        let devices = Self.devices(of: interfaces)
        for (address, device) in devices where senders[address] == nil { openSender(address, device) }
        openReceiver(devices.map(\.device))
    }

    /// Sends one datagram to the group from every interface. One that a socket cannot take is lost, as on any network.
    public func send(_ payload: [UInt8]) {
        eventLoop.assertInEventLoop()
        unsent = senders.isEmpty ? payload : nil
        for channel in senders.values { send(payload, on: channel) }
    }

    /// Ends it; nothing is called any more.
    public func close() {
        eventLoop.assertInEventLoop()
        isClosed = true
        onDatagram = nil
        onReadComplete = nil
        receiver?.close(promise: nil)
        receiver = nil
        for channel in senders.values { channel.close(promise: nil) }
        senders = [:]
    }

    private static func devices(of addresses: [IPAddress]) -> [(address: IPAddress, device: NIONetworkDevice)] {
        let all = (try? System.enumerateDevices()) ?? []
        return addresses.compactMap { address in
            guard var device = all.first(where: { $0.address.flatMap { TransportAddress($0) }?.address == address })
            else {
                return nil
            }
            // Linux does not mark loopback as able to, and yet carries multicast there: all there is on a machine without a network.
            if address.isLoopback { device.multicastSupported = true }
            return (address, device)
        }
    }

    private func openReceiver(_ devices: [NIONetworkDevice]) {
        guard let target = try? SocketAddress(group) else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        var bootstrap = DatagramBootstrap(group: eventLoop)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelOption(
                .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.longestDatagram)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(MulticastReceiver(port: bound.value))
                }
            }
        if group.address.isIPv6 {
            bootstrap = bootstrap.channelOption(
                ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 1)
        }
        // Bound to the group itself: what is sent to this port otherwise is not for us.
        bootstrap.bind(to: target).assumeIsolated().whenSuccess { channel in
            guard !self.isClosed, self.receiver == nil, let multicast = channel as? any MulticastChannel else {
                return channel.close(promise: nil)
            }
            self.receiver = channel
            for device in devices { multicast.joinGroup(target, device: device, promise: nil) }
        }
    }

    private func openSender(_ address: IPAddress, _ device: NIONetworkDevice) {
        guard let local = try? SocketAddress(TransportAddress(address, port: 0)) else { return }
        DatagramBootstrap(group: eventLoop).bind(to: local).flatMap { channel -> EventLoopFuture<any Channel> in
            guard let options = channel as? any SocketOptionProvider else {
                return channel.eventLoop.makeSucceededFuture(channel)
            }
            let chosen: EventLoopFuture<Void>
            switch address {
            case .v4(let value):
                // A `struct in_addr` is four bytes in network order (ip(7)), and may be any.
                chosen = options.setIPMulticastIF(unsafe unsafeBitCast(value.bigEndian, to: in_addr.self))
            case .v6:
                chosen = options.setIPv6MulticastIF(CUnsignedInt(device.interfaceIndex))
            }
            return chosen.map { channel }
        }.assumeIsolated().whenSuccess { channel in
            guard !self.isClosed, self.interfaces.contains(address), self.senders[address] == nil else {
                return channel.close(promise: nil)
            }
            self.senders[address] = channel
            if let payload = self.unsent { self.send(payload, on: channel) }
        }
    }

    private func send(_ payload: [UInt8], on channel: any Channel) {
        guard let target = try? SocketAddress(group) else { return }
        let envelope = AddressedEnvelope(remoteAddress: target, data: ByteBuffer(bytes: payload))
        channel.writeAndFlush(envelope, promise: nil)
    }

    fileprivate func received(_ envelope: AddressedEnvelope<ByteBuffer>) {
        guard let source = TransportAddress(envelope.remoteAddress) else { return }
        onDatagram?(Array(envelope.data.readableBytesView), source)
    }

    fileprivate func readComplete() { onReadComplete?() }
}

/// Hands what a channel reads to its port.
private final class MulticastReceiver: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let port: MulticastPort

    init(port: MulticastPort) { self.port = port }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { port.received(Self.unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) { port.readComplete() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
