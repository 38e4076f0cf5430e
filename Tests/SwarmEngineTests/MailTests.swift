import Crypto
import Gun
import JSON
import Magnet
import SEA
import SwarmBase
import Testing

@testable import SwarmEngine

extension VirtualSwarm {
    /// A swarm of members that keep their state.
    static func keeping(
        seed: UInt64, paths: Set<PathKind> = [.relay], lifetime: Duration = MailConfiguration().lifetime
    ) -> VirtualSwarm {
        VirtualSwarm(seed: seed) {
            $0.isDurable = true
            $0.paths = paths
            $0.mail.lifetime = lifetime
        }
    }

    /// Alice and Bob have met; then Bob's process dies, and Alice has noticed.
    static func whereBobIsAway(seed: UInt64) throws -> (VirtualSwarm, alice: Node, bob: Node) {
        let swarm = keeping(seed: seed)
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(10))
        #expect(alice.path(to: bob) == .relay)
        swarm.crash(bob)
        #expect(swarm.run(within: .seconds(40)) { alice.path(to: bob) == nil } != nil)
        return (swarm, alice, bob)
    }

    /// Alice says something now and then; both die at any moment, and come back. In the end both are there.
    func run(
        throughDeathsOf alice: Node, and bob: Node, random: inout Entropy, say: (inout Entropy) throws -> Void
    ) rethrows {
        for _ in 0..<12 {
            if !alice.isRunning { restart(alice) }
            try say(&random)
            run(for: .milliseconds(Int.random(in: 0...6000, using: &random)))
            if Bool.random(using: &random) { crash(alice) }
            if Bool.random(using: &random) {
                if !bob.isRunning { restart(bob) }
                run(for: .milliseconds(Int.random(in: 0...400, using: &random)))
                crash(bob)
            }
            run(for: .seconds(Int.random(in: 0...30, using: &random)))
        }
        if !alice.isRunning { restart(alice) }
        if !bob.isRunning { restart(bob) }
    }
}

/// Mail for members that are away: whole engines, a relay and their disks.
@Suite struct MailTests {
    private func swarm(
        seed: UInt64, paths: Set<PathKind> = [.relay], lifetime: Duration = MailConfiguration().lifetime
    ) -> VirtualSwarm {
        .keeping(seed: seed, paths: paths, lifetime: lifetime)
    }

    private func absent(seed: UInt64) throws -> (VirtualSwarm, alice: VirtualSwarm.Node, bob: VirtualSwarm.Node) {
        try VirtualSwarm.whereBobIsAway(seed: seed)
    }

