import Foundation
import JSON
import Magnet
import SwarmBase
import SwarmEngine
import Testing

@testable import SwarmSpace

@Suite struct SwarmTests {
    private struct Note: Codable, Equatable, Sendable {
        var title: String
        var stars: Int
    }

    @Test func twoMembersMeetTalkAndLeave() async throws {
        let stage = try await Stage.set()
        let alice = Reader(try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Alice")))
        let bob = Reader(try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Bob")))
        let (a, b) = (alice.swarm.peerID, bob.swarm.peerID)
        try await alice.meets(b)
        try await bob.meets(a)
        let peers = await alice.swarm.peers
        #expect(peers.map(\.id) == [b] && peers.map(\.name) == ["Bob"])
        #expect(try await alice.swarm.send("one", to: b).number == 1)
        #expect(try await alice.swarm.send([2, 2] as [UInt8], to: b).number == 2)
        #expect(try await alice.swarm.send(Note(title: "three", stars: 3), to: b).number == 3)
        #expect(try await alice.swarm.broadcast("four") == [b: 4])
        try await until("all messages") { await bob.contents(from: a).count == 4 }
        let contents = await bob.contents(from: a)
        #expect(contents[0] == .text("one") && contents[1] == .binary([2, 2]) && contents[3] == .text("four"))
        #expect(contents[2].decoded(as: Note.self) == Note(title: "three", stars: 3))
        #expect(contents[0].decoded(as: Note.self) == nil)
        try await until("all deliveries") { await alice.delivered(to: b) == [1, 2, 3, 4] }
        try await alice.waits(for: "the direct path") { if case .path(b, .direct, .some) = $0 { true } else { false } }

        await bob.swarm.leave()
        await bob.swarm.leave()
        try await bob.ends()
        try await alice.waits(for: "Bob's good-bye") { $0 == .left(b) }
        await #expect { try await bob.swarm.send("late", to: a) } throws: { ($0 as? SwarmError)?.code == .left }
        #expect(await bob.swarm.status == nil)
        #expect(await bob.swarm.peers.isEmpty)
        await alice.swarm.leave()
        await stage.strike()
    }

    @Test(arguments: [false, true]) func whatIsSentLastArrivesBeforeTheGoodBye(isKept: Bool) async throws {
        let stage = try await Stage.set()
        var own = stage.configuration("Alice")
        if isKept { own.dataDirectory = stage.path("alice") }
        let alice = Reader(try await Swarm.join(Invite("meadow"), configuration: own))
        let bob = Reader(try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Bob")))
        let (a, b) = (alice.swarm.peerID, bob.swarm.peerID)
        try await alice.meets(b)
        for number in 0..<200 { try await alice.swarm.send("\(number)", to: b) }
        await alice.swarm.leave()
        try await until("all messages") { await bob.texts(from: a).count == 200 }
        #expect(await alice.delivered(to: b).count == 200)
        await bob.swarm.leave()
        await stage.strike()
    }

    @Test func whatCannotBeSentIsRefused() async throws {
        let stage = try await Stage.set()
        let alice = try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Alice"))
        let other = SampleIdentity.peerID
        await #expect { try await alice.send("me", to: alice.peerID) } throws: { ($0 as? SwarmError)?.code == .notSent }
        let limit = SessionConfiguration().largestMessage
        #expect(try await alice.send([UInt8](repeating: 1, count: limit), to: other).number == 1)
        await #expect { try await alice.send([UInt8](repeating: 1, count: limit + 1), to: other) } throws: {
            ($0 as? SwarmError)?.code == .notSent
        }
        #expect(try await alice.backlog(of: other) == limit)
        #expect(try await alice.broadcast("to nobody").isEmpty)
        await #expect { try await alice.put(soul: "", key: "k", value: 1) } throws: {
            ($0 as? SwarmError)?.code == .invalidValue
        }
        await #expect { try await alice.put(soul: "s", key: "k", value: [1]) } throws: {
            ($0 as? SwarmError)?.code == .invalidValue
        }
        await alice.leave()
        await stage.strike()
    }

