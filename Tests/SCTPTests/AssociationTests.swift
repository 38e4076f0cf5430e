import SwarmBase
import Testing

@testable import SCTP

/// What a packet carries, for tests that look at the wire.
private func chunkTypes(_ packet: [UInt8]) -> [UInt8] {
    var walker = ChunkWalker(packet: packet)
    var types: [UInt8] = []
    while let chunk = walker.next() { types.append(chunk.type) }
    return types
}

@Suite struct HandshakeTests {
    /// Both sides send INIT at once: the normal case.
    @Test func collision() throws {
        let pair = ChannelPair(seed: 1)
        pair.connect()
        #expect(pair.eventsOfA == [.connected] && pair.eventsOfB == [.connected])
        // Two round trips at most, no retransmission.
        #expect(pair.now - Instant(nanoseconds: 1_000_000_000) <= .milliseconds(40))
    }

    @Test func oneSideOnly() {
        let pair = ChannelPair(seed: 2)
        pair.b.connect(now: pair.now)
        let done = pair.run(for: .seconds(1)) {
            $0.eventsOfA.contains(.connected) && $0.eventsOfB.contains(.connected)
        }
        #expect(done)
    }

    /// Each packet of the setup lost in turn, singly and in pairs: it always comes about.
    @Test(arguments: 0..<64)
    func anyLoss(mask: Int) throws {
        let pair = ChannelPair(seed: UInt64(mask))
        var count = 0
        pair.filter = { _, _ in
            defer { count += 1 }
            return count >= 6 || mask & (1 << count) == 0
        }
        let channel = try pair.a.open(DataChannelOptions(label: "x"))
        try pair.a.send([1], kind: .binary, on: channel, now: pair.now)
        pair.connect(within: .seconds(20))
        let done = pair.run(for: .seconds(20)) { $0.receivedByB == [[1]] }
        #expect(done, "mask \(mask)")
        #expect(pair.eventsOfA.filter { $0 == .connected }.count == 1)
        #expect(pair.eventsOfB.filter { $0 == .connected }.count == 1)
    }

    /// The intervals double to five seconds, and do not end: ICE judges whether the peer lives.
    @Test func initIsRepeatedForEver() {
        let pair = ChannelPair(seed: 3)
        var sent: [Instant] = []
        pair.filter = { toB, _ in
            if toB { sent.append(pair.now) }
            return false
        }
        pair.a.connect(now: pair.now)
        pair.run(for: .seconds(60))
        let waits = zip(sent, sent.dropFirst()).map { $1 - $0 }
        #expect(waits.prefix(5) == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(4), .seconds(5)])
        #expect(waits.dropFirst(4).allSatisfy { $0 == .seconds(5) } && waits.count >= 13)
    }

    /// A repeated INIT or COOKIE ECHO of the same peer changes nothing; data goes on.
    @Test func lateHandshakePackets() throws {
        let pair = ChannelPair(seed: 4)
        var setup: [(Bool, [UInt8])] = []
        pair.filter = { toB, packet in
            setup.append((toB, packet))
            return true
        }
        pair.connect()
        pair.filter = nil
        let channel = try pair.a.open(DataChannelOptions(label: "x"))
        for (toB, packet) in setup + setup {
            if toB {
                pair.b.handle(packet: packet, now: pair.now)
            } else {
                pair.a.handle(packet: packet, now: pair.now)
            }
            pair.drain()
        }
        try pair.a.send([1], kind: .binary, on: channel, now: pair.now)
        let done = pair.run(for: .seconds(1)) { $0.receivedByB == [[1]] }
        #expect(done)
        #expect(pair.eventsOfA.filter { $0 == .connected }.count == 1)
    }

    /// Another association of the peer inside the same DTLS session is refused by ABORT.
    @Test func restartIsRefused() {
        let pair = ChannelPair(seed: 5)
        pair.connect()
        var other = SCTPAssociation(entropy: .seed(99))
        other.connect(now: pair.now)
        var replies: [[UInt8]] = []
        for _ in 0..<3 {
            while let packet = other.pollTransmit(now: pair.now) { pair.b.handle(packet: packet, now: pair.now) }
            while let packet = pair.b.pollTransmit(now: pair.now) {
                replies.append(packet)
                other.handle(packet: packet, now: pair.now)
            }
        }
        pair.drain()
        #expect(pair.eventsOfB.last == .disconnected(.restartedByPeer))
        #expect(replies.contains { chunkTypes($0) == [6] })
    }

