import NIOCore
import NIOPosix
import SwarmBase
import SwarmTransport
import Testing

@testable import Supernode

@Suite struct STUNServiceTests {
    /// A client's socket with what it received.
    private struct Socket: Sendable {
        let box: NIOLoopBoundBox<UDPPort?>
        let address: TransportAddress
        let received: Collected<[UInt8]>

        static func bind() async throws -> Socket {
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let box = NIOLoopBoundBox<UDPPort?>.makeEmptyBox(valueType: UDPPort.self, eventLoop: loop)
            let received = Collected<[UInt8]>()
            let address = try await loop.flatSubmit {
                let port = UDPPort(eventLoop: loop, configuration: .init(host: IPAddress("127.0.0.1")))
                port.onDatagram = { datagram, _ in received.add(datagram) }
                box.value = port
                return port.bind()
            }.get()
            return Socket(box: box, address: address, received: received)
        }

        func send(_ datagrams: [[UInt8]], to port: UInt16) async throws {
            try await box.eventLoop.submit {
                for datagram in datagrams {
                    box.value?.send(Transmit(to: TransportAddress(.v4(0x7f00_0001), port: port), payload: datagram))
                }
                box.value?.flush()
            }.get()
        }
    }

    /// A binding request without attributes (RFC 8489 §5).
    private func request(_ number: UInt8) -> [UInt8] {
        [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42] + [UInt8](repeating: number, count: 12)
    }

    /// The XOR-MAPPED-ADDRESS of a success response (RFC 8489 §14.2), IPv4.
    private func mappedAddress(_ message: [UInt8]) -> TransportAddress? {
        guard message.starts(with: [1, 1]) else { return nil }
        var reader = ByteReader(message)
        _ = reader.bytes(20)
        while let type = reader.integer(UInt16.self), let length = reader.integer(UInt16.self),
            let value = reader.bytes((Int(length) + 3) & ~3)
        {
            guard type == 0x0020, value.count == 8, value[1] == 1 else { continue }
            let port = UInt16(value[2]) << 8 | UInt16(value[3])
            let address = value[4...].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return TransportAddress(.v4(address ^ 0x2112_a442), port: port ^ 0x2112)
        }
        return nil
    }

    @Test func aBindingRequestIsAnsweredWithItsSource() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        let socket = try await Socket.bind()
        try await socket.send([[1, 2, 3], request(7)], to: endpoints.port)
        let answers = try await socket.received.wait("an answer") { !$0.isEmpty }
        #expect(answers.count == 1)
        #expect(mappedAddress(answers[0]) == socket.address)
        #expect(Array(answers[0][8..<20]) == [UInt8](repeating: 7, count: 12))
        #expect(await supernode.status?.stunRequests == 1)
        await supernode.stop()
    }

    @Test func oneSourceIsHeldToItsRate() async throws {
        var configuration = loopbackConfiguration()
        configuration.stunRequestsPerSecond = (perSource: 5, total: 1000)
        let supernode = Supernode(configuration: configuration)
        let endpoints = try await supernode.start()
        let socket = try await Socket.bind()
        try await socket.send((0..<100).map { request($0) }, to: endpoints.port)
        // All of them are read within one window of a second, or two at most.
        var text = ""
        for _ in 0..<200 {
            text = try await get(endpoints.port, "/metrics")
            if text.contains("\nswarm_udp_received_total 100\n") { break }
        }
        let count = await supernode.status?.stunRequests ?? 0
        #expect(count == 5 || count == 10)
        #expect(text.contains("\nswarm_stun_refused_total \(100 - count)\n"))
        await supernode.stop()
    }
}
