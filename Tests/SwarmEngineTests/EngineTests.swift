import JSON
import SwarmBase
import Testing

@testable import SwarmEngine

@Suite struct EngineTests {
    @Test(arguments: [Set([Plane.gun]), [.tracker], [.gun, .tracker]])
    func twoMembersMeetAndTalkDirectly(planes: Set<Plane>) throws {
        let swarm = VirtualSwarm(seed: 1)
        let alice = try swarm.addNode(name: "alice", planes: planes)
        swarm.run(for: .milliseconds(200))
        let bob = try swarm.addNode(name: "bob", planes: planes)
        let took = swarm.run(within: .seconds(5)) {
            alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
        }
        #expect(try #require(took) < .seconds(1), "direct within a second of arrival, over \(planes)")
        _ = try swarm.send("hello", from: alice, to: bob)
        _ = try swarm.send("hi", from: bob, to: alice)
        swarm.run(for: .milliseconds(200))
        #expect(bob.texts(from: alice) == ["hello"])
        #expect(alice.texts(from: bob) == ["hi"])
        #expect(alice.delivered(to: bob) == [1])
        #expect(alice.engine.connections.values.filter { $0.peer != nil }.count == 1)
        #expect(alice.engine.refusals.isEmpty && bob.engine.refusals.isEmpty)
    }

    @Test func theFirstMessageTakesTheRelayAtOnce() throws {
        let swarm = VirtualSwarm(seed: 2)
        let alice = try swarm.addNode(name: "alice", planes: [.gun])
        swarm.run(for: .seconds(1))
        let bob = try swarm.addNode(name: "bob", planes: [.gun])
        _ = swarm.run(within: .seconds(1)) { alice.events.contains { $0.event == .discovered(bob.id, .gun) } }
        let discovered = swarm.now
        _ = try swarm.send("at once", from: alice, to: bob)
        _ = swarm.run(within: .seconds(1)) { !bob.texts(from: alice).isEmpty }
        #expect(swarm.now - discovered <= .milliseconds(25), "one trip through the relay: twice 10 ms")
    }

    @Test func simultaneousArrivalEndsInOneConnection() throws {
        for seed in UInt64(10)..<20 {
            let swarm = VirtualSwarm(seed: seed)
            let nodes = try (0..<3).map { try swarm.addNode(name: "n\($0)") }
            swarm.run(for: .seconds(8))
            for node in nodes {
                for peer in nodes where peer !== node {
                    #expect(node.path(to: peer) == .direct, "seed \(seed)")
                }
                let connections = node.engine.connections.values.filter { $0.peer != nil }
                #expect(connections.count == 2 && connections.allSatisfy(\.isOpen), "seed \(seed)")
            }
        }
    }

    @Test func aCutDirectPathFallsBackAndComesBack() throws {
        let swarm = VirtualSwarm(seed: 3)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        swarm.run(for: .seconds(2))
        for round in 1...3 {
            swarm.cutPairs = [[0, 1]]
            let cut = swarm.now
            _ = try swarm.send("cut \(round)", from: alice, to: bob)
            let gap = swarm.run(within: .seconds(2)) { bob.texts(from: alice).last == "cut \(round)" }
            #expect(try #require(gap) < .milliseconds(400), "round \(round)")
            swarm.run(for: .seconds(round == 2 ? 45 : 4))
            #expect(alice.path(to: bob) == .relay)
            swarm.cutPairs = []
            let recovery = swarm.run(within: .seconds(20)) {
                alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
            }
            #expect(try #require(recovery) < .seconds(3), "round \(round), cut at \(cut)")
            swarm.run(for: .seconds(3))
        }
        #expect(bob.texts(from: alice) == ["cut 1", "cut 2", "cut 3"])
        #expect(alice.delivered(to: bob) == [1, 2, 3])
    }

