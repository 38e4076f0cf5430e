import SwarmBase
import Testing

@testable import SwarmEngine

/// Members that find each other with nothing but addresses: no relay, no tracker.
@Suite struct DatagramSignalingTests {
    /// Two members with no plane at all.
    private func strangers(seed: UInt64) throws -> (VirtualSwarm, VirtualSwarm.Node, VirtualSwarm.Node) {
        let swarm = VirtualSwarm(seed: seed) { $0.isDurable = true }
        let alice = try swarm.addNode(name: "alice", planes: [])
        let bob = try swarm.addNode(name: "bob", planes: [])
        return (swarm, alice, bob)
    }

    @Test(arguments: [Plane.lan, .dht, .tracker, .mesh])
    func oneAddressIsEnough(plane: Plane) throws {
        let (swarm, alice, bob) = try strangers(seed: 1)
        swarm.act(alice) { $0.seek([bob.address], plane: plane, now: swarm.now) }
        let took = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(
            try #require(took) < .milliseconds(300), "a hello and its answer, an offer and its answer, ICE, DTLS, SCTP")
        #expect(alice.events.contains { $0.event == .discovered(bob.id, plane) })
        #expect(bob.events.contains { $0.event == .discovered(alice.id, plane) })
        _ = try swarm.send("hello", from: alice, to: bob)
        _ = try swarm.send("hi", from: bob, to: alice)
        swarm.run(for: .milliseconds(200))
        #expect(bob.texts(from: alice) == ["hello"] && alice.texts(from: bob) == ["hi"])
        #expect(alice.engine.refusals.isEmpty && bob.engine.refusals.isEmpty)
    }

    @Test func bothSeekAtOnceOverALossyNetwork() throws {
        for seed in UInt64(20)..<30 {
            let (swarm, alice, bob) = try strangers(seed: seed)
            swarm.loss = 0.3
            swarm.act(alice) { $0.seek([bob.address], plane: .dht, now: swarm.now) }
            swarm.act(bob) { $0.seek([alice.address], plane: .dht, now: swarm.now) }
            let took = swarm.run(within: .seconds(40)) {
                alice.path(to: bob) == .direct && bob.path(to: alice) == .direct
            }
            #expect(took != nil, "seed \(seed)")
        }
    }

    @Test func anAddressWhereNobodyIsIsGivenUp() throws {
        let (swarm, alice, _) = try strangers(seed: 3)
        let nobody = TransportAddress(.v4(0x0a00_0063), port: 9)
        swarm.act(alice) { $0.seek([nobody], plane: .dht, now: swarm.now) }
        swarm.run(for: .seconds(60))
        let target = try #require(alice.engine.datagrams.targets[nobody])
        #expect(target.attempts == DatagramPlane.mostAttempts && target.helloAt == nil)
        swarm.act(alice) { $0.seek([nobody], plane: .dht, now: swarm.now) }
        #expect(alice.engine.datagrams.targets[nobody]?.attempts == 1, "its plane names it anew")
    }

    @Test func whoMetOnceMeetsAgain() throws {
        let (swarm, alice, bob) = try strangers(seed: 4)
        swarm.act(alice) { $0.seek([bob.address], plane: .lan, now: swarm.now) }
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        _ = try swarm.send("one", from: alice, to: bob)
        swarm.run(for: .seconds(1))
        swarm.crash(alice)
        swarm.run(for: .seconds(2))
        alice.events = []
        swarm.restart(alice, planes: [])
        let took = swarm.run(within: .seconds(10)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(try #require(took) < .seconds(2))
        #expect(alice.events.contains { $0.event == .discovered(bob.id, .known) })
        _ = try swarm.send("two", from: alice, to: bob)
        swarm.run(for: .seconds(1))
        #expect(bob.texts(from: alice) == ["one", "two"])
    }

    @Test func aKnownMemberIsAwaitedForEver() throws {
        let (swarm, alice, bob) = try strangers(seed: 5)
        swarm.act(alice) { $0.seek([bob.address], plane: .lan, now: swarm.now) }
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        swarm.run(for: .seconds(1))
        swarm.crash(alice)
        swarm.crash(bob)
        swarm.restart(alice, planes: [])
        swarm.run(for: .seconds(7200))
        bob.store = bob.store.filter { !$0.key.hasPrefix("peer/") }
        swarm.restart(bob, planes: [])
        let took = swarm.run(within: .seconds(400)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        #expect(took != nil, "a hello at least every five minutes or so")
    }

    @Test func aCutPathHealsWithoutARelay() throws {
        let (swarm, alice, bob) = try strangers(seed: 6)
        swarm.act(alice) { $0.seek([bob.address], plane: .lan, now: swarm.now) }
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        for seconds in [5, 90] {
            swarm.cutPairs = [[0, 1]]
            swarm.run(for: .seconds(seconds))
            _ = try swarm.send("\(seconds)", from: alice, to: bob)
            swarm.cutPairs = []
            let took = swarm.run(within: .seconds(120)) { bob.texts(from: alice).last == "\(seconds)" }
            #expect(took != nil, "after \(seconds) s")
        }
    }

    @Test func strangersAreToldNothing() throws {
        let (swarm, alice, _) = try strangers(seed: 7)
        let other = VirtualSwarm(seed: 8, topic: "another") { _ in }
        let mallory = try other.addNode(name: "mallory", planes: [])
        let from = TransportAddress(.v4(0x0a00_0042), port: 4242)
        other.act(mallory) { engine in
            engine.seek([TransportAddress(.v4(0x0a00_0009), port: 7000)], plane: .lan, now: other.now)
            while let transmit = engine.pollTransmit() {
                alice.engine.handle(datagram: transmit.payload, from: from, now: swarm.now)
            }
        }
        #expect(alice.engine.refusals[.notForUs] == 1)
        #expect(alice.engine.pollTransmit() == nil && alice.engine.datagrams.targets.isEmpty)
    }

    @Test func nothingThatBeginsWithTheByteTraps() throws {
        let (swarm, alice, bob) = try strangers(seed: 9)
        swarm.act(alice) { $0.seek([bob.address], plane: .lan, now: swarm.now) }
        _ = swarm.run(within: .seconds(5)) { alice.path(to: bob) == .direct && bob.path(to: alice) == .direct }
        var random = SeededGenerator(seed: 9)
        for count in 0..<3000 {
            let datagram = [SignalingDatagram.firstByte] + random.bytes(count % 1400)
            alice.engine.handle(datagram: datagram, from: bob.address, now: swarm.now)
        }
        while alice.engine.pollTransmit() != nil {}
        #expect(alice.path(to: bob) == .direct)
    }
}

@Suite struct SignalingDatagramTests {
    @Test(arguments: [1, 1_199, 1_200, 1_201, 16 * 1_200])
    func messagesAreCutAndPutTogether(size: Int) throws {
        let message = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        let datagrams = SignalingDatagram.cut(message, message: 7)
        #expect(datagrams.count == (size + 1_199) / 1_200)
        #expect(datagrams.allSatisfy { $0.count <= 1_207 })
        var reassembly = SignalingReassembly()
        let source = TransportAddress(.v4(1), port: 1)
        var whole: [[UInt8]] = []
        for datagram in datagrams.reversed() {
            let piece = try #require(SignalingDatagram(parsing: datagram))
            if let message = reassembly.insert(piece, from: source, now: .zero) { whole.append(message) }
            // A copy changes nothing.
            if piece.count > 1, whole.isEmpty {
                #expect(reassembly.insert(piece, from: source, now: .zero) == nil)
            }
        }
        #expect(whole == [message])
        #expect(reassembly.count == 0)
    }

    @Test func whatIsTooLongOrEmptyIsNotCut() {
        #expect(SignalingDatagram.cut([], message: 1).isEmpty)
        #expect(SignalingDatagram.cut([UInt8](repeating: 0, count: 16 * 1_200 + 1), message: 1).isEmpty)
    }

    @Test func whatIsNotOfTheFormIsRefused() {
        let good: [UInt8] = [0x53, 0, 0, 0, 1, 0, 1, 9]
        #expect(SignalingDatagram(parsing: good) != nil)
        #expect(SignalingDatagram(parsing: [0x54] + good.dropFirst()) == nil)
        #expect(SignalingDatagram(parsing: Array(good.dropLast())) == nil, "a piece is not empty")
        #expect(SignalingDatagram(parsing: [0x53, 0, 0, 0, 1, 1, 1, 9]) == nil, "the second of one")
        #expect(SignalingDatagram(parsing: [0x53, 0, 0, 0, 1, 16, 17, 9]) == nil, "too many pieces")
        let long = [UInt8](repeating: 0, count: SignalingDatagram.largestPiece)
        #expect(SignalingDatagram(parsing: good.prefix(7) + long) != nil)
        #expect(SignalingDatagram(parsing: good.prefix(7) + long + [0]) == nil)
    }

    @Test func incompleteMessagesAreBounded() {
        var reassembly = SignalingReassembly()
        let source = TransportAddress(.v4(1), port: 1)
        for number in 0..<UInt32(100) {
            let piece = SignalingDatagram(message: number, index: 0, count: 2, piece: [1])
            _ = reassembly.insert(piece, from: source, now: .zero + .milliseconds(Int(number)))
        }
        #expect(reassembly.count == SignalingReassembly.mostMessages)
        let late = SignalingDatagram(message: 1000, index: 0, count: 2, piece: [1])
        _ = reassembly.insert(late, from: source, now: .zero + .seconds(60))
        #expect(reassembly.count == 1, "the old ones have had their time")
    }
}