    @Test func mailArrivesThoughItsSenderIsGone() throws {
        let (swarm, alice, bob) = try absent(seed: 1)
        for number in 0..<20 { _ = try swarm.send("\(number)", from: alice, to: bob) }
        let took = swarm.run(within: .seconds(10)) { alice.stored(for: bob).count == 20 }
        #expect(took != nil)
        #expect(alice.stored(for: bob) == Array(1...20))
        swarm.crash(alice)
        swarm.run(for: .seconds(3600))
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(3)) { bob.texts(from: alice).count == 20 } != nil)
        #expect(bob.texts(from: alice) == (0..<20).map(String.init))
        // The sender learns it even when the two are never there at the same time.
        swarm.run(for: .seconds(5))
        swarm.crash(bob)
        swarm.run(for: .seconds(60))
        swarm.restart(alice)
        #expect(swarm.run(within: .seconds(5)) { alice.delivered(to: bob).count == 20 } != nil)
        swarm.restart(bob)
        swarm.run(for: .seconds(30))
        #expect(bob.texts(from: alice) == (0..<20).map(String.init), "nothing twice")
    }

    @Test func whatIsFetchedIsRemoved() throws {
        let (swarm, alice, bob) = try absent(seed: 2)
        _ = try swarm.send("a secret", from: alice, to: bob)
        #expect(swarm.run(within: .seconds(10)) { alice.stored(for: bob).count == 1 } != nil)
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice) == ["a secret"] } != nil)
        swarm.run(for: .seconds(10))
        for node in [alice, bob] {
            let soul = try #require(Soul(swarm.topic.mailSoul(of: bob.id, week: node.engine.week(swarm.now))))
            let records = node.engine.gun.held(soul)?.records ?? []
            #expect(records.count == 1)
            #expect(records.allSatisfy { $0.value == .null })
        }
    }

    /// Whoever records the traffic, and later takes all that Bob has on disk, opens nothing that Bob has read.
    @Test func fetchedMailDoesNotOpenAgain() throws {
        let (swarm, alice, bob) = try absent(seed: 3)
        let held = try #require(alice.engine.members[bob.id]?.mail.held.oneTime.count)
        #expect(held == 32)
        _ = try swarm.send("a secret", from: alice, to: bob)
        #expect(swarm.run(within: .seconds(10)) { alice.stored(for: bob).count == 1 } != nil)
        #expect(alice.engine.members[bob.id]?.mail.held.oneTime.count == 31)
        let soul = try #require(Soul(swarm.topic.mailSoul(of: bob.id, week: alice.engine.week(swarm.now))))
        let record = try #require(alice.engine.gun.held(soul)?.records.first)
        let item = try #require(record.value.text.flatMap { [UInt8](base64URL: $0.string) })
        let id = try #require(MailItem.prekey(of: item))
        var before = OwnPrekeys(configuration: MailConfiguration())
        before.restore(bob.store.map { ($0.key, $0.value) })
        let opened = try MailItem(opening: item, with: try #require(before.pair(id)), topic: swarm.topic)
        #expect(opened.sender == alice.id)
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice) == ["a secret"] } != nil)
        var after = OwnPrekeys(configuration: MailConfiguration())
        after.restore(bob.store.map { ($0.key, $0.value) })
        #expect(after.pair(id) == nil)
        #expect(after.count >= 32)
    }

    /// A last resort is destroyed when its time is over, though nobody asks for another.
    @Test func lastResortsGoWithTime() throws {
        let swarm = swarm(seed: 6, lifetime: .seconds(300))
        let bob = try swarm.addNode(name: "bob")
        let alice = try swarm.addNode(name: "alice")
        swarm.run(for: .seconds(10))
        func lastResorts() -> Int { bob.store.count { $0.key.hasPrefix("prekey/") && $0.value.first == 1 } }
        #expect(lastResorts() == 1)
        swarm.crash(alice)
        swarm.run(for: .seconds(250))
        #expect(lastResorts() == 1)
        #expect(swarm.run(within: .seconds(120)) { lastResorts() == 0 } != nil)
    }

    @Test func largeMessagesTakeManyItems() throws {
        let (swarm, alice, bob) = try absent(seed: 4)
        let text = String(repeating: "0123456789", count: 60_000)
        _ = try swarm.send(text, from: alice, to: bob)
        _ = try swarm.send("end", from: alice, to: bob)
        #expect(swarm.run(within: .seconds(20)) { alice.stored(for: bob).count == 2 } != nil)
        swarm.crash(alice)
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice).count == 2 } != nil)
        #expect(bob.texts(from: alice) == [text, "end"])
    }

    /// Both may die at any moment, and their disks may be behind: each message arrives once, in order.
    @Test(arguments: 20..<30) func deathsAtAnyMoment(seed: UInt64) throws {
        let (swarm, alice, bob) = try absent(seed: seed)
        var random = Entropy.seed(seed)
        var sent = 0
        try swarm.run(throughDeathsOf: alice, and: bob, random: &random) { random in
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                _ = try swarm.send("\(sent)", from: alice, to: bob)
                sent += 1
            }
        }
        let took = swarm.run(within: .seconds(40)) { bob.texts(from: alice).count >= sent }
        #expect(took != nil, "seed \(seed): \(bob.texts(from: alice).count) of \(sent)")
        swarm.run(for: .seconds(20))
        #expect(bob.texts(from: alice) == (0..<sent).map(String.init), "seed \(seed)")
        #expect(Set(alice.delivered(to: bob)).count == sent, "seed \(seed)")
    }

    /// With no relay at all a third member keeps the mail.
    @Test func aThirdMemberKeepsMail() throws {
        let swarm = swarm(seed: 5, paths: Set(PathKind.allCases))
        let planes: Set<Plane> = [.tracker]
        let (alice, bob) = (
            try swarm.addNode(name: "alice", planes: planes), try swarm.addNode(name: "bob", planes: planes)
        )
        let carol = try swarm.addNode(name: "carol", planes: planes)
        swarm.run(for: .seconds(40))
        #expect(alice.path(to: bob) == .direct)
        #expect(carol.path(to: bob) == .direct)
        swarm.crash(bob)
        #expect(swarm.run(within: .seconds(60)) { alice.path(to: bob) == nil } != nil)
        for number in 0..<5 { _ = try swarm.send("\(number)", from: alice, to: bob) }
        swarm.run(for: .seconds(10))
        swarm.crash(alice)
        swarm.restart(bob, planes: planes)
        #expect(swarm.run(within: .seconds(60)) { bob.texts(from: alice).count == 5 } != nil)
        #expect(bob.texts(from: alice) == (0..<5).map(String.init))
        #expect(alice.stored(for: bob).isEmpty, "only a relay says that it has something")
    }

    /// Who keeps nothing can take no mail: it would not know what it has read.
    @Test func nothingIsLeftForThoseWhoKeepNothing() throws {
        let swarm = VirtualSwarm(seed: 6) { $0.paths = [.relay] }
        let (alice, bob) = (try swarm.addNode(name: "alice"), try swarm.addNode(name: "bob"))
        swarm.run(for: .seconds(10))
        swarm.crash(bob)
        #expect(swarm.run(within: .seconds(40)) { alice.path(to: bob) == nil } != nil)
        _ = try swarm.send("hello", from: alice, to: bob)
        swarm.run(for: .seconds(30))
        #expect(alice.stored(for: bob).isEmpty)
        #expect(alice.engine.members[bob.id]?.mail.held.isEmpty == true)
    }

    /// A relay, or anyone who knows the topic, may write what it likes where mail is looked for.
    @Test func whatIsNoMailIsRefusedAndRemoved() throws {
        let (swarm, alice, bob) = try absent(seed: 7)
        _ = try swarm.send("one", from: alice, to: bob)
        #expect(swarm.run(within: .seconds(10)) { alice.stored(for: bob).count == 1 } != nil)
        let week = alice.engine.week(swarm.now)
        let soul = try #require(Soul(swarm.topic.mailSoul(of: bob.id, week: week)))
        let record = try #require(alice.engine.gun.held(soul)?.records.first)
        let item = try #require(record.value.text.flatMap { [UInt8](base64URL: $0.string) })
        var changed = item
        changed[changed.count - 1] ^= 1
        let state = swarm.wall - 1000
        for (key, bytes) in [
            ("zzz/00000000", changed), ("zzz/00000001", [1, 2, 3]), ("zzz/00000002", item + [0]),
            ("zzz/ack", changed), ("zzz/4", item), ("zzz", item), ("/00000001", item), ("a/b/c", item),
        ] {
            swarm.act(alice) { engine in
                _ = engine.gun.leave(bytes.base64URL, for: bob.id, key: key, of: soul, state: state, now: swarm.now)
            }
        }
        swarm.run(for: .seconds(2))
        swarm.restart(bob)
        #expect(swarm.run(within: .seconds(5)) { bob.texts(from: alice) == ["one"] } != nil)
        swarm.run(for: .seconds(5))
        #expect(bob.texts(from: alice) == ["one"])
        #expect(bob.engine.refusals[.malformed] == 1)
        for key in ["zzz/00000000", "zzz/00000001", "zzz/00000002", "zzz/ack"] {
            let entry = bob.engine.gun.entry(soul, try #require(Key(key)))
            #expect(entry?.value == .null, "\(key)")
        }
    }
}