    @Test func theRelayDiesAndReturns() throws {
        let swarm = VirtualSwarm(seed: 4) { $0.paths = [.relay] }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(3)) { alice.path(to: bob) == .relay }
        swarm.killRelay()
        for number in 0..<20 { _ = try swarm.send("\(number)", from: alice, to: bob) }
        swarm.run(for: .seconds(2))
        #expect(bob.texts(from: alice).isEmpty)
        swarm.startRelay()
        let took = swarm.run(within: .seconds(5)) { bob.texts(from: alice).count == 20 }
        #expect(try #require(took) < .seconds(2))
        #expect(bob.texts(from: alice) == (0..<20).map { "\($0)" })
        #expect(alice.path(to: bob) == .relay)
    }

    @Test func membersRestartedWithTheirStateLoseNothing() throws {
        let swarm = VirtualSwarm(seed: 5) { $0.isDurable = true }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(3)) { alice.path(to: bob) == .direct }
        for number in 0..<10 { _ = try swarm.send("\(number)", from: alice, to: bob) }
        swarm.run(for: .milliseconds(300))
        swarm.crash(bob)
        for number in 10..<20 { _ = try swarm.send("\(number)", from: alice, to: bob) }
        swarm.run(for: .milliseconds(300))
        swarm.restart(alice)
        for number in 20..<30 { _ = try swarm.send("\(number)", from: alice, to: bob) }
        swarm.run(for: .seconds(2))
        swarm.restart(bob)
        _ = swarm.run(within: .seconds(10)) { bob.texts(from: alice).count >= 30 }
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == (0..<30).map { "\($0)" })
        #expect(alice.path(to: bob) == .direct)
        #expect(!alice.store.keys.contains { $0.hasPrefix("msg/") }, "what arrived is forgotten")
    }

    @Test func aMessageLeavesOnlyWhenItIsKept() throws {
        let swarm = VirtualSwarm(seed: 11) { $0.isDurable = true }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(3)) { alice.path(to: bob) == .direct }
        alice.isDiskStuck = true
        _ = try swarm.send("first", from: alice, to: bob)
        swarm.run(for: .seconds(1))
        #expect(bob.texts(from: alice).isEmpty, "or its number could be given to another message after a crash")
        // The run ends before the disk took the message: the next one knows nothing of it.
        swarm.restart(alice)
        alice.isDiskStuck = false
        _ = try swarm.send("second", from: alice, to: bob)
        swarm.run(for: .seconds(3))
        #expect(bob.texts(from: alice) == ["second"])
        #expect(alice.delivered(to: bob) == [1])
    }

    @Test func oneWhoLeavesSaysSoAndOneWhoVanishesIsNoticed() throws {
        let swarm = VirtualSwarm(seed: 6)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        let carol = try swarm.addNode(name: "carol")
        swarm.run(for: .seconds(3))
        swarm.act(bob) { $0.leave(now: swarm.now) }
        let left = swarm.run(within: .seconds(1)) { alice.path(to: bob) == nil && carol.path(to: bob) == nil }
        #expect(left != nil)
        #expect(alice.events.filter { $0.event == .left(bob.id) }.count == 1)
        swarm.crash(carol)
        let noticed = swarm.run(within: .seconds(60)) { alice.path(to: carol) == nil }
        #expect(try #require(noticed) < .seconds(30))
    }

    @Test func nothingIsToldOfThePathsToOneWhoIsGone() throws {
        let swarm = VirtualSwarm(seed: 17)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(3)) { alice.path(to: bob) == .direct }
        // His new run is heard of by the relay, while the connection with the former one is open still.
        swarm.restart(bob)
        let again = swarm.run(within: .seconds(10)) {
            alice.events.contains { $0.event == .left(bob.id) } && alice.path(to: bob) == .direct
        }
        #expect(again != nil)
        let events = alice.events.map(\.event)
        let left = try #require(events.firstIndex(of: .left(bob.id)))
        let next = try #require(
            events[(left + 1)...].first {
                switch $0 {
                case .peer(bob.id, _, _), .path(bob.id, _, _): true
                default: false
                }
            })
        if case .path = next { Issue.record("a path after `left`: \(events)") }
    }

    @Test func aReplayedSignalAndAStaleRecordAreRefused() throws {
        let swarm = VirtualSwarm(seed: 7)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(3)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        let path = [alice.path(to: bob), bob.path(to: alice)]
        // A relay gives everything it ever carried once more, under new slots: to HAM it is new.
        let recorded = swarm.relayFrames
        for (count, frame) in recorded.enumerated() {
            let text = String(decoding: frame, as: UTF8.self)
            let again = text.replacing("\"#\":\"", with: "\"#\":\"").replacing(#/\/(\d+)"/#) { "/\($0.1)\(count)\"" }
            swarm.inject(frame: Array(again.utf8), to: alice)
            swarm.inject(frame: Array(again.utf8), to: bob)
        }
        swarm.run(for: .seconds(1))
        #expect([alice.path(to: bob), bob.path(to: alice)] == path)
        #expect(alice.engine.refusals[.replayed] ?? 0 > 0)
        swarm.run(for: .seconds(130))
        let before = bob.engine.refusals[.stale] ?? 0
        for (count, frame) in recorded.enumerated() {
            let again = String(decoding: frame, as: UTF8.self).replacing(#/\/(\d+)"/#) { "/9\($0.1)\(count)\"" }
            swarm.inject(frame: Array(again.utf8), to: bob)
        }
        #expect(bob.engine.refusals[.stale] ?? 0 > before)
        #expect(bob.path(to: alice) == .direct)
    }

    @Test func stateReachesThoseWhoWatch() throws {
        let swarm = VirtualSwarm(seed: 8)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.act(bob) { $0.watch(soul: "room", now: swarm.now) }
        swarm.run(for: .seconds(1))
        swarm.act(alice) { #expect($0.put(soul: "room", key: "title", value: "hello", now: swarm.now) == true) }
        swarm.act(alice) { #expect($0.put(soul: "room", key: "x", value: .array([]), now: swarm.now) == false) }
        swarm.run(for: .seconds(1))
        #expect(bob.events.contains { $0.event == .state(soul: "room", key: "title", value: "hello") })
    }

    @Test func limitsOfSending() throws {
        let swarm = VirtualSwarm(seed: 9) { $0.session.largestMessage = 10 }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        #expect(throws: SendError.tooLarge(limit: 10)) { try swarm.send("12345678901", from: alice, to: bob) }
        #expect(throws: SendError.ownID) { try swarm.send("1", from: alice, to: alice) }
        #expect(try swarm.send("1234567890", from: alice, to: bob) == 1)
    }
}
