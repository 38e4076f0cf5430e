import ICE
import JSON
import SEA
import SwarmBase
import Testing
import WebRTC

@testable import SwarmEngine

/// What must mend itself, and what must come to rest.
@Suite struct RecoveryTests {
    /// Longer than ICE and the engine wait for a path: one side gives the connection up while the other still hopes.
    @Test(arguments: [32, 62, 91])
    func aLongCutEndsInADirectPath(seconds: Int) throws {
        let swarm = VirtualSwarm(seed: UInt64(seconds))
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        func isDirect() -> Bool { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        _ = swarm.run(within: .seconds(5), until: isDirect)
        swarm.run(for: .seconds(2))
        swarm.cutPairs = [[0, 1]]
        swarm.run(for: .seconds(seconds))
        swarm.cutPairs = []
        let took = swarm.run(within: .seconds(120), until: isDirect)
        #expect(try #require(took) < .seconds(40))
        swarm.run(for: .seconds(30))
        #expect(isDirect(), "it stays")
    }

    /// One side gives a connection up in a cut, and its good-bye is lost; the other asks to restart what is no more.
    @Test(arguments: [true, false])
    func aConnectionThatOneSideGaveUpIsMadeAnew(deciderGivesUp: Bool) throws {
        let swarm = VirtualSwarm(seed: 12)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        func isDirect() -> Bool { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        _ = swarm.run(within: .seconds(5), until: isDirect)
        swarm.run(for: .seconds(2))
        swarm.cutPairs = [[0, 1]]
        let (one, other) = (alice.id < bob.id) == deciderGivesUp ? (alice, bob) : (bob, alice)
        swarm.act(one) { engine in
            if let member = engine.members[other.id] { engine.endConnection(with: member, now: swarm.now) }
        }
        swarm.run(for: .seconds(1))
        swarm.cutPairs = []
        let took = swarm.run(within: .seconds(120), until: isDirect)
        #expect(try #require(took) < .seconds(10))
        swarm.run(for: .seconds(60))
        #expect(isDirect(), "it stays")
    }

    /// A link that answered just before it died is asked again, though no other path falls silent after that.
    @Test func linksAreAskedOnceMoreForWhatCameTooSoon() throws {
        let swarm = VirtualSwarm(seed: 14)
        let alice = try swarm.addNode(name: "alice")
        swarm.run(for: .seconds(1))
        let start = swarm.now
        for _ in 0..<3 {
            swarm.act(alice) { $0.probeLinks(now: swarm.now) }
            swarm.run(for: .seconds(1))
        }
        #expect(alice.probes == [start])
        swarm.run(for: .seconds(30))
        #expect(alice.probes == [start, start + .seconds(5)])
    }

    /// One member takes only the direct path; the other knows nothing of that.
    @Test func aMemberOfTheDirectPathOnlyIsReached() throws {
        let swarm = VirtualSwarm(seed: 13)
        let alice = try swarm.addNode(name: "alice")
        swarm.run(for: .seconds(1))
        let bob = try swarm.addNode(name: "bob", paths: [.direct])
        _ = swarm.run(within: .seconds(1)) { alice.events.contains { $0.event == .discovered(bob.id, .gun) } }
        _ = try swarm.send("at once", from: alice, to: bob)
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == ["at once"])
        #expect(!bob.events.contains { if case .message(_, _, .relay, _) = $0.event { true } else { false } })
        #expect(alice.path(to: bob) == .direct && bob.path(to: alice) == .direct)
    }

    @Test func trackersAloneBringAConnectionBack() throws {
        let swarm = VirtualSwarm(seed: 2)
        let alice = try swarm.addNode(name: "alice", planes: [.tracker])
        let bob = try swarm.addNode(name: "bob", planes: [.tracker])
        func isDirect() -> Bool { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(swarm.run(within: .seconds(5), until: isDirect) != nil)
        swarm.cutPairs = [[0, 1]]
        _ = try swarm.send("meanwhile", from: alice, to: bob)
        swarm.run(for: .seconds(150))
        #expect(alice.path(to: bob) == nil)
        swarm.cutPairs = []
        let took = swarm.run(within: .seconds(300), until: isDirect)
        #expect(try #require(took) < .seconds(45))
        swarm.run(for: .seconds(1))
        #expect(bob.texts(from: alice) == ["meanwhile"])
    }

    /// A full queue on a path that died leaves nothing that is due at once for ever.
    @Test func aCutUnderLoadLosesNothing() throws {
        let swarm = VirtualSwarm(seed: 3)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        swarm.cutPairs = [[0, 1]]
        let load = String(repeating: "x", count: 20_000)
        for number in 0..<40 {
            _ = try swarm.send("\(number) \(load)", from: alice, to: bob)
            _ = try swarm.send("\(number) \(load)", from: bob, to: alice)
        }
        swarm.run(for: .seconds(10))
        swarm.cutPairs = []
        swarm.run(for: .seconds(10))
        let expected = (0..<40).map { "\($0) \(load)" }
        #expect(bob.texts(from: alice) == expected)
        #expect(alice.texts(from: bob) == expected)
    }

    @Test func aSlowDiskDelaysAndLosesNothing() throws {
        let swarm = VirtualSwarm(seed: 5) { $0.isDurable = true }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(3))
        for node in [alice, bob] { node.isDiskStuck = true }
        for number in 0..<50 { _ = try swarm.send("\(number)", from: alice, to: bob) }
        swarm.run(for: .seconds(1))
        alice.isDiskStuck = false
        swarm.act(alice) { _ in }
        swarm.run(for: .seconds(1))
        #expect(bob.texts(from: alice).count == 50)
        #expect(alice.delivered(to: bob).isEmpty, "Bob's disk does not have it yet")
        bob.isDiskStuck = false
        swarm.act(bob) { _ in }
        swarm.run(for: .seconds(1))
        #expect(alice.delivered(to: bob).count == 50)
        #expect(bob.texts(from: alice) == (0..<50).map { "\($0)" })
    }

    /// A member that vanished is not dialled for ever, nor is its inbox filled; when it returns, all goes on.
    @Test func aVanishedMemberIsLetBe() throws {
        let swarm = VirtualSwarm(seed: 6) { $0.isDurable = true }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(3))
        swarm.crash(bob)
        let load = String(repeating: "x", count: 20_000)
        for number in 0..<20 { _ = try swarm.send("\(number) \(load)", from: alice, to: bob) }
        swarm.run(for: .seconds(240))
        let before = alice.framesToRelay
        swarm.run(for: .seconds(300))
        #expect(alice.framesToRelay - before < 100, "presence, and nothing else")
        #expect(!alice.engine.connections.values.contains { $0.peer != nil })
        swarm.restart(bob)
        let took = swarm.run(within: .seconds(10)) {
            bob.texts(from: alice).count == 20 && alice.path(to: bob) == .direct
        }
        #expect(took != nil)
    }