    @Test func aSlowReaderSlowsTheSenderAndLosesNothing() async throws {
        let stage = try await Stage.set()
        let alice = Reader(try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Alice")))
        var slow = stage.configuration("Bob")
        slow.mostUnreadEvents = 100
        let bob = try await Swarm.join(Invite("meadow"), configuration: slow)
        try await alice.meets(bob.peerID)
        let count = 5000
        for number in 0..<count { try await alice.swarm.send("\(number)", to: bob.peerID) }
        // After this many round trips whatever was under way has come.
        for round in 1...20 {
            try await bob.send("round \(round)", to: alice.swarm.peerID)
            try await until("round \(round)") { await alice.texts(from: bob.peerID).count == round }
        }
        let waiting = try await alice.swarm.backlog(of: bob.peerID)
        #expect(waiting > 0, "everything was taken although nobody read")
        var texts: [String] = []
        for await event in bob.events {
            if case .message(_, .text(let text), _, _) = event { texts.append(text) }
            if texts.count == count { break }
        }
        #expect(texts == (0..<count).map(String.init))
        try await until("all deliveries") { await alice.delivered(to: bob.peerID).count == count }
        await alice.swarm.leave()
        await bob.leave()
        await stage.strike()
    }

    @Test func withADataDirectoryEverythingOutlivesARestart() async throws {
        let stage = try await Stage.set()
        var (first, second) = (stage.configuration("Alice"), stage.configuration("Bob"))
        first.dataDirectory = stage.path("alice")
        second.dataDirectory = stage.path("bob")
        var alice = Reader(try await Swarm.join(Invite("meadow"), configuration: first))
        var bob = Reader(try await Swarm.join(Invite("meadow"), configuration: second))
        let (a, b) = (alice.swarm.peerID, bob.swarm.peerID)
        try await alice.meets(b)
        try await alice.swarm.send("0", to: b)
        try await until("the first message") { await bob.texts(from: a) == ["0"] }
        try await until("its delivery") { await alice.delivered(to: b) == [1] }
        await bob.swarm.leave()
        try await bob.ends()
        // What Bob is to get waits on Alice's disk while neither is there.
        for number in 1...3 { try await alice.swarm.send("\(number)", to: b) }
        await alice.swarm.leave()
        try await alice.ends()
        alice = Reader(try await Swarm.join(Invite("meadow"), configuration: first))
        bob = Reader(try await Swarm.join(Invite("meadow"), configuration: second))
        #expect(alice.swarm.peerID == a && bob.swarm.peerID == b)
        #expect(try await alice.swarm.send("4", to: b).number == 5)
        try await until("what had waited") { await bob.texts(from: a).count >= 4 }
        #expect(await bob.texts(from: a) == ["1", "2", "3", "4"])
        try await until("all deliveries") { await alice.delivered(to: b) == [2, 3, 4, 5] }
        let mode = try FileManager.default.attributesOfItem(atPath: stage.path("alice/identity.json"))
        #expect(mode[.posixPermissions] as? Int == 0o600)
        await alice.swarm.leave()
        await bob.swarm.leave()
        await stage.strike()
    }

    @Test func aDataDirectoryBelongsToOneAtATime() async throws {
        let stage = try await Stage.set()
        var configuration = stage.configuration("Alice")
        configuration.dataDirectory = stage.path("alice")
        let alice = try await Swarm.join(Invite("meadow"), configuration: configuration)
        await #expect { try await Swarm.join(Invite("meadow"), configuration: configuration) } throws: { error in
            guard let error = error as? SwarmError else { return false }
            return error.code == .storage && error.message.contains("in use by another process")
        }
        await alice.leave()
        let again = try await Swarm.join(Invite("meadow"), configuration: configuration)
        await again.leave()
        await stage.strike()
    }

    @Test func aBrokenIdentityIsNotOverwritten() async throws {
        let stage = try await Stage.set()
        var configuration = stage.configuration("Alice")
        configuration.dataDirectory = stage.path("alice")
        try FileManager.default.createDirectory(atPath: stage.path("alice"), withIntermediateDirectories: true)
        let file = stage.path("alice/identity.json")
        try Data("{}".utf8).write(to: URL(filePath: file))
        await #expect { try await Swarm.join(Invite("meadow"), configuration: configuration) } throws: {
            ($0 as? SwarmError)?.code == .storage
        }
        #expect(try Data(contentsOf: URL(filePath: file)) == Data("{}".utf8))
        await stage.strike()
    }

    @Test func aPortThatIsTakenIsRefused() async throws {
        let stage = try await Stage.set()
        let alice = try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Alice"))
        let port = try #require(await alice.status).port
        #expect(port != 0)
        var configuration = stage.configuration("Bob")
        configuration.port = port
        configuration.dataDirectory = stage.path("bob")
        await #expect { try await Swarm.join(Invite("meadow"), configuration: configuration) } throws: {
            ($0 as? SwarmError)?.code == .network
        }
        await alice.leave()
        // Neither the port nor the directory stays taken.
        let bob = try await Swarm.join(Invite("meadow"), configuration: configuration)
        #expect(await bob.status?.port == port)
        await bob.leave()
        await stage.strike()
    }

    @Test func aRelayThatIsNotThereIsTold() async throws {
        var configuration = SwarmConfiguration()
        configuration.usesLocalNetwork = false
        configuration.usesDHT = false
        configuration.relays = ["ws://127.0.0.1:9/gun"]
        configuration.trackers = ["ws://127.0.0.1:9/"]
        let alice = try await Swarm.join(Invite("meadow"), configuration: configuration)
        try await until("failures") { await alice.status?.links.filter { $0.failures > 0 }.count == 2 }
        let links = try #require(await alice.status).links
        #expect(links.allSatisfy { !$0.isOpen && !$0.wasOpen && $0.lastFailure != nil })
        await alice.leave()
    }

    @Test func relaysAreUsedOnceEach() async throws {
        var configuration = SwarmConfiguration()
        configuration.usesLocalNetwork = false
        configuration.usesDHT = false
        configuration.relays = ["ws://127.0.0.1:9/a", "ws://127.0.0.1:9/b"]
        let link =
            "magnet:?xt=urn:btih:\(InviteTests.hash)&x.gun=ws%3A%2F%2F127.0.0.1%3A9%2Fb&x.gun=ws%3A%2F%2F127.0.0.1%3A9%2Fc"
        let alice = try await Swarm.join(Invite(link), configuration: configuration)
        #expect(alice.relays == ["ws://127.0.0.1:9/a", "ws://127.0.0.1:9/b", "ws://127.0.0.1:9/c"])
        #expect(alice.infoHash.description == InviteTests.hash)
        await alice.leave()
    }

    @Test func whoLetsGoOfASwarmHasLeft() async throws {
        let stage = try await Stage.set()
        let alice = Reader(try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Alice")))
        var bob: Swarm? = try await Swarm.join(Invite("meadow"), configuration: stage.configuration("Bob"))
        let b = try #require(bob?.peerID)
        try await alice.meets(b)
        bob = nil
        try await alice.waits(for: "Bob's good-bye") { $0 == .left(b) }
        await alice.swarm.leave()
        await stage.strike()
    }
}
