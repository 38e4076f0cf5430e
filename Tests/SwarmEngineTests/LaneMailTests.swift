import SwarmBase
import Testing

@testable import SwarmEngine

/// Mail of messages of every priority, in any order, and with deadlines: whole engines, a relay and their disks.
@Suite struct LaneMailTests {
    private static let everyKind = MessagePriority.allCases.flatMap { priority in
        [true, false].map { MessageOptions(priority: priority, isOrdered: $0) }
    }

    @Test func mailOfEveryLaneArrivesThoughItsSenderIsGone() throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: 1)
        var texts: [[String]] = []
        for (kind, options) in Self.everyKind.enumerated() {
            texts.append((0..<5).map { "\(kind) \($0) " + String(repeating: "x", count: $0 == 2 ? 30_000 : 3) })
            for text in texts[kind] { _ = try swarm.send(text, from: alice, to: bob, options) }
        }
        #expect(swarm.run(within: .seconds(10)) { alice.stored(for: bob).count == 40 } != nil)
        #expect(alice.stored(for: bob).sorted() == Array(1...40))
        swarm.crash(alice)
        swarm.run(for: .seconds(3600))
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice).count == 40 } != nil)
        for (kind, expected) in texts.enumerated() {
            #expect(bob.texts(from: alice).filter { $0.hasPrefix("\(kind) ") } == expected)
        }
        #expect(bob.texts(from: alice).first?.hasPrefix("6 ") == true, "what is most urgent was left first")
        // The sender learns it even when the two are never there at the same time.
        swarm.run(for: .seconds(5))
        swarm.crash(bob)
        swarm.run(for: .seconds(60))
        swarm.restart(alice)
        #expect(swarm.run(within: .seconds(5)) { alice.delivered(to: bob).count == 40 } != nil)
        swarm.restart(bob)
        swarm.run(for: .seconds(30))
        #expect(bob.texts(from: alice).count == 40, "nothing twice")
        #expect(alice.store.keys.allSatisfy { !$0.hasPrefix("msg/") })
    }

    /// What is over when its reader returns is not handed on, and its sender is told so; the rest is.
    @Test(arguments: [true, false]) func deadlinesAreKeptByTheReader(isOrdered: Bool) throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: 2)
        func send(_ text: String, for limit: Duration?, _ priority: MessagePriority = .normal) throws -> UInt64 {
            let options = MessageOptions(
                priority: priority, isOrdered: isOrdered, deadline: limit.map { swarm.now + $0 })
            return try swarm.send(text, from: alice, to: bob, options)
        }
        let long = String(repeating: "long", count: 10_000)
        _ = try send("one", for: nil)
        let over = [
            try send("over", for: .seconds(60)), try send(long, for: .seconds(60)),
            try send("urgent, over", for: .seconds(60), .urgent),
        ]
        _ = try send("in time", for: .seconds(7200))
        _ = try send("last", for: nil)
        #expect(swarm.run(within: .seconds(20)) { alice.stored(for: bob).count == 6 } != nil)
        swarm.crash(alice)
        swarm.run(for: .seconds(3600))
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice).count == 3 } != nil)
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == ["one", "in time", "last"])
        swarm.crash(bob)
        swarm.restart(alice)
        #expect(swarm.run(within: .seconds(5)) { alice.expired(to: bob).count == 3 } != nil)
        #expect(alice.expired(to: bob).sorted() == over)
        #expect(alice.delivered(to: bob).count == 3)
        // That Alice knows was left for Bob, who need not repeat it.
        swarm.run(for: .seconds(5))
        swarm.crash(alice)
        swarm.restart(bob)
        swarm.run(for: .seconds(5))
        let outcomes = bob.engine.members[alice.id]?.session.inbounds.compactMap { $0.acknowledgement(isPaused: false) }
        #expect(outcomes?.allSatisfy(\.outcomes.isEmpty) == true)
        swarm.restart(alice)
        swarm.run(for: .seconds(30))
        #expect(bob.texts(from: alice) == ["one", "in time", "last"])
        #expect(alice.store.keys.allSatisfy { !$0.hasPrefix("msg/") })
    }

    /// What cannot be left in time has expired without anybody's help.
    @Test func whatWasNotLeftExpiresAtItsSender() throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: 3)
        swarm.killRelay()
        swarm.run(for: .seconds(1))
        let number = try swarm.send(
            "late", from: alice, to: bob, MessageOptions(priority: .high, deadline: swarm.now + .seconds(5)))
        #expect(swarm.run(within: .seconds(6)) { alice.expired(to: bob) == [number] } != nil)
        swarm.startRelay()
        _ = try swarm.send("after", from: alice, to: bob, MessageOptions(priority: .high))
        #expect(swarm.run(within: .seconds(60)) { alice.stored(for: bob) == [2] } != nil)
        swarm.crash(alice)
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice) == ["after"] } != nil)
    }

    /// The sender is told that a message has expired, and dies before its disk knows: it is not told later that it was delivered.
    @Test(arguments: [true, false]) func whatHasExpiredStaysSo(isOrdered: Bool) throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: 7)
        let number = try swarm.send(
            "late", from: alice, to: bob,
            MessageOptions(priority: .high, isOrdered: isOrdered, deadline: swarm.now + .seconds(10)))
        swarm.run(for: .seconds(20))
        #expect(alice.expired(to: bob).isEmpty)
        alice.isDiskStuck = true
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(20)) { alice.expired(to: bob) == [number] } != nil)
        swarm.run(for: .seconds(10))
        swarm.crash(alice)
        alice.isDiskStuck = false
        swarm.restart(alice)
        swarm.run(for: .seconds(20))
        #expect(alice.expired(to: bob) == [number, number])
        #expect(alice.delivered(to: bob).isEmpty && bob.texts(from: alice).isEmpty)
        #expect(alice.store.keys.allSatisfy { !$0.hasPrefix("msg/") })
    }

    /// One who knows lanes, but not as mail, is left what it knows; a message that may yet expire is not among that.
    @Test func whoTakesLaneZeroOnlyIsLeftThat() throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: 4)
        alice.engine.members[bob.id]?.mail.abilities = MailAbilities(lanes: true, laneMail: false)
        _ = try swarm.send("urgent", from: alice, to: bob, MessageOptions(priority: .urgent))
        _ = try swarm.send("one", from: alice, to: bob)
        let late = try swarm.send(
            "two", from: alice, to: bob, MessageOptions(deadline: swarm.now + .seconds(30)))
        _ = try swarm.send("three", from: alice, to: bob)
        swarm.run(for: .seconds(10))
        #expect(alice.stored(for: bob) == [2])
        #expect(swarm.run(within: .seconds(30)) { alice.stored(for: bob) == [2, 4] } != nil)
        #expect(alice.expired(to: bob).isEmpty, "it has left by the relay, and may have arrived")
        swarm.crash(alice)
        swarm.restart(bob)
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == ["one", "three"])
        swarm.restart(alice)
        #expect(swarm.run(within: .seconds(20)) { alice.delivered(to: bob).count == 3 } != nil)
        #expect(bob.texts(from: alice) == ["one", "three", "urgent"])
        #expect(alice.expired(to: bob) == [late])
        #expect(Set(alice.delivered(to: bob)) == [1, 2, 4])
    }

    /// What a member takes is known to a sender that has not met it in its present run.
    @Test func aSenderThatRestartsKnowsWhatIsTaken() throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: 5)
        _ = try swarm.send("low", from: alice, to: bob, MessageOptions(priority: .low))
        swarm.run(for: .milliseconds(100))
        swarm.restart(alice)
        #expect(alice.engine.members[bob.id]?.mail.abilities == MailAbilities(lanes: true, laneMail: true))
        _ = try swarm.send("urgent", from: alice, to: bob, MessageOptions(priority: .urgent, isOrdered: false))
        #expect(swarm.run(within: .seconds(20)) { alice.stored(for: bob).count == 2 } != nil)
        swarm.crash(alice)
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice) == ["urgent", "low"] } != nil)
    }

    /// More expire than a reader keeps in mind: it goes on when the sender has confirmed them, though the two never meet.
    @Test func manyThatExpireDoNotHoldUpTheRest() throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: 6)
        for number in 0..<1500 {
            _ = try swarm.send(
                "\(number)", from: alice, to: bob, MessageOptions(deadline: swarm.now + .seconds(60)))
        }
        _ = try swarm.send("last", from: alice, to: bob)
        #expect(swarm.run(within: .seconds(30)) { alice.stored(for: bob).count == 1501 } != nil)
        for _ in 0..<6 {
            swarm.crash(alice)
            swarm.run(for: .seconds(120))
            swarm.restart(bob)
            swarm.run(for: .seconds(10))
            swarm.crash(bob)
            swarm.restart(alice)
            swarm.run(for: .seconds(10))
        }
        #expect(bob.texts(from: alice) == ["last"])
        #expect(alice.expired(to: bob).count == 1500)
        #expect(alice.delivered(to: bob) == [1501])
    }

    /// Both may die at any moment, and their disks may be behind: each message arrives once, in the order of its lane, or has expired.
    @Test(arguments: 40..<60) func deathsAtAnyMoment(seed: UInt64) throws {
        let (swarm, alice, bob) = try VirtualSwarm.whereBobIsAway(seed: seed)
        var random = Entropy.seed(seed)
        var sent: [UInt64: (text: String, options: MessageOptions)] = [:]
        try swarm.run(throughDeathsOf: alice, and: bob, random: &random) { random in
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let isLong = Int.random(in: 0..<8, using: &random) == 0
                let text = "\(sent.count) " + String(repeating: "x", count: isLong ? 40_000 : 3)
                let options = MessageOptions(
                    priority: MessagePriority.allCases.randomElement(using: &random) ?? .normal,
                    isOrdered: Bool.random(using: &random),
                    deadline: Int.random(in: 0..<3, using: &random) == 0
                        ? swarm.now + .seconds(Int.random(in: 1...60, using: &random)) : nil)
                sent[try swarm.send(text, from: alice, to: bob, options)] = (text, options)
            }
        }
        let took = swarm.run(within: .seconds(60)) {
            Set(alice.delivered(to: bob) + alice.expired(to: bob)).count == sent.count
        }
        #expect(took != nil, "seed \(seed)")
        swarm.run(for: .seconds(20))
        let came = bob.texts(from: alice)
        #expect(Set(came).count == came.count, "seed \(seed): one came twice")
        let (delivered, expired) = (Set(alice.delivered(to: bob)), Set(alice.expired(to: bob)))
        #expect(delivered.isDisjoint(with: expired), "seed \(seed)")
        for (number, message) in sent {
            #expect(came.contains(message.text) == delivered.contains(number), "seed \(seed): message \(number)")
            #expect(delivered.contains(number) || message.options.deadline != nil, "seed \(seed): message \(number)")
        }
        let numbers = Dictionary(uniqueKeysWithValues: sent.map { ($0.value.text, $0.key) })
        for priority in MessagePriority.allCases {
            let inOrder = came.compactMap { numbers[$0] }.filter {
                sent[$0].map { $0.options.priority == priority && $0.options.isOrdered } ?? false
            }
            #expect(inOrder == inOrder.sorted(), "seed \(seed): out of order")
        }
    }
}