    @Test func staleCookieStartsOver() {
        let pair = ChannelPair(seed: 6)
        var isHeld = true
        var held: [UInt8] = []
        pair.filter = { toB, packet in
            guard isHeld, toB, chunkTypes(packet).first == 10 else { return true }
            if held.isEmpty { held = packet }
            return false
        }
        pair.a.connect(now: pair.now)
        pair.run(for: .seconds(61))
        #expect(!held.isEmpty)
        isHeld = false
        pair.b.handle(packet: held, now: pair.now)
        pair.drain()
        #expect(!pair.eventsOfB.contains(.connected))
        let done = pair.run(for: .seconds(20)) {
            $0.eventsOfA.contains(.connected) && $0.eventsOfB.contains(.connected)
        }
        #expect(done)
    }

    @Test func forgedCookieIsIgnored() {
        let pair = ChannelPair(seed: 7)
        var isForged = false
        pair.filter = { toB, packet in
            guard toB, !isForged, chunkTypes(packet).first == 10 else { return true }
            isForged = true
            var forged = packet
            forged[40] ^= 1
            forged.sealPacket()
            pair.b.handle(packet: forged, now: pair.now)
            return false
        }
        pair.a.connect(now: pair.now)
        pair.run(for: .milliseconds(400))
        #expect(isForged && pair.eventsOfB.isEmpty)
        let done = pair.run(for: .seconds(5)) { $0.eventsOfB.contains(.connected) }
        #expect(done)
    }
}

@Suite struct AssociationTests {
    private func connected(
        seed: UInt64, _ impairment: Impairment = Impairment(), configuration: SCTPConfiguration = .init(),
        options: DataChannelOptions = DataChannelOptions(label: "x")
    ) throws -> (ChannelPair, DataChannelID) {
        let pair = ChannelPair(seed: seed, impairment, configuration: configuration)
        pair.connect()
        let id = try pair.a.open(options)
        pair.run(for: .seconds(5)) { $0.eventsOfA.contains(.open(id, options, byPeer: false)) }
        return (pair, id)
    }

    /// A packet from A's tag space to B, as the network would carry it.
    private func packet(like sample: [UInt8], _ write: (inout [UInt8]) -> Void) -> [UInt8] {
        var packet = Array(sample[..<12])
        for index in 8..<12 { packet[index] = 0 }
        write(&packet)
        packet.sealPacket()
        return packet
    }

    /// A header as A writes it to B.
    private func sample(_ pair: ChannelPair, _ id: DataChannelID) throws -> [UInt8] {
        var sample: [UInt8] = []
        pair.filter = { toB, packet in
            if toB { sample = packet }
            return true
        }
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        pair.run(for: .milliseconds(500))
        pair.filter = nil
        return sample
    }

    @Test func heartbeatIsEchoedUntouched() throws {
        let (pair, id) = try connected(seed: 1)
        let sample = try sample(pair, id)
        for size in [0, 1, 9, 1100, 1400] {
            let info = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
            pair.b.handle(packet: packet(like: sample) { $0.appendChunk(.heartbeat, value: info) }, now: pair.now)
            var reply: [UInt8] = []
            while let packet = pair.b.pollTransmit(now: pair.now) { if chunkTypes(packet) == [5] { reply = packet } }
            var walker = ChunkWalker(packet: reply)
            let chunk = try required(walker.next())
            #expect(Array(reply[chunk.value]) == info)
        }
    }

    @Test func wrongTagIsDroppedAndTheTBitTakesThePeersOwn() throws {
        let (pair, id) = try connected(seed: 2)
        var toA: [UInt8] = []
        let sample = try sample(pair, id)
        pair.filter = { toB, packet in
            if !toB { toA = packet }
            return true
        }
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        pair.run(for: .milliseconds(500))
        // The other direction's tag without the T bit: not for B.
        pair.b.handle(packet: packet(like: toA) { $0.appendChunk(.abort) }, now: pair.now)
        pair.b.handle(packet: packet(like: sample) { $0.appendChunk(.abort, flags: 1) }, now: pair.now)
        pair.drain()
        #expect(!pair.eventsOfB.contains(.closed(id)))
        pair.b.handle(packet: packet(like: toA) { $0.appendChunk(.abort, flags: 1) }, now: pair.now)
        pair.drain()
        #expect(pair.eventsOfB.suffix(2) == [.closed(id), .disconnected(.abortedByPeer(cause: nil))])
    }

