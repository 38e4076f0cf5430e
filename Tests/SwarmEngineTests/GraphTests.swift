import Gun
import JSON
import SwarmBase
import Testing

@testable import SwarmEngine

/// The shared graph between members, over their data channels and through relays.
@Suite struct GraphTests {
    private func values(_ node: VirtualSwarm.Node, _ soul: Soul) -> [String: GunValue] {
        var values: [String: GunValue] = [:]
        for record in node.engine.gun.held(soul)?.records ?? [] { values[record.key.description] = record.value }
        return values
    }

    /// How many records are kept as such that no relay has.
    private func pending(_ node: VirtualSwarm.Node) -> Int {
        node.store.count { $0.key.hasPrefix("graph/") && $0.value.first == 1 }
    }

    private func meet(_ swarm: VirtualSwarm, _ nodes: [VirtualSwarm.Node]) {
        let time = swarm.run(within: .seconds(30)) {
            nodes.allSatisfy { a in nodes.allSatisfy { b in a.id == b.id || a.path(to: b) == .direct } }
        }
        #expect(time != nil)
        // The graph's channel follows the session's.
        swarm.run(for: .seconds(1))
    }

    @Test func withoutAnyRelayItGoesToThoseWhoFollow() throws {
        let swarm = VirtualSwarm(seed: 21)
        let (alice, bob, carol) = (
            try swarm.addNode(name: "alice", planes: [.tracker]), try swarm.addNode(name: "bob", planes: [.tracker]),
            try swarm.addNode(name: "carol", planes: [.tracker])
        )
        meet(swarm, [alice, bob, carol])
        swarm.act(alice) { _ = $0.put(soul: "room", key: "before", value: 1, now: swarm.now) }
        swarm.act(bob) { $0.watch(soul: "room", now: swarm.now) }
        swarm.run(for: .milliseconds(500))
        #expect(bob.events.contains { $0.event == .state(soul: "room", key: "before", value: 1) })
        swarm.act(alice) { _ = $0.put(soul: "room", key: "after", value: "x", now: swarm.now) }
        swarm.run(for: .milliseconds(500))
        #expect(bob.events.contains { $0.event == .state(soul: "room", key: "after", value: "x") })
        #expect(values(carol, "room").isEmpty, "who does not follow is told nothing")
        #expect(carol.engine.gun.client.counters.unwantedRecords == 0)
        // A member's own node takes its signature only, and shows what was signed.
        let own = "~\(alice.id)/profile"
        swarm.act(bob) {
            #expect($0.put(soul: own, key: "name", value: "mallory", now: swarm.now) == false)
            $0.watch(soul: own, now: swarm.now)
        }
        swarm.act(alice) { #expect($0.put(soul: own, key: "name", value: "Alice", now: swarm.now) == true) }
        swarm.run(for: .milliseconds(500))
        #expect(bob.events.contains { $0.event == .state(soul: own, key: "name", value: "Alice") })
    }

    @Test func oneWriteTakesEachLinkOnce() throws {
        let swarm = VirtualSwarm(seed: 22)
        let nodes = try (0..<5).map { try swarm.addNode(name: "\($0)", planes: [.tracker]) }
        for node in nodes { swarm.act(node) { $0.watch(soul: "room", now: swarm.now) } }
        meet(swarm, nodes)
        let before = nodes.map { $0.engine.gun.client.counters.pushedRecords }.reduce(0, +)
        for number in 0..<20 {
            swarm.act(nodes[number % 5]) { _ = $0.put(soul: "room", key: "k\(number)", value: 1, now: swarm.now) }
            swarm.run(for: .milliseconds(100))
        }
        swarm.run(for: .seconds(1))
        for node in nodes { #expect(values(node, "room").count == 20) }
        let pushed = nodes.map { $0.engine.gun.client.counters.pushedRecords }.reduce(0, +) - before
        #expect(pushed == 20 * 4, "nobody passes on what the writer has given to all")
    }

    @Test func twoSidesThatWroteConverge() throws {
        let swarm = VirtualSwarm(seed: 23)
        let (alice, bob) = (
            try swarm.addNode(name: "alice", planes: [.tracker]), try swarm.addNode(name: "bob", planes: [.tracker])
        )
        for node in [alice, bob] { swarm.act(node) { $0.watch(soul: "room", now: swarm.now) } }
        meet(swarm, [alice, bob])
        swarm.cutPairs = [[alice.index, bob.index]]
        for number in 0..<50 {
            swarm.act(alice) { _ = $0.put(soul: "room", key: "a\(number)", value: "alice", now: swarm.now) }
            swarm.act(bob) { _ = $0.put(soul: "room", key: "b\(number)", value: "bob", now: swarm.now) }
            swarm.act(number.isMultiple(of: 2) ? alice : bob) {
                _ = $0.put(soul: "room", key: "both", value: .integer(number), now: swarm.now)
            }
            swarm.run(for: .milliseconds(200))
        }
        #expect(values(alice, "room") != values(bob, "room"))
        swarm.cutPairs = []
        let time = swarm.run(within: .seconds(60)) {
            values(alice, "room") == values(bob, "room") && values(alice, "room").count == 101
        }
        #expect(time != nil)
        #expect(values(alice, "room")["both"] == 49)
    }

    @Test func whatWasWrittenAloneSurvivesAndArrivesLater() throws {
        let swarm = VirtualSwarm(seed: 24) { $0.isDurable = true }
        swarm.killRelay()
        let alice = try swarm.addNode(name: "alice", planes: [.gun])
        let bob = try swarm.addNode(name: "bob", planes: [.gun])
        swarm.act(bob) { $0.watch(soul: "room", now: swarm.now) }
        swarm.run(for: .seconds(2))
        for number in 0..<30 {
            swarm.act(alice) { _ = $0.put(soul: "room", key: "k\(number)", value: "offline", now: swarm.now) }
        }
        swarm.run(for: .seconds(1))
        swarm.restart(alice, planes: [.gun])
        swarm.run(for: .seconds(1))
        #expect(values(alice, "room").count == 30)
        #expect(pending(alice) == 30)
        swarm.startRelay()
        let time = swarm.run(within: .seconds(2)) { values(bob, "room").count == 30 }
        #expect(time != nil, "within two seconds of the relay's return")
        swarm.run(for: .seconds(5))
        #expect(pending(alice) == 0)
        // What the relay has taken is not sent again by a later run.
        swarm.restart(alice, planes: [.gun])
        swarm.run(for: .seconds(1))
        #expect(values(alice, "room").count == 30)
    }

    /// A relay that lost its data, and one whose writer is not connected to it, are given what others hold.
    @Test func aRelayIsGivenWhatItLacks() throws {
        let swarm = VirtualSwarm(seed: 25)
        let alice = try swarm.addNode(name: "alice", planes: [.tracker])
        let bob = try swarm.addNode(name: "bob")
        for node in [alice, bob] { swarm.act(node) { $0.watch(soul: "room", now: swarm.now) } }
        meet(swarm, [alice, bob])
        swarm.act(alice) { _ = $0.put(soul: "room", key: "k", value: "by bob", now: swarm.now) }
        swarm.run(for: .seconds(2))
        let carol = try swarm.addNode(name: "carol", planes: [.gun], paths: [.relay])
        swarm.act(carol) { $0.watch(soul: "room", now: swarm.now) }
        swarm.run(for: .seconds(2))
        #expect(values(carol, "room")["k"] == "by bob")
        swarm.killRelay()
        swarm.run(for: .seconds(1))
        swarm.startRelay()
        let dave = try swarm.addNode(name: "dave", planes: [.gun], paths: [.relay])
        swarm.act(dave) { $0.watch(soul: "room", now: swarm.now) }
        let time = swarm.run(within: .seconds(5)) { values(dave, "room")["k"] == "by bob" }
        #expect(time != nil)
    }

    @Test func aLaterWriteWinsWhateverTheClocks() throws {
        let swarm = VirtualSwarm(seed: 26)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        for node in [alice, bob] { swarm.act(node) { $0.watch(soul: "room", now: swarm.now) } }
        meet(swarm, [alice, bob])
        swarm.act(bob) { $0.setWallClock(swarm.wall - 1_500, now: swarm.now) }
        swarm.act(alice) { _ = $0.put(soul: "room", key: "k", value: "first", now: swarm.now) }
        swarm.run(for: .seconds(3))
        #expect(values(bob, "room")["k"] == "first")
        swarm.act(bob) { _ = $0.put(soul: "room", key: "k", value: "second", now: swarm.now) }
        swarm.run(for: .seconds(1))
        #expect(values(alice, "room")["k"] == "second")
    }
}
