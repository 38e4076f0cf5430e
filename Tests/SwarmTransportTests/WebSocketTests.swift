import Foundation
import NIOCore
import SwarmBase
import Testing

@testable import SwarmTransport

@Suite struct WebSocketTests {
    @Test func messagesOfAllSizesComeBack() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let client = try await TestClient.open(loop, "ws://\(server.address)/echo")
        _ = try await client.opened.wait(count: 1)
        var generator = SeededGenerator(seed: 1)
        // Both sides of the frame header's three length forms, and a megabyte.
        let sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20]
        let sent: [WebSocketMessage] = sizes.map { .binary(generator.bytes($0)) } + [.text(Array("grüß 🐝".utf8))]
        for message in sent { try await client.send(message) }
        #expect(try await client.messages.wait(count: sent.count) == sent)
        let counters = try await on(loop) { [client.box.value?.messagesSent, client.box.value?.messagesReceived] }
        #expect(counters == [8, 8])
        try await client.close()
        #expect(try await client.closed.wait(count: 1) == [.requested])
        #expect(try await server.closed.wait(count: 1) == [.closedByPeer(code: 1000, reason: "")])
        try await server.stop()
    }

    @Test func aGreetingInTheSegmentOfTheAnswerIsNotLost() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let client = try await TestClient.open(loop, "http://\(server.address)/greet")
        #expect(try await client.messages.wait(count: 1) == [.text(Array("hello".utf8))])
        try await client.close()
        try await server.stop()
    }

    @Test func whatIsSentOnOpeningArrives() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let client = try await TestClient.open(loop, "ws://\(server.address)/echo", greeting: "first")
        #expect(try await client.messages.wait(count: 1) == [.text(Array("first".utf8))])
        try await client.close()
        try await server.stop()
    }

    @Test func aHostNameIsResolved() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop, .init())
        let client = try await TestClient.open(loop, "ws://localhost:\(server.address.port)/greet")
        _ = try await client.messages.wait(count: 1)
        try await client.close()
        try await server.stop()
    }

    @Test func tlsIsVerified() async throws {
        let loop = nextLoop()
        let certificate = try #require(
            Bundle.module.path(forResource: "loopback-certificate", ofType: "pem", inDirectory: "Resources"))
        let key = try #require(Bundle.module.path(forResource: "loopback-key", ofType: "pem", inDirectory: "Resources"))
        var configuration = HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        configuration.tls = try ServerTLS(certificateFile: certificate, keyFile: key)
        let server = try await TestServer.start(loop, configuration)
        let trust = try ClientTLS(rootsFile: certificate)
        for host in ["localhost", "127.0.0.1"] {
            let url = "wss://\(host):\(server.address.port)/greet"
            let client = try await TestClient.open(loop, url, tls: trust)
            #expect(try await client.messages.wait(count: 1) == [.text(Array("hello".utf8))])
            try await client.close()
        }
        // The system does not trust this certificate.
        let stranger = try await TestClient.open(loop, "wss://\(server.address)/greet")
        let reason = try await stranger.closed.wait(count: 1)[0]
        guard case .cannotConnect = reason else { throw reason }
        #expect(throws: TLSSetupError.badFile("/nowhere")) {
            _ = try ServerTLS(certificateFile: "/nowhere", keyFile: key)
        }
        try await server.stop()
    }

    @Test func failuresToConnectAreToldApart() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let refused = try await TestClient.open(loop, "ws://\(server.address)/nothing")
        #expect(try await refused.closed.wait(count: 1) == [.refused(status: 404)])
        try await server.stop()
        let gone = try await TestClient.open(loop, "ws://\(server.address)/echo")
        guard case .cannotConnect = try await gone.closed.wait(count: 1)[0] else {
            Issue.record("a closed port must be a failure to connect")
            return
        }
        let unknown = try await TestClient.open(loop, "ws://no-such-host.invalid/")
        guard case .cannotConnect = try await unknown.closed.wait(count: 1, limit: .seconds(20))[0] else {
            Issue.record("an unknown host must be a failure to connect")
            return
        }
    }

    @Test func aServerThatNeverAnswersTimesOut() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let relay = try await FreezableRelay.start(loop, to: server.address)
        try await on(loop) { try relay.listener.syncOptions?.setOption(.autoRead, value: false) }
        var configuration = WebSocketConfiguration()
        configuration.openTimeout = .milliseconds(100)
        let client = try await TestClient.open(loop, "ws://127.0.0.1:\(relay.port)/echo", configuration)
        #expect(try await client.closed.wait(count: 1) == [.openTimedOut])
        try await relay.stop()
        try await server.stop()
    }

    @Test(arguments: [true, false])
    func aDeadPeerIsNoticed(byClient: Bool) async throws {
        let loop = nextLoop()
        var fast = WebSocketConfiguration.server
        fast.pingInterval = .milliseconds(300) ... .milliseconds(400)
        var configuration = HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        if !byClient { configuration.webSocket = fast }
        let server = try await TestServer.start(loop, configuration)
        let relay = try await FreezableRelay.start(loop, to: server.address)
        let client = try await TestClient.open(
            loop, "ws://127.0.0.1:\(relay.port)/echo", byClient ? fast : WebSocketConfiguration())
        _ = try await server.accepted.wait(count: 1)
        _ = try await client.opened.wait(count: 1)
        // Alive over many intervals as long as pongs come.
        try await loop.scheduleTask(in: .milliseconds(1500)) {}.futureResult.get()
        let (state, time) = try await on(loop) {
            let connection = byClient ? client.box.value : server.connections.value.first
            return (connection?.state, connection?.roundTripTime)
        }
        #expect(state == .open)
        #expect(time != nil)
        try await relay.freeze()
        let noticed = byClient ? client.closed : server.closed
        #expect(try await noticed.wait(count: 1) == [.unresponsive])
        try await relay.stop()
        try await server.stop()
    }

    @Test func aProbeFindsADeadPeerAndSparesALivingOne() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let relay = try await FreezableRelay.start(loop, to: server.address)
        let client = try await TestClient.open(loop, "ws://127.0.0.1:\(relay.port)/echo")
        _ = try await client.opened.wait(count: 1)
        try await on(loop) { client.box.value?.probe(within: .milliseconds(1500)) }
        try await loop.scheduleTask(in: .milliseconds(1600)) {}.futureResult.get()
        #expect(try await on(loop) { client.box.value?.state } == .open)
        try await relay.freeze()
        try await on(loop) { client.box.value?.probe(within: .milliseconds(50)) }
        #expect(try await client.closed.wait(count: 1) == [.unresponsive])
        try await relay.stop()
        try await server.stop()
    }

    @Test func aSlowReaderIsClosed() async throws {
        let loop = nextLoop()
        var configuration = HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        configuration.webSocket.maximumBufferedBytes = 256 << 10
        let server = try await TestServer.start(loop, configuration)
        let relay = try await FreezableRelay.start(loop, to: server.address)
        let client = try await TestClient.open(loop, "ws://127.0.0.1:\(relay.port)/quiet")
        _ = try await server.accepted.wait(count: 1)
        try await relay.freeze()
        // The kernel's buffers take some megabytes first; then ours fills to its bound and no further.
        var worst = 0
        for _ in 0..<2000 {
            let (sent, waiting) = try await on(loop) {
                let connection = server.connections.value[0]
                return (connection.send(binary: [UInt8](repeating: 0, count: 32 << 10)), connection.bufferedBytes)
            }
            worst = max(worst, waiting)
            if !sent { break }
        }
        #expect(try await server.closed.wait(count: 1) == [.slowReader])
        #expect(worst > 128 << 10)
        #expect(worst <= (256 << 10) + 4096)
        try await relay.stop()
        _ = try await client.closed.wait(count: 1)
        try await server.stop()
    }

    @Test func fragmentsAreJoinedWithControlFramesBetween() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let raw = try await RawConnection.connect(loop, to: server.address)
        try await raw.upgrade("/echo")
        let euro = Array("€".utf8)
        // A character split over two frames, and a ping in the middle.
        try await raw.send(
            rawFrame(0x01, [0x61] + euro.prefix(1)) + rawFrame(0x89, [9]) + rawFrame(0x00, Array(euro.dropFirst()))
                + rawFrame(0x80, [0x62]))
        let expected = rawFrame(0x8a, [9], mask: nil) + rawFrame(0x81, Array("a€b".utf8), mask: nil)
        let bytes = try await raw.bytes { $0.suffix(expected.count) == expected[...] }
        #expect(Array(bytes.suffix(expected.count)) == expected)
        try await raw.channel.close().get()
        #expect(try await server.closed.wait(count: 1) == [.lost])
        try await server.stop()
    }

    @Test(arguments: [
        ("unmasked", rawFrame(0x81, [0x61], mask: nil), UInt16(1002)),
        ("reserved bit", rawFrame(0xc1, [0x61]), 1002),
        ("unknown opcode", rawFrame(0x83, []), 1002),
        ("continuation of nothing", rawFrame(0x80, []), 1002),
        ("message within a message", rawFrame(0x01, [0x61]) + rawFrame(0x81, [0x62]), 1002),
        ("fragmented ping", rawFrame(0x09, []), 1002),
        ("long ping", rawFrame(0x89, [UInt8](repeating: 0, count: 126)), 1002),
        ("bad UTF-8", rawFrame(0x81, [0xff]), 1007),
        ("cut UTF-8", rawFrame(0x81, [0xe2, 0x82]), 1007),
        ("long frame", rawFrame(0x82, [UInt8](repeating: 0, count: 1001)), 1009),
        (
            "long message",
            rawFrame(0x02, [UInt8](repeating: 0, count: 1000)) + rawFrame(0x80, [0]), 1009
        ),
        (
            "many fragments", rawFrame(0x02, []) + (0..<8).flatMap { _ in rawFrame(0x00, []) }, 1008
        ),
    ])
    func violationsCloseWithTheirCode(name: String, bytes: [UInt8], code: UInt16) async throws {
        let loop = nextLoop()
        var configuration = HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        configuration.webSocket.maximumMessageBytes = 1000
        configuration.webSocket.maximumFragments = 8
        let server = try await TestServer.start(loop, configuration)
        let raw = try await RawConnection.connect(loop, to: server.address)
        try await raw.upgrade("/quiet")
        try await raw.send(bytes)
        let close = rawFrame(0x88, [UInt8(code >> 8), UInt8(code & 255)], mask: nil)
        let received = try await raw.bytes { $0.suffix(4) == close[...] }
        #expect(Array(received.suffix(4)) == close)
        #expect(try await server.closed.wait(count: 1) == [.violation(code: code)])
        try await server.stop()
    }

    @Test func boundsAreInclusive() async throws {
        let loop = nextLoop()
        var configuration = HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        configuration.webSocket.maximumMessageBytes = 1000
        configuration.webSocket.maximumFragments = 8
        let server = try await TestServer.start(loop, configuration)
        let raw = try await RawConnection.connect(loop, to: server.address)
        try await raw.upgrade("/echo")
        let whole = [UInt8](repeating: 5, count: 1000)
        try await raw.send(
            rawFrame(0x82, whole) + rawFrame(0x02, Array(whole.prefix(999))) + rawFrame(0x80, [6])
                + rawFrame(0x02, []) + (0..<6).flatMap { _ in rawFrame(0x00, []) } + rawFrame(0x80, [7]))
        let expected =
            rawFrame(0x82, whole, mask: nil) + rawFrame(0x82, whole.prefix(999) + [6], mask: nil)
            + rawFrame(0x82, [7], mask: nil)
        let bytes = try await raw.bytes { $0.suffix(expected.count) == expected[...] }
        #expect(Array(bytes.suffix(expected.count)) == expected)
        try await server.stop()
    }

    @Test func randomBytesNeverHarmTheServer() async throws {
        let loop = nextLoop()
        var configuration = HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        configuration.webSocket.maximumMessageBytes = 4096
        let server = try await TestServer.start(loop, configuration)
        for seed in UInt64(1)...40 {
            var generator = SeededGenerator(seed: seed)
            let raw = try await RawConnection.connect(loop, to: server.address)
            if seed.isMultiple(of: 2) { try await raw.upgrade("/echo") }
            try? await raw.send(generator.bytes(Int.random(in: 1...3000, using: &generator)))
            try? await raw.channel.close().get()
        }
        let client = try await TestClient.open(loop, "ws://\(server.address)/greet")
        #expect(try await client.messages.wait(count: 1) == [.text(Array("hello".utf8))])
        try await client.close()
        try await server.stop()
    }
}