    /// One whose network was away for long comes back in the same run.
    @Test func aMemberThatWasCutOffReturns() throws {
        let swarm = VirtualSwarm(seed: 7)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(3))
        swarm.cutPairs = [[0, 1]]
        swarm.killRelay()
        _ = try swarm.send("to bob", from: alice, to: bob)
        _ = try swarm.send("to alice", from: bob, to: alice)
        swarm.run(for: .seconds(400))
        #expect(alice.path(to: bob) == nil)
        swarm.startRelay()
        swarm.cutPairs = []
        let took = swarm.run(within: .seconds(60)) {
            alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
        }
        #expect(try #require(took) < .seconds(20))
        swarm.run(for: .seconds(1))
        #expect(bob.texts(from: alice) == ["to bob"])
        #expect(alice.texts(from: bob) == ["to alice"])
    }

    /// Whom strangers pushed out of a full table, and who is heard of again in the same run, is talked to as before.
    @Test func aForgottenMemberIsTakenUpAgain() throws {
        let swarm = VirtualSwarm(seed: 8) {
            $0.mostMembers = 1
            $0.paths = [.relay]
        }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(2))
        for number in 0..<20 { _ = try swarm.send("\(number)", from: bob, to: alice) }
        swarm.run(for: .seconds(2))
        swarm.act(bob) { $0.block(.relay, nil) }
        swarm.run(for: .seconds(21))
        #expect(bob.path(to: alice) == nil)
        let topic = Topic(name: "test")
        var random = Entropy.system
        let stranger = Identity(SEAPair.generate(using: &random))
        let record = try PresenceRecord(
            peer: stranger.peerID, sessionKey: SessionKeyPair().publicKey, timestamp: UInt64(swarm.wall),
            isLeaving: false, name: ""
        ).sealed(by: stranger, topic: topic)
        swarm.act(bob) { _ = $0.takePresence(record, plane: .gun, now: swarm.now) }
        #expect(bob.engine.members[alice.id] == nil)
        swarm.act(bob) { $0.members.removeAll() }
        swarm.run(for: .seconds(40))
        #expect(bob.path(to: alice) == .relay)
        _ = try swarm.send("again", from: bob, to: alice)
        swarm.run(for: .seconds(1))
        #expect(alice.texts(from: bob).last == "again")
        #expect(alice.engine.refusals[.replayed] == nil, "no counter was used twice under one key")
    }

    @Test func ofTwoWritesAtOnceTheLaterCounts() throws {
        let swarm = VirtualSwarm(seed: 9)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.act(bob) { $0.watch(soul: "room", now: swarm.now) }
        swarm.run(for: .seconds(1))
        swarm.act(alice) {
            #expect($0.put(soul: "room", key: "title", value: "z", now: swarm.now) == true)
            #expect($0.put(soul: "room", key: "title", value: "a", now: swarm.now) == true)
        }
        swarm.run(for: .seconds(1))
        #expect(bob.events.last?.event == .state(soul: "room", key: "title", value: "a"))
    }

    /// A clock that ran ahead is set right: what was written by it must not hold up what follows.
    @Test func aClockSetBackHoldsNothingUp() throws {
        let swarm = VirtualSwarm(seed: 10) { $0.paths = [.relay] }
        swarm.killRelay()
        let alice = try swarm.addNode(name: "alice")
        let hour = 3_600_000.0
        swarm.act(alice) { $0.setWallClock(swarm.wall + hour, now: swarm.now) }
        swarm.startRelay()
        let bob = try swarm.addNode(name: "bob")
        swarm.run(for: .seconds(60))
        #expect(bob.path(to: alice) == nil, "an hour away, she is not believed")
        swarm.act(alice) { $0.setWallClock(swarm.wall, now: swarm.now) }
        let met = swarm.run(within: .seconds(60)) { bob.path(to: alice) == .relay && alice.path(to: bob) == .relay }
        #expect(met != nil)
        _ = try swarm.send("hello", from: alice, to: bob)
        swarm.run(for: .seconds(2))
        #expect(bob.texts(from: alice) == ["hello"])
    }

    @Test func newAddressesReachTheConnectionsThereAre() throws {
        let swarm = VirtualSwarm(seed: 11)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct }
        let new = TransportAddress(.v4(0x0a00_00c8), port: 7000)
        swarm.act(alice) { $0.setHostAddresses([alice.address, new], now: swarm.now) }
        let connection = alice.engine.connections.values.first { $0.peer == bob.id }
        #expect(try #require(connection).peerConnection.localCandidates.contains { $0.address == new } == true)
    }

    /// A NAT, or a server, that shows another address each time must not fill up what is offered.
    @Test func aReflexiveAddressTakesThePlaceOfTheFormer() throws {
        let swarm = VirtualSwarm(seed: 14)
        let alice = try swarm.addNode(name: "alice")
        let server = TransportAddress(.v4(0xc000_0201), port: 3478)
        for number in UInt32(0)..<100 {
            let seen = TransportAddress(.v4(0xc633_6400 + number), port: 7000)
            swarm.act(alice) { $0.setReflexive(seen, server: server, now: swarm.now) }
            #expect(alice.engine.localCandidates.map(\.address) == [alice.address, seen])
        }
    }

    /// A soul's keys are never removed, so each day has its own; what is no longer followed takes no memory.
    @Test func membersTalkOverMidnight() throws {
        let midnight = 20_800 * 86_400_000.0
        let swarm = VirtualSwarm(seed: 15, wallAtStart: midnight - 8_000) { $0.paths = [.relay] }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(2))
        for number in 0..<120 {
            _ = try swarm.send("\(number)", from: alice, to: bob)
            _ = try swarm.send("\(number)", from: bob, to: alice)
            swarm.run(for: .milliseconds(100))
        }
        swarm.run(for: .seconds(2))
        #expect(bob.texts(from: alice) == (0..<120).map { "\($0)" })
        #expect(alice.texts(from: bob) == (0..<120).map { "\($0)" })
        swarm.run(for: .seconds(1200))
        #expect(alice.engine.soulKinds.values.count { $0 == .inbox } == 1)
        #expect(alice.engine.soulKinds.values.count { $0 == .presence } == 1)
    }
}
