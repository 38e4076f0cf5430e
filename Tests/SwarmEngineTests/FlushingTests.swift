import SwarmBase
import Testing

@testable import SwarmEngine

/// What an owner hands in before it polls goes together, and a lone message at once.
@Suite struct FlushingTests {
    /// Two members that are directly connected, with nothing on its way.
    private func pair(seed: UInt64) throws -> (VirtualSwarm, VirtualSwarm.Node, VirtualSwarm.Node) {
        let swarm = VirtualSwarm(seed: seed)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        swarm.run(for: .seconds(2))
        return (swarm, alice, bob)
    }

    private func texts(_ count: Int) -> [String] {
        (0..<count).map { "\($0) \(String(repeating: "x", count: 90))" }
    }

    @Test func messagesOfOneTurnShareDatagrams() throws {
        let (swarm, alice, bob) = try pair(seed: 71)
        var sizes: [Int] = []
        swarm.vanishes = { datagram in
            sizes.append(datagram.count)
            return false
        }
        let texts = texts(60)
        swarm.act(alice) { engine in
            for text in texts { _ = try? engine.send(.text(text), to: bob.id, now: swarm.now) }
        }
        #expect((1...8).contains(sizes.count), "60 messages of some 130 bytes in datagrams of 1,200 or more: \(sizes)")
        #expect(swarm.run(within: .seconds(1)) { alice.delivered(to: bob).count == 60 } != nil)
        #expect(bob.texts(from: alice) == texts)
        #expect(alice.delivered(to: bob) == Array(1...60))
    }

    @Test func aLoneMessageWaitsForNothing() throws {
        let (swarm, alice, bob) = try pair(seed: 72)
        var count = 0
        swarm.vanishes = { _ in
            count += 1
            return false
        }
        let start = swarm.now
        _ = try swarm.send("alone", from: alice, to: bob)
        #expect(count == 1, "it has left")
        #expect(swarm.run(within: .seconds(1)) { !alice.delivered(to: bob).isEmpty } != nil)
        #expect(swarm.now - start == swarm.delay * 2, "there and back, and not a moment more")
    }

    @Test func whatComesTogetherIsAcknowledgedOnce() throws {
        let (swarm, alice, bob) = try pair(seed: 73)
        var datagrams: [[UInt8]] = []
        swarm.vanishes = { datagram in
            datagrams.append(datagram)
            return true
        }
        for text in texts(5) { _ = try swarm.send(text, from: alice, to: bob) }
        try #require(datagrams.count == 5)
        var answers = 0
        swarm.vanishes = { _ in
            answers += 1
            return false
        }
        swarm.act(bob) { engine in
            for datagram in datagrams { engine.handle(datagram: datagram, from: alice.address, now: swarm.now) }
        }
        #expect(answers == 1, "SACK and acknowledgement in one datagram")
        #expect(bob.texts(from: alice) == texts(5))
        #expect(swarm.run(within: .milliseconds(20)) { alice.delivered(to: bob).count == 5 } != nil)
    }

    @Test func whatWasSaidBeforeAGoodByeGoesBeforeIt() throws {
        let (swarm, alice, bob) = try pair(seed: 74)
        swarm.act(alice) { engine in
            for text in ["first", "last"] { _ = try? engine.send(.text(text), to: bob.id, now: swarm.now) }
            engine.leave(now: swarm.now)
        }
        swarm.run(for: .milliseconds(50))
        #expect(bob.texts(from: alice) == ["first", "last"])
        #expect(bob.path(to: alice) == nil)
    }
}
