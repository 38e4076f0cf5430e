import SwarmBase
import Testing

@testable import SwarmEngine

/// Random faults, by seed: whatever the network does, every message arrives once and in order.
@Suite struct FaultTests {
    @Test(arguments: UInt64(1)...16)
    func everyMessageOnceInOrder(seed: UInt64) throws {
        var random = Entropy.seed(seed)
        let swarm = VirtualSwarm(seed: seed) { $0.isDurable = true }
        swarm.loss = [0, 0.02, 0.1].randomElement(using: &random) ?? 0
        let count = Int.random(in: 2...4, using: &random)
        let nodes = try (0..<count).map { try swarm.addNode(name: "n\($0)") }
        var sent: [[[String]]] = Array(repeating: Array(repeating: [], count: count), count: count)
        var relayIsUp = true
        swarm.run(for: .seconds(2))
        for _ in 0..<40 {
            for from in 0..<count where nodes[from].isRunning {
                for to in 0..<count where to != from {
                    for _ in 0..<Int.random(in: 0...2, using: &random) {
                        let long = Int.random(in: 0..<30, using: &random) == 0
                        let text = "\(sent[from][to].count) " + String(repeating: "x", count: long ? 30_000 : 0)
                        sent[from][to].append(text)
                        _ = try swarm.send(text, from: nodes[from], to: nodes[to])
                    }
                }
            }
            let (a, b) = (Int.random(in: 0..<count, using: &random), Int.random(in: 0..<count, using: &random))
            switch Int.random(in: 0..<10, using: &random) {
            case 0, 1: if a != b { swarm.cutPairs.insert([a, b]) }
            case 2: swarm.cutPairs.removeAll()
            case 3 where relayIsUp:
                swarm.killRelay()
                relayIsUp = false
            case 4 where !relayIsUp:
                swarm.startRelay()
                relayIsUp = true
            case 5 where nodes[a].isRunning: swarm.crash(nodes[a])
            case 6, 7: if !nodes[a].isRunning { swarm.restart(nodes[a]) }
            default: break
            }
            swarm.run(for: .milliseconds(Int.random(in: 20...1500, using: &random)))
        }
        swarm.cutPairs = []
        swarm.loss = 0
        if !relayIsUp { swarm.startRelay() }
        for node in nodes where !node.isRunning { swarm.restart(node) }
        let healed = swarm.run(within: .seconds(60)) {
            (0..<count).allSatisfy { from in
                (0..<count).allSatisfy {
                    from == $0 || nodes[from].delivered(to: nodes[$0]).last.map(Int.init) ?? 0 == sent[from][$0].count
                }
            }
        }
        for from in 0..<count {
            for to in 0..<count where to != from {
                #expect(nodes[to].texts(from: nodes[from]) == sent[from][to], "seed \(seed): \(from) to \(to)")
            }
        }
        #expect(healed != nil, "seed \(seed): everything is acknowledged a minute after the last fault")
        let direct = swarm.run(within: .seconds(60)) {
            (0..<count).allSatisfy { from in
                (0..<count).allSatisfy { from == $0 || nodes[from].path(to: nodes[$0]) == .direct }
            }
        }
        #expect(direct != nil, "seed \(seed): every pair is direct again")
    }

    @Test func clocksAMinuteApartDoNotMatter() throws {
        for skew in [-60_000.0, 60_000] {
            let swarm = VirtualSwarm(seed: 1)
            let alice = try swarm.addNode(name: "alice", planes: [.gun])
            let bob = try swarm.addNode(name: "bob", planes: [.gun])
            swarm.act(bob) { $0.setWallClock(swarm.wall + skew, now: swarm.now) }
            let took = swarm.run(within: .seconds(90)) {
                alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
            }
            #expect(try #require(took) < .seconds(2), "skew \(skew) ms")
        }
    }

    /// Each run finds the records of all those before it at the relay, dated ahead of its clock, and nothing on its disk.
    @Test func clocksThatWereSetBackBetweenRunsDoNotMatter() throws {
        let swarm = VirtualSwarm(seed: 1)
        let alice = try swarm.addNode(name: "alice", planes: [.gun])
        let bob = try swarm.addNode(name: "bob", planes: [.gun])
        for skew in [0.0, -20_000, -40_000, -60_000, -80_000] {
            bob.store = [:]
            swarm.restart(bob, planes: [.gun], skew: skew)
            _ = try swarm.send("of \(skew)", from: alice, to: bob)
            _ = try swarm.send("of \(skew)", from: bob, to: alice)
            let took = swarm.run(within: .seconds(90)) {
                bob.texts(from: alice).last == "of \(skew)" && alice.texts(from: bob).last == "of \(skew)"
            }
            #expect(try #require(took) < .seconds(2), "skew \(skew) ms")
            // Whatever is still under way when the next run begins must not be taken for its own.
            swarm.run(for: .seconds(1))
        }
    }
}
