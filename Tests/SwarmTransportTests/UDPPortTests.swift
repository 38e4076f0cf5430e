import NIOCore
import NIOPosix
import SwarmBase
import Testing

@testable import SwarmTransport

@Suite struct UDPPortTests {
    struct Datagram: Sendable, Equatable {
        var payload: [UInt8]
        var source: TransportAddress
    }

    /// A bound port in a box, with what it received.
    struct Bound: Sendable {
        let port: NIOLoopBoundBox<UDPPort?>
        let address: TransportAddress
        let received: Observed<Datagram>
    }

    private func bind(_ loop: any EventLoop, _ configuration: UDPPortConfiguration) async throws -> Bound {
        let box = NIOLoopBoundBox<UDPPort?>.makeEmptyBox(valueType: UDPPort.self, eventLoop: loop)
        let received = Observed<Datagram>(loop)
        let address = try await on(loop) {
            let port = UDPPort(eventLoop: loop, configuration: configuration)
            box.value = port
            port.onDatagram = { received.add(Datagram(payload: $0, source: $1)) }
            return port.bind()
        }
        return Bound(port: box, address: address, received: received)
    }

    private func close(_ bound: Bound) async throws {
        try await on(bound.port.eventLoop) {
            defer { bound.port.value = nil }
            return bound.port.value?.close() ?? bound.port.eventLoop.makeSucceededVoidFuture()
        }
    }

    private func send(_ payload: [UInt8], to destination: TransportAddress, from bound: Bound) async throws {
        try await on(bound.port.eventLoop) {
            bound.port.value?.send(Transmit(to: destination, payload: payload))
            bound.port.value?.flush()
        }
    }

    @Test(arguments: loopbackHosts)
    func wildcardEchoesBothFamilies(host: String) async throws {
        let loop = nextLoop()
        let server = try await bind(loop, .init())
        let client = try await bind(loop, .init(host: IPAddress(host)))
        #expect(server.address.port != 0)
        #expect(client.address.address == IPAddress(host))
        let destination = TransportAddress(try #require(IPAddress(host)), port: server.address.port)
        try await send([1, 2, 3], to: destination, from: client)
        let there = try await server.received.wait(count: 1)
        // An IPv4 peer must show as IPv4 on the IPv6 socket.
        #expect(there == [Datagram(payload: [1, 2, 3], source: client.address)])
        try await send([4], to: there[0].source, from: server)
        let back = try await client.received.wait(count: 1)
        #expect(back == [Datagram(payload: [4], source: destination)])
        try await close(server)
        try await close(client)
    }

    @Test func manyDatagramsArriveWholeAndInOrder() async throws {
        let loop = nextLoop()
        let server = try await bind(loop, .init(host: IPAddress("127.0.0.1")))
        let client = try await bind(loop, .init(host: IPAddress("127.0.0.1")))
        // 100 datagrams of 1,200 bytes fit any default socket buffer, so none may be missing on loopback.
        try await on(loop) {
            for number in 0..<100 {
                client.port.value?.send(
                    Transmit(to: server.address, payload: [UInt8(number)] + [UInt8](repeating: 7, count: 1199)))
            }
            client.port.value?.flush()
        }
        let all = try await server.received.wait(count: 100)
        #expect(all.map(\.payload.first) == (0..<100).map { UInt8($0) })
        #expect(all.allSatisfy { $0.payload.count == 1200 })
        let counters = try await on(loop) { client.port.value?.counters }
        #expect(counters?.datagramsSent == 100)
        #expect(counters?.bytesSent == 120_000)
        try await close(server)
        try await close(client)
    }

    @Test func emptyAndLongestDatagramsPass() async throws {
        let loop = nextLoop()
        let server = try await bind(loop, .init(host: IPAddress("127.0.0.1")))
        try await send([], to: server.address, from: server)
        try await send([UInt8](repeating: 1, count: 2048), to: server.address, from: server)
        let received = try await server.received.wait(count: 2)
        #expect(received.map(\.payload.count) == [0, 2048])
        try await close(server)
    }

    @Test func refusedDatagramsAreCountedAndTheSocketLives() async throws {
        let loop = nextLoop()
        let port = try await bind(loop, .init())
        // Broadcast without SO_BROADCAST is EACCES, a datagram above 64 KiB is EMSGSIZE.
        try await send([1], to: TransportAddress(.v4(.max), port: 9), from: port)
        let own = TransportAddress(.v4(0x7f00_0001), port: port.address.port)
        try await send([UInt8](repeating: 0, count: 70_000), to: own, from: port)
        try await send([2], to: own, from: port)
        #expect(try await port.received.wait(count: 1).map(\.payload) == [[2]])
        let counters = try await on(loop) { port.port.value?.counters }
        #expect(counters?.sendErrors == 2)
        #expect(counters?.datagramsSent == 1)
        try await close(port)
    }

    @Test func ipv6ToIPv4OnlySocketIsAnErrorOfThatDatagram() async throws {
        let loop = nextLoop()
        let port = try await bind(loop, .init(host: .v4(0)))
        try await send([1], to: TransportAddress(.v6(0, 1), port: port.address.port), from: port)
        #expect(try await on(loop) { port.port.value?.counters.sendErrors } == 1)
        try await close(port)
    }

    @Test func aClosedPeerDoesNotCloseTheSocket() async throws {
        let loop = nextLoop()
        let port = try await bind(loop, .init(host: IPAddress("127.0.0.1")))
        let gone = try await bind(loop, .init(host: IPAddress("127.0.0.1")))
        try await close(gone)
        // Each of these draws an ICMP port unreachable.
        for _ in 0..<3 { try await send([1], to: gone.address, from: port) }
        try await send([2], to: port.address, from: port)
        #expect(try await port.received.wait(count: 1).map(\.payload) == [[2]])
        try await close(port)
    }

    @Test func aTakenPortIsToldApart() async throws {
        let loop = nextLoop()
        let port = try await bind(loop, .init(host: IPAddress("127.0.0.1")))
        await #expect(throws: UDPPortError.addressInUse(port.address.port)) {
            _ = try await bind(loop, .init(host: IPAddress("127.0.0.1"), port: port.address.port))
        }
        await #expect(throws: UDPPortError.cannotBind(errorNumber: 99)) {
            _ = try await bind(loop, .init(host: IPAddress("192.0.2.1")))
        }
        try await close(port)
    }

    @Test func theQueueIsBounded() async throws {
        let loop = nextLoop()
        var configuration = UDPPortConfiguration(host: IPAddress("127.0.0.1"))
        configuration.sendQueueDatagrams = 4
        let port = try await bind(loop, configuration)
        try await on(loop) {
            for number in 0..<6 { port.port.value?.send(Transmit(to: port.address, payload: [UInt8(number)])) }
            port.port.value?.flush()
        }
        #expect(try await port.received.wait(count: 4).map(\.payload) == [[0], [1], [2], [3]])
        #expect(try await on(loop) { port.port.value?.counters.sendDrops } == 2)
        try await close(port)
    }

    @Test func closingTellsOnceAndSendingAfterwardsIsHarmless() async throws {
        let loop = nextLoop()
        let port = try await bind(loop, .init())
        let closed = Observed<Bool>(loop)
        try await on(loop) { port.port.value?.onClose = { closed.add(true) } }
        try await on(loop) {
            let udp = port.port.value
            let future = udp?.close() ?? loop.makeSucceededVoidFuture()
            udp?.send(Transmit(to: port.address, payload: [1]))
            udp?.flush()
            _ = udp?.close()
            return future
        }
        #expect(try await closed.wait(count: 1) == [true])
    }
}
