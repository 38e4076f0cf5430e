import Gun
import JSON
import SwarmBase
import Testing

@testable import SwarmEngine

/// How long mail is good for, and how much of it may wait: both sides of each bound, and that what is beyond waits at its sender.
@Suite struct MailBoundTests {
    private typealias Node = VirtualSwarm.Node

    private static let day = Duration.seconds(86_400)
    /// When a week of mail begins, in milliseconds since 1970.
    private static let week = 2_970 * 7 * 86_400_000.0
    /// An item's packet: one fragment, for which there is not room twice.
    private static let packet: Int = {
        var bytes: [UInt8] = []
        let payload = [UInt8](repeating: 0, count: Outbound.fragmentSize)
        Frame.data(
            DataFrame(lane: .plain, stream: 1, sequence: 1, base: 1, message: 1, flags: [.first], payload: payload)
        ).write(to: &bytes)
        return bytes.count
    }()

    /// Texts of which each fills an item of its own.
    private static func texts(_ numbers: Range<Int>) -> [String] {
        numbers.map { number in
            let head = "\(number) "
            return head + String(repeating: "x", count: Outbound.fragmentSize - head.utf8.count)
        }
    }

    /// Alice and Bob have met; then Bob's process dies, and Alice has noticed.
    private func absent(
        seed: UInt64, largestBacklog: Int = MailConfiguration().largestBacklog
    ) throws -> (VirtualSwarm, alice: Node, bob: Node) {
        let swarm = VirtualSwarm(seed: seed, wallAtStart: Self.week) {
            $0.isDurable = true
            $0.paths = [.relay]
            $0.mail.largestBacklog = largestBacklog
        }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(10))
        #expect(alice.path(to: bob) == .relay)
        goAway(bob, alice, swarm)
        return (swarm, alice, bob)
    }

    private func goAway(_ bob: Node, _ alice: Node, _ swarm: VirtualSwarm) {
        swarm.crash(bob)
        #expect(swarm.run(within: .seconds(40)) { alice.path(to: bob) == nil } != nil)
    }

    private func send(_ texts: [String], from alice: Node, to bob: Node, _ swarm: VirtualSwarm) throws {
        for text in texts { _ = try swarm.send(text, from: alice, to: bob) }
    }

    /// What was left at the beginning of a week is there until the end of the next one, and so are the keys that open it. After that none of
    /// it opens, and it comes when the two meet.
    @Test(arguments: [true, false]) func mailIsGoodForFourteenDays(isInTime: Bool) throws {
        let (swarm, alice, bob) = try absent(seed: 1)
        // More than there are keys for one item each: so some are sealed to the last resort.
        let texts = Self.texts(0..<40)
        try send(texts, from: alice, to: bob, swarm)
        #expect(swarm.run(within: .seconds(20)) { alice.stored(for: bob).count == 40 } != nil)
        let former = try #require(Soul(swarm.topic.mailSoul(of: bob.id, week: alice.engine.week(swarm.now))))
        let item = try #require(alice.engine.gun.held(former)?.records.first)
        swarm.crash(alice)
        func lastResorts() -> Int { bob.store.count { $0.key.hasPrefix("prekey/") && $0.value.first == 1 } }
        #expect(lastResorts() == 1)
        swarm.run(for: Self.day * 14 - .seconds(isInTime ? 600 : -600))
        swarm.restart(bob)
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == (isInTime ? texts : []))
        #expect(lastResorts() == (isInTime ? 1 : 0))
        swarm.restart(alice)
        #expect(swarm.run(within: .seconds(30)) { alice.delivered(to: bob).count == 40 } != nil)
        swarm.run(for: .seconds(20))
        #expect(bob.texts(from: alice) == texts, "each once, in order")
        #expect(bob.engine.refusals[.stale] == nil)
        guard !isInTime else { return }
        // Who puts it where Bob looks now gains nothing, though it is sealed to a key that he still has.
        let soul = try #require(Soul(swarm.topic.mailSoul(of: bob.id, week: bob.engine.week(swarm.now))))
        let value = try #require(item.value.text?.string)
        swarm.act(alice) {
            _ = $0.gun.leave(
                value, for: bob.id, key: "zzz/00000000", of: soul, state: swarm.wall - 1000, now: swarm.now)
        }
        swarm.run(for: .seconds(2))
        #expect(bob.engine.refusals[.stale] == 1)
        #expect(bob.engine.gun.entry(soul, Key("zzz/00000000"))?.value == .null)
        #expect(bob.texts(from: alice) == texts)
    }

    @Test func theBoundIsAsDocumented() { #expect(MailConfiguration().largestBacklog == 16 * 1024 * 1024) }

    /// What does not fit waits at its sender, whose next run knows how much it has left, and comes after the rest.
    @Test(arguments: [0, -1]) func whatIsBeyondTheBoundWaits(offset: Int) throws {
        let fits = offset < 0 ? 2 : 3
        let (swarm, alice, bob) = try absent(seed: 2, largestBacklog: 3 * Self.packet + offset)
        let texts = Self.texts(0..<12)
        try send(Array(texts[0..<5]), from: alice, to: bob, swarm)
        swarm.run(for: .seconds(10))
        #expect(alice.stored(for: bob) == (1...UInt64(fits)).map { $0 })
        swarm.restart(alice)
        try send([texts[5]], from: alice, to: bob, swarm)
        swarm.run(for: .seconds(10))
        #expect(alice.stored(for: bob).count == fits, "the next run leaves no more")
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(10)) { alice.delivered(to: bob).count == 6 } != nil)
        #expect(bob.texts(from: alice) == Array(texts[0..<6]))
        // The next time there is as much room again.
        swarm.run(for: .seconds(12))
        goAway(bob, alice, swarm)
        try send(Array(texts[6..<12]), from: alice, to: bob, swarm)
        swarm.run(for: .seconds(10))
        #expect(alice.stored(for: bob).count == 2 * fits)
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(10)) { bob.texts(from: alice).count == 12 } != nil)
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == texts, "each once, in order")
    }

    /// The two are never there at the same time: what Bob says that he has makes room for the rest.
    @Test func whatIsAcknowledgedMakesRoom() throws {
        let (swarm, alice, bob) = try absent(seed: 3, largestBacklog: 3 * Self.packet + 64)
        let texts = Self.texts(0..<5)
        try send(texts, from: alice, to: bob, swarm)
        swarm.run(for: .seconds(10))
        #expect(alice.stored(for: bob) == [1, 2, 3])
        for (held, stored) in [(3, 5), (5, 5)] {
            swarm.crash(alice)
            swarm.restart(bob)
            #expect(swarm.run(within: .seconds(10)) { bob.texts(from: alice).count == held } != nil)
            swarm.run(for: .seconds(5))
            swarm.crash(bob)
            swarm.run(for: .seconds(5))
            swarm.restart(alice)
            swarm.run(for: .seconds(10))
            #expect(alice.delivered(to: bob).count == held)
            #expect(alice.stored(for: bob).count == stored)
        }
        #expect(bob.texts(from: alice) == texts, "each once, in order")
    }
}
