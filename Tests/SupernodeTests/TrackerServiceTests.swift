import JSON
import SwarmBase
import SwarmTransport
import Testing
import Tracker

@testable import Supernode

@Suite struct TrackerServiceTests {
    private let swarm = "hhhhhhhhhhhhhhhhhhhh"

    private func announce(_ peer: String, offers: String = "[]", event: String = "started") -> String {
        "{\"action\":\"announce\",\"info_hash\":\"\(swarm)\",\"peer_id\":\"\(peer)\",\"numwant\":1,\"uploaded\":0,"
            + "\"downloaded\":0,\"left\":1,\"event\":\"\(event)\",\"offers\":\(offers)}"
    }

    @Test func anOfferReachesAPeerAndItsAnswerComesBack() async throws {
        var configuration = loopbackConfiguration()
        configuration.tracker.interval = .seconds(90)
        let supernode = Supernode(configuration: configuration)
        let endpoints = try await supernode.start()
        let (alice, bob) = ("aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb")
        let first = try await SocketClient.open(endpoints.tracker)
        let second = try await SocketClient.open(endpoints.tracker + "announce")
        try await first.send(announce(alice))
        let reply = try await first.message("the reply") { $0["interval"] != nil }
        #expect(reply["interval"] == 90)
        #expect(reply["info_hash"]?.string == swarm)
        try await second.send(
            announce(bob, offers: #"[{"offer_id":"oooooooooooooooooooo","offer":{"type":"offer","sdp":"v=0 b"}}]"#))
        let offer = try await first.message("Bob's offer") { $0["offer"] != nil }
        #expect(offer["offer"]?["sdp"] == "v=0 b")
        #expect(offer["peer_id"]?.string == bob)
        try await first.send(
            "{\"action\":\"announce\",\"info_hash\":\"\(swarm)\",\"peer_id\":\"\(alice)\",\"to_peer_id\":\"\(bob)\","
                + #""offer_id":"oooooooooooooooooooo","answer":{"type":"answer","sdp":"v=0 a"}}"#)
        let answer = try await second.message("Alice's answer") { $0["answer"] != nil }
        #expect(answer["answer"]?["sdp"] == "v=0 a")
        #expect(answer["peer_id"]?.string == alice)
        #expect(await supernode.status?.trackerPeers == 2)
        #expect(await supernode.status?.swarms == 1)
        // Whoever leaves the socket leaves the swarm.
        try await second.close()
        try await first.send("{\"action\":\"scrape\",\"info_hash\":\"\(swarm)\"}")
        let scrape = try await first.message("the scrape") { $0["files"] != nil }
        #expect(scrape["files"]?[JSONText(swarm)] != nil)
        await supernode.stop()
    }

    @Test func aMessageAboveTheLimitClosesTheSocket() async throws {
        let supernode = Supernode(configuration: loopbackConfiguration())
        let endpoints = try await supernode.start()
        let client = try await SocketClient.open(endpoints.tracker)
        try await client.send("\"" + String(repeating: "a", count: 1 << 16) + "\"")
        let reason = try await client.closed.wait("the end") { !$0.isEmpty }
        #expect(reason == [.closedByPeer(code: 1009, reason: "")])
        await supernode.stop()
    }
}
