import Foundation
import JSON
import NIOCore
import SwarmBase
import SwarmTransport
import Testing

@testable import Supernode

@Suite struct GunServiceTests {
    private func temporary() -> String { NSTemporaryDirectory() + "swarm-" + UUID().uuidString }

    private func put(_ id: String, _ soul: String, _ key: String, _ value: String, _ state: Double = 5) -> String {
        "{\"#\":\"\(id)\",\"put\":{\"\(soul)\":{\"_\":{\"#\":\"\(soul)\",\">\":{\"\(key)\":\(state)}},"
            + "\"\(key)\":\(value)}}}"
    }

    @Test(arguments: [false, true])
    func putGetAckAndSubscribe(onDisk: Bool) async throws {
        let directory = temporary()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let supernode = Supernode(configuration: loopbackConfiguration(dataDirectory: onDisk ? directory : nil))
        let endpoints = try await supernode.start()
        let alice = try await SocketClient.open(endpoints.gun)
        let bob = try await SocketClient.open(endpoints.gun)
        // The relay greets first (gun.md §4.1).
        for client in [alice, bob] {
            try await client.message("the greeting") { $0["dam"]?.string == "?" && $0["pid"]?.string != nil }
        }
        // Nobody has it: an answer without put.
        try await bob.send(##"{"#":"bobsfirstget","get":{"#":"room"}}"##)
        #expect(try await bob.answer(to: "bobsfirstget")["put"] == nil)
        // That was a subscription: what Alice writes reaches Bob.
        try await alice.send(put("alicesput", "room", "greeting", "\"hello\""))
        let ack = try await alice.answer(to: "alicesput")
        #expect(ack["err"] == nil)
        let pushed = try await bob.message("the pushed write") { $0["put"]?["room"]?["greeting"] == "hello" }
        #expect(pushed["put"]?["room"]?["_"]?[">"]?["greeting"] == 5)
        // An older write changes nothing and is acknowledged all the same.
        try await alice.send(put("alicesold", "room", "greeting", "\"old\"", 4))
        #expect(try await alice.answer(to: "alicesold")["err"] == nil)
        try await bob.send(##"{"#":"bobskeyget","get":{"#":"room",".":"greeting"}}"##)
        #expect(try await bob.answer(to: "bobskeyget")["put"]?["room"]?["greeting"] == "hello")
        // The writer hears no echo.
        #expect(!alice.messages.values.contains { $0["put"] != nil })
        try await alice.close()
        try await bob.close()
        await supernode.stop()
    }

    @Test func onlyTheExactPathIsTheRelay() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        for tail in ["/", "?x=1"] {
            let client = try await SocketClient.open(endpoints.gun + tail)
            // The tracker answers a scrape; the relay would have greeted first.
            try await client.send(#"{"action":"scrape","info_hash":"aaaaaaaaaaaaaaaaaaaa"}"#)
            try await client.message("a tracker's answer") { $0["action"]?.string == "scrape" }
            #expect(client.messages.values.count == 1)
            try await client.close()
        }
        await supernode.stop()
    }

    @Test func brokenFramesAreAnsweredAndBinaryOnesIgnored() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        let client = try await SocketClient.open(endpoints.gun)
        try await client.box.eventLoop.submit {
            _ = client.box.value?.send(binary: Array(##"{"#":"binaryget","get":{"#":"x"}}"##.utf8))
        }.get()
        try await client.send("{nonsense")
        try await client.send("[]")
        try await client.send(##"{"#":"textget","get":{"#":"x"}}"##)
        try await client.answer(to: "textget")
        #expect(!client.messages.values.contains { $0["@"]?.string == "binaryget" })
        try await client.close()
        await supernode.stop()
    }

    @Test func theGraphSurvivesARestart() async throws {
        let directory = temporary()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let first = Supernode(configuration: loopbackConfiguration(dataDirectory: directory))
        let endpoints = try await first.start()
        let writer = try await SocketClient.open(endpoints.gun)
        for index in 0..<50 {
            try await writer.send(put("put\(index)xxxxx", "node\(index % 5)", "k\(index)", "\(index)"))
        }
        for index in 0..<50 { try await writer.answer(to: "put\(index)xxxxx") }
        await first.stop()
        let second = Supernode(configuration: loopbackConfiguration(dataDirectory: directory, port: endpoints.port))
        let again = try await second.start()
        let reader = try await SocketClient.open(again.gun)
        for node in 0..<5 {
            try await reader.send("{\"#\":\"get\(node)xxxxx\",\"get\":{\"#\":\"node\(node)\"}}")
            let answer = try await reader.answer(to: "get\(node)xxxxx")
            let found = answer["put"]?[JSONText("node\(node)")]?.object
            #expect(found?.count == 11)
            #expect(found?[JSONText("k\(node + 45)")]?.integer == node + 45)
        }
        await second.stop()
    }

    @Test func whatWasAcknowledgedSurvivesSIGKILL() async throws {
        let directory = temporary()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        unsafe setenv("SWARM_TEST_DIRECTORY", directory, 1)
        await #expect(processExitsWith: .signal(SIGKILL)) {
            let directory = try #require(ProcessInfo.processInfo.environment["SWARM_TEST_DIRECTORY"])
            let supernode = Supernode(configuration: loopbackConfiguration(dataDirectory: directory))
            let endpoints = try await supernode.start()
            try Data("\(endpoints.port)".utf8).write(to: URL(fileURLWithPath: directory + "/port"))
            let writer = try await SocketClient.open(endpoints.gun)
            try await writer.send(
                ##"{"#":"lastwords","put":{"s":{"_":{"#":"s",">":{"k":7}},"k":"kept"}}}"##)
            let ack = try await writer.answer(to: "lastwords")
            guard ack["err"] == nil else { return }
            // The socket is open now: the same port must serve again at once.
            kill(getpid(), SIGKILL)
        }
        let port = try #require(UInt16(String(contentsOfFile: directory + "/port", encoding: .utf8)))
        let supernode = Supernode(configuration: loopbackConfiguration(dataDirectory: directory, port: port))
        let endpoints = try await supernode.start()
        let reader = try await SocketClient.open(endpoints.gun)
        try await reader.send(##"{"#":"afterwards","get":{"#":"s"}}"##)
        #expect(try await reader.answer(to: "afterwards")["put"]?["s"]?["k"] == "kept")
        await supernode.stop()
    }

    @Test func relaysThatAreLinkedAnswerForEachOther() async throws {
        let far = Supernode(configuration: loopbackConfiguration())
        let farEnd = try await far.start()
        let writer = try await SocketClient.open(farEnd.gun)
        try await writer.send(put("farput12", "shared", "k", "\"far\""))
        try await writer.answer(to: "farput12")
        var configuration = loopbackConfiguration()
        configuration.peers = [try #require(WebSocketURL(farEnd.gun))]
        let near = Supernode(configuration: configuration)
        let nearEnd = try await near.start()
        let reader = try await SocketClient.open(nearEnd.gun)
        // The link comes up in its own time: ask until it does.
        var found = false
        for attempt in 0..<100 where !found {
            try await reader.send("{\"#\":\"askfar\(attempt)x\",\"get\":{\"#\":\"shared\"}}")
            try await reader.answer(to: "askfar\(attempt)x")
            let deadline = ContinuousClock.now + .milliseconds(100)
            while !found, ContinuousClock.now < deadline {
                found = reader.messages.values.contains { $0["put"]?["shared"]?["k"] == "far" }
                await Task.yield()
            }
        }
        #expect(found)
        await near.stop()
        await far.stop()
    }

    @Test func textsGoToTheStoreAndBackUnchanged() {
        let odd: [JSONText] = [
            "", "plain", "grüß 🐝", JSONText(utf16: [0xd800]), JSONText(utf16: [0x61, 0xdc00, 0xd800]), "\u{0}",
            "\u{fffd}",
            JSONText(utf16: [0xdc00, 0xd83d, 0xdc1d]),
        ]
        for text in odd { #expect(RecordCoding.text(of: RecordCoding.bytes(of: text)) == text) }
        #expect(Set(odd.map { RecordCoding.bytes(of: $0) }).count == odd.count)
    }

    @Test func randomBytesAreNoRecordsButHarmless() {
        for seed in UInt64(1)...500 {
            var generator = SeededGenerator(seed: seed)
            let bytes = generator.bytes(Int.random(in: 0...12, using: &generator))
            _ = RecordCoding.text(of: bytes)
            _ = RecordCoding.record(GraphRecord(soul: bytes, key: bytes, value: bytes, state: .infinity))
            _ = RecordCoding.record(GraphRecord(soul: bytes, key: bytes, value: bytes, state: 1))
        }
    }
}