    @Test func unknownChunks() throws {
        let (pair, id) = try connected(seed: 3)
        let sample = try sample(pair, id)
        // Skip: what follows counts. Stop: it does not. Report: an ERROR comes.
        for (type, answers) in [(UInt8(0x84), [UInt8(5)]), (0x3f, []), (0xff, [9, 5]), (0x7f, [9])] {
            let bytes = packet(like: sample) {
                $0 += [type, 0, 0, 4]
                $0.appendChunk(.heartbeat, value: [1, 2, 3, 4])
            }
            pair.b.handle(packet: bytes, now: pair.now)
            var got: [UInt8] = []
            while let packet = pair.b.pollTransmit(now: pair.now) { got += chunkTypes(packet) }
            #expect(got == answers, "type \(type)")
        }
    }

    /// Chromium's close: ABORT with cause 12 "user initiated".
    @Test func abortTellsThePeer() throws {
        let (pair, id) = try connected(seed: 4)
        pair.a.abort(now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.eventsOfA.suffix(2) == [.closed(id), .disconnected(.abortedLocally)])
        #expect(pair.eventsOfB.suffix(2) == [.closed(id), .disconnected(.abortedByPeer(cause: 12))])
        #expect(pair.a.nextTimeout == nil && pair.b.nextTimeout == nil)
        #expect(throws: DataChannelError.disconnected) {
            try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        }
    }

    @Test(arguments: UInt64(0)..<20)
    func shutdownFlushesAndEndsBothSides(seed: UInt64) throws {
        let (pair, id) = try connected(seed: seed, Impairment(loss: 0.1))
        for _ in 0..<20 { try pair.a.send([UInt8](repeating: 1, count: 5000), kind: .binary, on: id, now: pair.now) }
        pair.a.shutdown(now: pair.now)
        if seed.isMultiple(of: 2) { pair.b.shutdown(now: pair.now) }
        pair.run(for: .seconds(100))
        #expect(pair.receivedByB.count == 20, "seed \(seed)")
        #expect(pair.eventsOfA.last == .disconnected(.shutdown), "seed \(seed)")
        #expect(pair.eventsOfB.last == .disconnected(.shutdown), "seed \(seed)")
    }

    @Test func shutdownWithoutAnswerEnds() throws {
        let (pair, _) = try connected(seed: 9)
        pair.impair { $0.isCut = true }
        pair.a.shutdown(now: pair.now)
        pair.run(for: .seconds(200))
        #expect(pair.eventsOfA.last == .disconnected(.unanswered))
    }

    /// Cut for long enough that T3 backs off to its maximum, healed, and told of it: all flows within a round trip.
    @Test(arguments: [1, 5, 40])
    func healedPathCarriesDataWithinARoundTrip(seconds: Int) throws {
        let (pair, id) = try connected(seed: 10, Impairment(delay: .milliseconds(50)))
        for _ in 0..<5 { try pair.a.send([UInt8](repeating: 1, count: 500), kind: .binary, on: id, now: pair.now) }
        pair.run(for: .milliseconds(5))
        pair.impair { $0.isCut = true }
        for _ in 0..<5 { try pair.a.send([UInt8](repeating: 2, count: 500), kind: .binary, on: id, now: pair.now) }
        pair.run(for: .seconds(seconds))
        pair.impair { $0.isCut = false }
        let healed = pair.now
        pair.a.pathChanged(now: pair.now)
        pair.b.pathChanged(now: pair.now)
        let done = pair.run(for: .seconds(30)) { $0.receivedByB.count == 10 }
        #expect(done && pair.now - healed <= .milliseconds(100))
    }

    /// The same when only the other side learned that the path is back: its first packet shows it.
    @Test func aSignOfLifeEndsTheBackoff() throws {
        let (pair, id) = try connected(seed: 11, Impairment(delay: .milliseconds(50)))
        pair.impair { $0.isCut = true }
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        pair.run(for: .seconds(41))
        pair.impair { $0.isCut = false }
        let healed = pair.now
        pair.b.pathChanged(now: pair.now)
        let done = pair.run(for: .seconds(30)) { $0.receivedByB.count == 1 }
        #expect(done && pair.now - healed <= .milliseconds(150))
    }

    /// A burst of losses at the very end of the data is found by a probe, not by T3 with its backed-off window.
    @Test func lostTailIsProbed() throws {
        let (pair, id) = try connected(seed: 12, Impairment(delay: .milliseconds(15)))
        for _ in 0..<20 {
            try pair.a.send([UInt8](repeating: 1, count: 1000), kind: .binary, on: id, now: pair.now)
            pair.run(for: .milliseconds(40))
        }
        var count = 0
        pair.filter = { toB, packet in
            guard toB, chunkTypes(packet).contains(0) else { return true }
            count += 1
            return count <= 4 || count > 7
        }
        for _ in 0..<7 { try pair.a.send([UInt8](repeating: 2, count: 1000), kind: .binary, on: id, now: pair.now) }
        let started = pair.now
        let done = pair.run(for: .seconds(5)) { $0.receivedByB.count == 27 }
        #expect(done && pair.now - started < .milliseconds(210))
    }

    /// The owner stops reading: the window closes, nothing is lost, the sender only probes; it goes on when read.
    @Test func closedWindowStopsTheSenderAndReopens() throws {
        var configuration = SCTPConfiguration()
        configuration.receiveWindow = 100_000
        configuration.maxReceiveWindow = 100_000
        configuration.maxMessageSize = 80_000
        let (pair, id) = try connected(seed: 13, configuration: configuration)
        pair.readsB = false
        let message = [UInt8](repeating: 3, count: 1000)
        for _ in 0..<300 { try pair.a.send(message, kind: .binary, on: id, now: pair.now) }
        pair.run(for: .seconds(5))
        #expect(pair.a.bufferedAmount(of: id) > 150_000)
        let before = pair.packets
        pair.run(for: .seconds(10))
        // A probe and an answer per timeout, about.
        #expect(pair.packets - before < 150)
        #expect(pair.packets > before)
        pair.readsB = true
        let resumed = pair.now
        let done = pair.run(for: .seconds(20)) { $0.receivedByB.count == 300 }
        #expect(done && pair.now - resumed < .seconds(1))
    }

    /// Linear work: so many small messages leave in as many packets as they need, and the queue empties.
    @Test func tenThousandSmallMessages() throws {
        let (pair, id) = try connected(seed: 14)
        let before = pair.packets
        for _ in 0..<10_000 { try pair.a.send([1, 2, 3, 4], kind: .binary, on: id, now: pair.now) }
        let done = pair.run(for: .seconds(20)) { $0.a.bufferedAmount(of: id) == 0 }
        #expect(done)
        pair.run(for: .seconds(1))
        #expect(pair.receivedByB.count == 10_000)
        // 58 chunks a packet, a SACK for every two.
        #expect(pair.packets - before < 10_000 / 58 * 2)
    }

    @Test func sizesAndBuffers() throws {
        let (pair, id) = try connected(seed: 15)
        #expect(throws: DataChannelError.messageTooLarge(limit: 262_144)) {
            try pair.a.send([UInt8](repeating: 0, count: 262_145), kind: .binary, on: id, now: pair.now)
        }
        let big = [UInt8](repeating: 0, count: 262_144)
        for _ in 0..<64 { try pair.a.send(big, kind: .binary, on: id, now: pair.now) }
        #expect(pair.a.bufferedAmount(of: id) == 16 << 20)
        #expect(throws: DataChannelError.bufferFull) {
            try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        }
        let limited = ChannelPair(seed: 16, remoteMaxMessageSize: 65_536)
        let other = try limited.a.open(DataChannelOptions(label: "x"))
        try limited.a.send([UInt8](repeating: 0, count: 65_536), kind: .binary, on: other, now: limited.now)
        #expect(throws: DataChannelError.messageTooLarge(limit: 65_536)) {
            try limited.a.send([UInt8](repeating: 0, count: 65_537), kind: .binary, on: other, now: limited.now)
        }
    }

    /// Packets that look like the peer's but say anything: no trap, nothing grows, and sound data still arrives as
    /// long as the association lives.
    @Test(arguments: UInt64(0)..<40)
    func hostilePackets(seed: UInt64) throws {
        let (pair, id) = try connected(seed: seed)
        var samples: [[UInt8]] = []
        pair.filter = { toB, packet in
            if toB { samples.append(packet) }
            return true
        }
        for size in [10, 3000, 20] {
            try pair.a.send([UInt8](repeating: 1, count: size), kind: .binary, on: id, now: pair.now)
        }
        pair.run(for: .seconds(1))
        pair.filter = nil
        var random = SeededGenerator(seed: seed)
        let tag = samples[0]
        for _ in 0..<400 {
            var bytes = samples.randomElement(using: &random) ?? []
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    bytes[Int.random(in: 12..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
                }
            case 1:
                bytes = packet(like: tag) {
                    let types: [UInt8] = [0, 0, 0, 3, 3, 4, 7, 9, 10, 11, 130, 130, 192, 192, 2]
                    for _ in 0..<3 {
                        let body = random.bytes(Int.random(in: 0...60, using: &random))
                        $0 += [types.randomElement(using: &random) ?? 0, .random(in: 0...15, using: &random), 0]
                        $0.append(UInt8(body.count + 4))
                        $0 += body
                        $0.pad()
                    }
                }
            case 2:
                bytes.removeLast(Int.random(in: 0...min(40, bytes.count - 12), using: &random))
            default:
                // Numbers far and near.
                let near = samples[samples.count - 1]
                bytes = near
                if bytes.count >= 20 {
                    bytes[18] = .random(in: 0...255, using: &random)
                    bytes[19] = .random(in: 0...255, using: &random)
                }
            }
            if bytes.count >= 12 { bytes.sealPacket() }
            pair.b.handle(packet: bytes, now: pair.now)
            pair.run(for: .milliseconds(Int.random(in: 0...3, using: &random)))
        }
        pair.run(for: .seconds(1))
        let isOver = pair.eventsOfB.contains { if case .disconnected = $0 { true } else { false } }
        #expect(isOver || pair.b.nextTimeout.map { $0 > pair.now - .seconds(1) } ?? true)
        #expect(pair.eventsOfB.count < 20_000)
    }

    /// A sender that never completes anything: what is held stays within the window.
    @Test func heldDataIsBounded() throws {
        var configuration = SCTPConfiguration()
        configuration.receiveWindow = 50_000
        configuration.maxReceiveWindow = 50_000
        configuration.maxHeldItems = 500
        configuration.maxMessageSize = 40_000
        configuration.offersInterleaving = false
        var association = SCTPAssociation(configuration: configuration, entropy: .seed(1))
        var peer = SCTPAssociation(configuration: configuration, entropy: .seed(2))
        let now = Instant.zero
        peer.connect(now: now)
        var header: [UInt8] = []
        for _ in 0..<4 {
            while let packet = peer.pollTransmit(now: now) {
                header = packet
                association.handle(packet: packet, now: now)
            }
            while let packet = association.pollTransmit(now: now) { peer.handle(packet: packet, now: now) }
        }
        expectTrue(association.isEstablished)
        let first = peer.localInitialTSN
        for kind in 0..<3 {
            for number in 0..<3000 {
                let payload = [UInt8](repeating: 0, count: kind == 0 ? 1000 : 1)
                // Whole messages out of turn, beginnings without ends, and fragments with holes between.
                let flags: DataChunk.Flags = kind == 0 ? [.begin, .end] : kind == 1 ? [.begin] : []
                let offset = kind == 2 ? number * 2 + 9001 : kind * 3000 + number
                let chunk = OutgoingChunk(
                    tsn: (TSN(initial: first) + offset).wire, flags: flags, stream: UInt16(kind),
                    sequence: UInt32(number % 30_000 + 1), payloadProtocol: 53)
                let bytes = packet(like: header) { $0.append(chunk, payload: payload) }
                association.handle(packet: bytes, now: now)
                while association.pollTransmit(now: now) != nil {}
                #expect(association.reassembly.heldBytes <= 2 * 50_000 + 1200)
                #expect(association.reassembly.heldItems <= 1001)
                if association.isEnded { break }
            }
        }
    }
}