/// The pieces of mail.
@Suite struct MailItemTests {
    private struct Keys {
        let identity: Identity
        init() {
            var random = Entropy.system
            identity = Identity(SEAPair.generate(using: &random))
        }
        var id: PeerID { identity.peerID }
    }

    private func topic(_ byte: UInt8 = 7) throws -> Topic {
        Topic(infoHash: try #require(InfoHash(bytes: [UInt8](repeating: byte, count: 20))))
    }

    @Test func anItemOpensForItsRecipientOnly() throws {
        let (alice, bob, mallory) = (Keys(), Keys(), Keys())
        let (pair, other) = (SessionKeyPair(), SessionKeyPair())
        let prekey = Prekey(id: try #require(PrekeyID(5)), key: pair.publicKey)
        let item = MailItem(sender: alice.id, recipient: bob.id, timestamp: 17, packet: [1, 2, 3])
        let sealed = try item.sealed(by: alice.identity, to: prekey, topic: topic())
        #expect(MailItem.prekey(of: sealed) == prekey.id)
        #expect(try MailItem(opening: sealed, with: pair, topic: topic()) == item)
        #expect(throws: Refusal.notForUs) { try MailItem(opening: sealed, with: other, topic: topic()) }
        #expect(throws: Refusal.notForUs) { try MailItem(opening: sealed, with: pair, topic: topic(8)) }
        let forged = try item.sealed(by: mallory.identity, to: prekey, topic: topic())
        #expect(throws: Refusal.forged) { try MailItem(opening: forged, with: pair, topic: topic()) }
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 0x10
            #expect(throws: Refusal.self) { try MailItem(opening: changed, with: pair, topic: topic()) }
        }
        for count in 0..<sealed.count {
            #expect(throws: Refusal.self) {
                try MailItem(opening: Array(sealed.prefix(count)), with: pair, topic: topic())
            }
        }
    }

