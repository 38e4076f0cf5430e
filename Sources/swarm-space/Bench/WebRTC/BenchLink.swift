import DataChannels
import NIOCore
import NIOPosix
import SwarmBase

/// Two endpoints on this machine with one connection and one channel between them.
struct BenchLink {
    let near: Endpoint
    let far: Endpoint
    let connections: (near: PeerConnection, far: PeerConnection)
    let channels: (near: DataChannel, far: DataChannel)
    private let path: NIOLoopBound<EmulatedPath>?

    /// What is between the endpoints.
    struct Way {
        /// One way; zero is this machine's own speed.
        var delay: Duration = .zero
        /// The share of datagrams that are lost.
        var loss = 0.0
    }

    static func open(_ way: Way = Way(), options: DataChannelOptions = DataChannelOptions()) async throws -> BenchLink {
        let (near, far) = (try await endpoint(), try await endpoint())
        var path: NIOLoopBound<EmulatedPath>?
        var addresses: (near: TransportAddress, far: TransportAddress)?
        if way.delay > .zero || way.loss > 0 {
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let opened = try await loop.flatSubmit {
                let path = EmulatedPath(eventLoop: loop, delay: way.delay, loss: way.loss, seed: 1)
                let bound = NIOLoopBound(path, eventLoop: loop)
                return path.open().map { (bound, $0) }
            }.get()
            path = opened.0
            addresses = opened.1
        }
        let connections = (try await near.connect(), try await far.connect())
        let channel = try await connections.0.openChannel("bench", options)
        try await negotiate(connections.0, connections.1, by: addresses)
        var incoming = connections.1.channels.makeAsyncIterator()
        guard let other = await incoming.next() else { throw DataChannelsError.closed }
        try await channel.opened()
        return BenchLink(
            near: near, far: far, connections: connections, channels: (channel, other), path: path)
    }

    static func endpoint(certificate: EndpointCertificate? = nil) async throws -> Endpoint {
        var configuration = EndpointConfiguration()
        configuration.host = "127.0.0.1"
        configuration.includesLoopback = true
        configuration.certificate = certificate
        return try await Endpoint.open(configuration)
    }

    /// Offer and answer; with an emulated path each side is told that path's ends in place of the other's addresses.
    static func negotiate(
        _ near: PeerConnection, _ far: PeerConnection, by path: (near: TransportAddress, far: TransportAddress)? = nil
    ) async throws {
        let offer = try await near.createOffer()
        let answer = try await far.accept(offer: offer.reached(at: path?.far))
        try await near.accept(answer: answer.reached(at: path?.near))
    }

    func close() async {
        await near.close()
        await far.close()
        guard let path else { return }
        path.eventLoop.execute { path.value.close() }
    }
}

extension SessionDescription {
    /// The same with one candidate, at this address; `nil` changes nothing.
    fileprivate func reached(at address: TransportAddress?) -> SessionDescription {
        guard let address else { return self }
        let lines = sdp.split(separator: "\r\n").filter { !$0.hasPrefix("a=candidate:") }
        let candidate = "a=candidate:1 1 udp 2130706431 \(address.address) \(address.port) typ host"
        return SessionDescription(kind, sdp: (lines + [candidate[...]]).joined(separator: "\r\n") + "\r\n")
    }
}
