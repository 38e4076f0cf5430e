import SwarmBase
import SwarmSpace
import Testing

/// The graph as an application sees it.
@Suite struct GraphAPITests {
    struct Plant: Codable, Equatable, Sendable {
        struct Place: Codable, Equatable, Sendable {
            var bed: Int
            var row: String
        }

        var name: String
        var isTall: Bool
        var place: Place
    }

    private func graph(_ stage: Stage, _ directory: String? = nil) async throws -> Graph {
        try await Graph.connect(relays: [stage.url], dataDirectory: directory.map { stage.path($0) })
    }

    /// A write reaches others when it does: waits until it has.
    private func arrives(_ value: GraphValue, at reference: GraphReference) async {
        #expect(await reference.changes().first { $0 == value } == value)
    }

    @Test(.timeLimit(.minutes(1))) func valuesLinksAndDeletion() async throws {
        let stage = try await Stage.set()
        let (alice, bob) = (try await graph(stage), try await graph(stage))
        #expect(try await bob["room"]["title"].value() == nil)
        try await alice["room"]["title"].put("Meadow")
        try await alice["room"]["size"].put(4.5)
        await arrives("Meadow", at: bob["room"]["title"])
        await arrives(4.5, at: bob["room"]["size"])
        #expect(try await bob["room"]["title"].value() == "Meadow")
        #expect(try await bob["room"]["size"].value()?.number == 4.5)
        #expect(try await bob["room"].node() == ["title": "Meadow", "size": 4.5])
        // What is written through keys that link nowhere makes the nodes on the way.
        try await alice["room"]["owner"]["name"].put("Alice")
        await arrives("Alice", at: bob["room"]["owner"]["name"])
        #expect(try await bob["room"]["owner"]["name"].value() == "Alice")
        #expect(try await bob["room"]["owner"].value() == .link("room/owner"))
        try await bob["mine"]["best"].put(bob["room"])
        await arrives("Meadow", at: alice["mine"]["best"]["title"])
        try await alice["room"]["title"].put(nil)
        await arrives(.null, at: bob["room"]["title"])
        #expect(try await bob["room"]["title"].value() == .null)
        #expect(try await bob["room"].node()["title"] == nil)
        await #expect(throws: GraphError.invalidName) { try await alice[""]["k"].put(1) }
        await #expect(throws: GraphError.invalidName) { try await alice["s"]["_"].put(1) }
        let long = String(repeating: "x", count: 70_000)
        await #expect(throws: GraphError.tooLarge) { try await alice["s"]["k"].put(long) }
        await #expect { try await alice["s"]["k"].put([1, 2]) } throws: {
            if case GraphError.invalidValue = $0 { true } else { false }
        }
        await alice.close()
        await #expect(throws: GraphError.closed) { try await alice["s"]["k"].value() }
        await bob.close()
        await stage.strike()
    }

    @Test(.timeLimit(.minutes(1))) func ownTypesAndSets() async throws {
        let stage = try await Stage.set()
        let (alice, bob) = (try await graph(stage), try await graph(stage))
        let rose = Plant(name: "rose", isTall: false, place: .init(bed: 3, row: "north"))
        try await alice["rose"].put(rose)
        await arrives(3, at: bob["rose"]["place"]["bed"])
        #expect(try await bob["rose"].value(as: Plant.self) == rose)
        #expect(try await bob["rose"]["place"]["bed"].value() == 3)
        #expect(try await bob["rose"]["place"].value(as: Plant.Place.self) == rose.place)
        #expect(try await bob["nothing"].value(as: Plant.self) == nil)
        await #expect { try await bob["rose"].value(as: [Int].self) } throws: {
            if case GraphError.mismatch = $0 { true } else { false }
        }
        let oak = Plant(name: "oak", isTall: true, place: .init(bed: 1, row: "south"))
        let place = try await alice["plants"].set(oak)
        try await alice["plants"].set("a text")
        #expect(try await place.value(as: Plant.self) == oak)
        var seen: [String: GraphValue] = [:]
        for await entry in bob["plants"].map() {
            seen[entry.key] = entry.value
            if case .link(let soul) = entry.value { #expect(try await bob[soul].value(as: Plant.self) == oak) }
            if seen.count == 2 { break }
        }
        #expect(seen.values.contains("a text"))
        await alice.close()
        await bob.close()
        await stage.strike()
    }

    @Test func changesAreGivenAsTheyCome() async throws {
        let stage = try await Stage.set()
        let (alice, bob) = (try await graph(stage), try await graph(stage))
        try await alice["count"]["n"].put(0)
        var changes = bob["count"]["n"].changes().makeAsyncIterator()
        #expect(await changes.next() == 0)
        // A slow reader is given the latest.
        for number in 1...50 { try await alice["count"]["n"].put(number) }
        var last: GraphValue? = nil
        var given = 0
        repeat {
            last = await changes.next()
            given += 1
        } while last != 50 && last != nil
        #expect(last == 50 && given <= 50)
        // A link that moves takes its reader along.
        try await alice["a"]["x"].put("in a")
        try await alice["b"]["x"].put("in b")
        try await alice["here"]["now"].put(alice["a"])
        var moving = bob["here"]["now"]["x"].changes().makeAsyncIterator()
        #expect(await moving.next() == "in a")
        try await alice["here"]["now"].put(alice["b"])
        #expect(await moving.next() == "in b")
        let ending = Task { await bob["count"]["nothing"].changes().first { _ in true } }
        ending.cancel()
        #expect(await ending.value == nil)
        await alice.close()
        await bob.close()
        #expect(await moving.next() == nil)
        await stage.strike()
    }

    @Test(.timeLimit(.minutes(1))) func usersSignInAndAllow() async throws {
        let stage = try await Stage.set()
        let (first, second) = (try await graph(stage), try await graph(stage))
        let alice = try await first.create(alias: "alice", passphrase: "correct horse")
        try await alice["profile"]["name"].put("Alice")
        // From elsewhere, with the passphrase alone.
        await #expect(throws: GraphError.wrongPassphrase) {
            try await second.auth(alias: "alice", passphrase: "battery staple")
        }
        let again = try await second.auth(alias: "alice", passphrase: "correct horse")
        #expect(again.publicKey == alice.publicKey)
        await arrives("Alice", at: again["profile"]["name"])
        #expect(try await second.user(alice.publicKey)["profile"]["name"].author() == alice.publicKey)
        // Others do not write there, unless they are allowed to.
        let bob = try await second.create(alias: "bob", passphrase: "staple battery")
        let inbox = second.user(alice.publicKey)["inbox"]
        await #expect { try await inbox["hello"].put("unsigned") } throws: {
            if case GraphError.notAllowed = $0 { true } else { false }
        }
        try await alice["inbox"]["welcome"].put("write here")
        let certificate = alice.certify([bob.publicKey], prefix: "inbox")
        try await bob.writing(to: inbox["hello"], certificate: certificate).put("from Bob")
        await arrives("from Bob", at: alice["inbox"]["hello"])
        #expect(try await alice["inbox"]["hello"].author() == bob.publicKey)
        let elsewhere = bob.writing(to: second.user(alice.publicKey)["name"], certificate: certificate)
        await #expect { try await elsewhere.put("x") } throws: {
            if case GraphError.notAllowed = $0 { true } else { false }
        }
        #expect(!"\(alice)".contains("priv"))
        await first.close()
        await second.close()
        await stage.strike()
    }

    @Test func whatWasWrittenAloneIsThereAfterwards() async throws {
        let stage = try await Stage.set()
        let nowhere = try await Graph.connect(relays: [], dataDirectory: stage.path("alice"))
        try await nowhere["room"]["title"].put("alone")
        #expect(try await nowhere["room"]["title"].value() == "alone")
        await nowhere.close()
        let alice = try await graph(stage, "alice")
        let bob = try await graph(stage)
        let title = await bob["room"]["title"].changes().first { _ in true }
        #expect(title == "alone")
        await alice.close()
        await bob.close()
        await stage.strike()
    }

    @Test func membersShareOne() async throws {
        let stage = try await Stage.set()
        let alice = try await Swarm.join(Invite("meadow graph"), configuration: stage.configuration("Alice"))
        let bob = try await Swarm.join(Invite("meadow graph"), configuration: stage.configuration("Bob"))
        let own = try #require(try await alice.graph.own())
        try await own["profile"]["name"].put("Alice")
        let name = await bob.graph.user("\(alice.peerID)")["profile"]["name"].changes().first { _ in true }
        #expect(name == "Alice")
        await alice.leave()
        await #expect(throws: GraphError.closed) { try await alice.graph["s"]["k"].put(1) }
        await bob.leave()
        await stage.strike()
    }
}
