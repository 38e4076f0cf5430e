import NIOCore
import SwarmBase
import Testing

@testable import SwarmTransport

@Suite struct HTTPServerTests {
    private func loopback(_ change: (inout HTTPServerConfiguration) -> Void = { _ in }) -> HTTPServerConfiguration {
        var configuration = HTTPServerConfiguration(host: IPAddress("127.0.0.1"))
        change(&configuration)
        return configuration
    }

    /// One request on a connection of its own, answered until the server closes.
    private func ask(_ loop: any EventLoop, _ server: TestServer, _ request: String) async throws -> String {
        let raw = try await RawConnection.connect(loop, to: server.address)
        try await raw.send(request)
        _ = try await raw.ended.wait(count: 1)
        let chunks = try await raw.received.wait(count: 0)
        return String(decoding: chunks.flatMap { $0 }, as: UTF8.self)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nfront page"),
        ("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n"),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n", "\r\n\r\nfront page"),
        ("GET /query?a=1?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\na=1?b"),
        (
            "GET http://x/query?z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n",
            "\r\n\r\nz"
        ),
        ("GET /no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "here.\n"),
        ("POST /no HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.0 404 Not Found\r\n", "here.\n"),
        (
            "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n",
            "served.\n"
        ),
        ("what is this\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\r\n\r\n"),
    ])
    func answers(request: String, start: String, end: String) async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let answer = try await ask(loop, server, request)
        #expect(answer.hasPrefix(start))
        #expect(answer.hasSuffix(end))
        if start.contains("405") { #expect(answer.contains("Allow: GET, HEAD\r\n")) }
        if request.hasPrefix("HEAD") { #expect(answer.contains("Content-Length: 10\r\n")) }
        try await server.stop()
    }

    @Test func aConnectionServesManyRequests() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let raw = try await RawConnection.connect(loop, to: server.address)
        let request = "GET /query?1 HTTP/1.1\r\nHost: x\r\n\r\n"
        // Two pipelined, one after them.
        try await raw.send(request + request.replacing("?1", with: "?2"))
        _ = try await raw.text(containing: "\r\n\r\n2")
        try await raw.send(request.replacing("?1", with: "?3"))
        let all = try await raw.text(containing: "\r\n\r\n3")
        #expect(all.contains("\r\n\r\n1HTTP/1.1 200"))
        #expect(try await on(loop) { server.box.value?.counters.requests } == 3)
        try await raw.channel.close().get()
        try await server.stop()
    }

