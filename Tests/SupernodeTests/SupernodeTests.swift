import Foundation
import NIOCore
import SwarmBase
import SwarmTransport
import Testing

@testable import Supernode

@Suite struct SupernodeTests {
    @Test func oneNumberForEverything() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        let port = endpoints.port
        #expect(port != 0)
        #expect(endpoints.http == "http://127.0.0.1:\(port)/")
        #expect(endpoints.gun == "ws://127.0.0.1:\(port)/gun")
        #expect(endpoints.tracker == "ws://127.0.0.1:\(port)/")
        #expect(endpoints.udp == "127.0.0.1:\(port)")
        #expect(try await get(port, "/healthz").hasSuffix("\r\n\r\nok\n"))
        #expect(try await get(port, "/gun").hasPrefix("HTTP/1.1 404 "))
        #expect(try await get(port, "/other").hasPrefix("HTTP/1.1 404 "))
        let head = try await ask(port, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 200 ") && head.hasSuffix("\r\n\r\n"))
        await #expect(throws: SupernodeError.portInUse(port)) {
            _ = try await Supernode(configuration: loopbackConfiguration(port: port)).start()
        }
        await #expect(throws: SupernodeError.alreadyUsed) { _ = try await supernode.start() }
        await supernode.stop()
        await supernode.stop()
        #expect(await supernode.status == nil)
        // The number is free again, for both.
        let again = Supernode(configuration: loopbackConfiguration(port: port))
        #expect(try await again.start().port == port)
        await again.stop()
    }

    @Test func thePageIsTheSameForEverybodyAndRunsNothingOfOthers() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let port = try await supernode.start().port
        let page = try await get(port, "/", host: "swarm.example:\(port)")
        #expect(page.hasPrefix("HTTP/1.1 200 "))
        #expect(page.contains("Content-Type: text/html; charset=utf-8\r\n"))
        #expect(page.contains("Content-Security-Policy: default-src 'none'; script-src 'self';"))
        #expect(page.contains("<html lang=\"en\">") && page.contains("<h1 "))
        for host in ["x/<script>", "<script>", "x?<script>", "x\"y", "a&lt;b"] {
            #expect(try await get(port, "/", host: host) == page, "\(host)")
        }
        await supernode.stop()
    }

    @Test func metricsCount() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        let client = try await SocketClient.open(endpoints.gun)
        try await client.send(##"{"#":"metricsput","put":{"m":{"_":{"#":"m",">":{"k":1}},"k":1}}}"##)
        try await client.answer(to: "metricsput")
        let text = try await get(endpoints.port, "/metrics")
        #expect(text.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(text.contains("\nswarm_gun_links 1\n"))
        #expect(text.contains("\nswarm_gun_puts_total 1\n"))
        #expect(text.contains("\nswarm_gun_records_accepted_total 1\n"))
        #expect(text.contains("\n# TYPE swarm_gun_puts_total counter\n"))
        let body = text.split(separator: "\r\n\r\n", maxSplits: 1).last.map { String($0) } ?? ""
        // Each sample has its HELP and TYPE, and no name occurs twice.
        let samples = body.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(samples.count > 40)
        #expect(Set(samples.compactMap { $0.split(separator: " ").first }).count == samples.count)
        #expect(body.split(separator: "\n").count == samples.count * 3)
        let status = await supernode.status
        #expect(status?.gunLinks == 1)
        await supernode.stop()
    }

    @Test func stoppingIsQuickWithOpenConnections() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        let gun = try await SocketClient.open(endpoints.gun)
        let tracker = try await SocketClient.open(endpoints.tracker)
        let before = ContinuousClock.now
        await supernode.stop()
        #expect(ContinuousClock.now - before < .seconds(2))
        for client in [gun, tracker] {
            let reason = try await client.closed.wait("the end") { !$0.isEmpty }
            #expect(reason == [.closedByPeer(code: 1001, reason: "going away")])
        }
    }

    @Test func whatCannotBeUsedIsSaid() async throws {
        var configuration = loopbackConfiguration()
        configuration.tls = ("/nowhere.pem", "/nowhere.pem")
        await #expect(throws: SupernodeError.tls(.badFile("/nowhere.pem"))) {
            _ = try await Supernode(configuration: configuration).start()
        }
        let file = NSTemporaryDirectory() + "swarm-file-" + UUID().uuidString
        try Data("x".utf8).write(to: URL(fileURLWithPath: file))
        defer { try? FileManager.default.removeItem(atPath: file) }
        let error = FileError(operation: "open the directory", path: file, number: ENOTDIR)
        await #expect(throws: SupernodeError.directory(error)) {
            _ = try await Supernode(configuration: loopbackConfiguration(dataDirectory: file)).start()
        }
        var elsewhere = loopbackConfiguration()
        elsewhere.host = IPAddress("192.0.2.1")
        await #expect(throws: SupernodeError.self) { _ = try await Supernode(configuration: elsewhere).start() }
    }

    @Test func everySupernodeFindsAPort() async throws {
        // A port that is taken for TCP only must be passed over.
        var ports: Set<UInt16> = []
        var all: [Supernode] = []
        for _ in 0..<20 {
            let supernode = Supernode(configuration: loopbackConfiguration())
            ports.insert(try await supernode.start().port)
            all.append(supernode)
        }
        #expect(ports.count == 20)
        for supernode in all { await supernode.stop() }
    }
}