    @Test func bundlesAreForOneHolder() throws {
        let (alice, bob, carol) = (Keys(), Keys(), Keys())
        var own = OwnPrekeys(configuration: MailConfiguration())
        var entropy = Entropy.seed(1)
        let stock = PrekeyStock(lastResort: nil, oneTime: 0)
        let made = own.bundle(
            for: bob.id, stock: stock, by: alice.identity, topic: try topic(), wall: 1_000_000_000_000,
            entropy: &entropy)
        let bundle = try #require(made)
        #expect(bundle.oneTime.count == 32)
        var packet: [UInt8] = []
        Frame.prekeys(bundle).write(to: &packet)
        #expect(try Frame.parse(packet) == [.prekeys(bundle)])
        #expect(
            alice.id.verifies(bundle.signature, of: bundle.signed(owner: alice.id, holder: bob.id, topic: try topic())))
        #expect(
            !alice.id.verifies(
                bundle.signature, of: bundle.signed(owner: alice.id, holder: carol.id, topic: try topic())))
        // Who has enough is given no more; a new day brings a new last resort.
        var held = HeldPrekeys()
        held.add(bundle)
        let enough = own.bundle(
            for: bob.id, stock: held.stock, by: alice.identity, topic: try topic(),
            wall: 1_000_000_000_000 + 80_000_000,
            entropy: &entropy)
        #expect(enough == nil)
        let later = own.bundle(
            for: bob.id, stock: held.stock, by: alice.identity, topic: try topic(),
            wall: 1_000_000_000_000 + 90_000_000,
            entropy: &entropy)
        #expect(later?.oneTime.isEmpty == true)
        #expect(later?.lastResort != bundle.lastResort)
        // One-time keys first, then the last resort until it expires.
        for _ in 0..<32 { #expect(held.take(wall: 1_000_000_000_000)?.id != bundle.lastResort.id) }
        #expect(held.take(wall: 1_000_000_000_000) == bundle.lastResort)
        #expect(held.take(wall: bundle.expiry) == nil)
        #expect(HeldPrekeys(kept: held.bytes) == held)
        #expect(HeldPrekeys(kept: []) == nil)
    }

    @Test func privateHalvesAreDestroyedInTime() throws {
        let (alice, bob) = (Keys(), Keys())
        var own = OwnPrekeys(configuration: MailConfiguration())
        var entropy = Entropy.seed(2)
        let day: UInt64 = 86_400_000
        let made = own.bundle(
            for: bob.id, stock: PrekeyStock(lastResort: nil, oneTime: 0), by: alice.identity, topic: try topic(),
            wall: 100 * day, entropy: &entropy)
        let bundle = try #require(made)
        let written = own.takeWrites()
        #expect(written.count == 33)
        own.used(bundle.oneTime[0].id)
        own.used(bundle.lastResort.id)
        #expect(own.pair(bundle.oneTime[0].id) == nil)
        #expect(own.pair(bundle.lastResort.id) != nil, "it may open more")
        let forgotten = own.takeWrites()
        #expect(forgotten == [StorageWrite(key: "prekey/\(bundle.oneTime[0].id.value)", value: nil)])
        own.expire(wall: 114 * day)
        #expect(own.pair(bundle.lastResort.id) != nil)
        own.expire(wall: 114 * day + 1)
        #expect(own.pair(bundle.lastResort.id) == nil)
        var again = OwnPrekeys(configuration: MailConfiguration())
        again.restore(written.map { ($0.key, $0.value ?? []) })
        #expect(again.count == 33)
        #expect(again.pair(bundle.oneTime[5].id)?.publicKey == bundle.oneTime[5].key)
    }

    @Test func keysOfItems() {
        #expect(MailInbox.key("tag", .item(7)) == "tag/00000007")
        #expect(MailInbox.parse("tag/00000007")?.name == .item(7))
        #expect(MailInbox.parse("tag.12/ack")?.name == .acknowledgement)
        for text in ["", "tag", "tag/", "tag/7", "tag/000000007", "tag/0000000x", "/00000007", "a/b/00000001"] {
            #expect(MailInbox.parse(text) == nil)
        }
        var inbox = MailInbox()
        let source = MailInbox.Source(soul: "s", tag: "t")
        for number in [5, 1, 3, 1, 0] as [UInt32] { inbox.insert(number, of: source) }
        var order: [UInt32] = []
        while let first = inbox.first(of: source) {
            order.append(first)
            inbox.remove(first, of: source)
        }
        #expect(order == [0, 1, 3, 5])
        #expect(inbox.sources.isEmpty)
    }
}