    @Test func longHeadersAndBodiesAreRefused() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(
            loop,
            loopback {
                $0.maximumHeaderBytes = 1000
                $0.maximumBodyBytes = 10
            })
        let long = "GET / HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "a", count: 1000))\r\n\r\n"
        #expect(try await !ask(loop, server, long).contains("200 OK"))
        let body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n12345678901"
        #expect(try await ask(loop, server, body).hasPrefix("HTTP/1.1 413 "))
        let fits = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n1234567890"
        #expect(try await ask(loop, server, fits).hasPrefix("HTTP/1.1 405 "))
        try await server.stop()
    }

    @Test func silentAndTricklingConnectionsAreClosed() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop, loopback { $0.firstRequestTimeout = .milliseconds(100) })
        let silent = try await RawConnection.connect(loop, to: server.address)
        let trickle = try await RawConnection.connect(loop, to: server.address)
        try? await trickle.send("GET / HTTP/1.1\r\nHost")
        _ = try await silent.ended.wait(count: 1)
        _ = try await trickle.ended.wait(count: 1)
        try await server.stop()
    }

    @Test func anIdleConnectionIsClosedAfterItsAnswer() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop, loopback { $0.idleTimeout = .milliseconds(100) })
        let idle = try await RawConnection.connect(loop, to: server.address)
        try await idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        _ = try await idle.text(containing: "front page")
        _ = try await idle.ended.wait(count: 1)
        try await server.stop()
    }

    @Test func anUpgradedConnectionHasNoHTTPDeadline() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop, loopback { $0.firstRequestTimeout = .milliseconds(1000) })
        let client = try await TestClient.open(loop, "ws://\(server.address)/echo")
        _ = try await client.opened.wait(count: 1)
        try await loop.scheduleTask(in: .milliseconds(1200)) {}.futureResult.get()
        try await client.send(.text([0x61]))
        #expect(try await client.messages.wait(count: 1) == [.text([0x61])])
        try await client.close()
        try await server.stop()
    }

    @Test func connectionsAreLimited() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop, loopback { $0.maximumConnections = 2 })
        let first = try await TestClient.open(loop, "ws://\(server.address)/echo")
        let second = try await TestClient.open(loop, "ws://\(server.address)/echo")
        _ = try await first.opened.wait(count: 1)
        _ = try await second.opened.wait(count: 1)
        let third = try await RawConnection.connect(loop, to: server.address)
        _ = try await third.ended.wait(count: 1)
        #expect(try await on(loop) { server.box.value?.counters.connectionsRefused } == 1)
        try await first.close()
        _ = try await server.closed.wait(count: 1)
        let fourth = try await TestClient.open(loop, "ws://\(server.address)/greet")
        _ = try await fourth.messages.wait(count: 1)
        try await server.stop()
    }

    @Test func aClientThatAsksButNeverReadsIsCut() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let raw = try await RawConnection.connect(loop, to: server.address)
        try await on(loop) { try raw.channel.syncOptions?.setOption(.autoRead, value: false) }
        let requests = String(repeating: "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", count: 200)
        try? await raw.send(requests)
        let left = Observed<Int>(loop)
        try await on(loop) {
            _ = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(5)) { task in
                let count = server.box.value?.connectionCount ?? 0
                left.add(count)
                if count == 0 { task.cancel() }
            }
        }
        _ = try await left.wait { $0.last == 0 }
        try await server.stop()
        try? await raw.channel.close().get()
    }

    @Test(arguments: ["8", ""])
    func anUpgradeOfAnotherVersionIsAnswered(version: String) async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let answer = try await ask(
            loop, server,
            "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                + (version.isEmpty ? "" : "Sec-WebSocket-Version: \(version)\r\n") + "\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 426 "))
        #expect(answer.contains("Sec-WebSocket-Version: 13\r\n"))
        try await server.stop()
    }

    @Test(arguments: [
        ("GET /echo", "Upgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\n", "400"),
        ("POST /echo", "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n", "400"),
        ("GET /", "Upgrade: h2c\r\nConnection: Upgrade, close\r\n", "200"),
        ("POST /", "Upgrade: h2c\r\nConnection: Upgrade, close\r\nContent-Length: 2\r\n\r\nab", "405"),
    ])
    func otherUpgradesAreAnswered(line: String, fields: String, status: String) async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let end = fields.contains("\r\n\r\n") ? "" : "\r\n"
        let answer = try await ask(loop, server, "\(line) HTTP/1.1\r\nHost: x\r\n\(fields)\(end)")
        #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
        try await server.stop()
    }

    @Test func anOfferedSubprotocolIsEchoed() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let raw = try await RawConnection.connect(loop, to: server.address)
        try await raw.send(
            "GET /quiet HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Protocol: one, two\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        #expect(try await raw.text(containing: "\r\n\r\n").contains("Sec-WebSocket-Protocol: one\r\n"))
        try await server.stop()
    }

    @Test func stoppingTakesLeaveWithinTwoSecondsAndFreesThePort() async throws {
        let loop = nextLoop()
        let server = try await TestServer.start(loop)
        let polite = try await TestClient.open(loop, "ws://\(server.address)/echo")
        _ = try await polite.opened.wait(count: 1)
        // This one never answers the close frame.
        let rude = try await RawConnection.connect(loop, to: server.address)
        try await rude.upgrade("/quiet")
        let idle = try await RawConnection.connect(loop, to: server.address)
        let before = ContinuousClock.now
        try await server.stop()
        #expect(ContinuousClock.now - before < .seconds(2))
        #expect(try await polite.closed.wait(count: 1) == [.closedByPeer(code: 1001, reason: "going away")])
        _ = try await idle.ended.wait(count: 1)
        _ = try await rude.ended.wait(count: 1)
        let again = try await TestServer.start(loop, loopback { $0.port = server.address.port })
        #expect(again.address == server.address)
        await #expect(throws: HTTPServerError.addressInUse(server.address.port)) {
            _ = try await TestServer.start(loop, loopback { $0.port = server.address.port })
        }
        try await again.stop()
    }
}
