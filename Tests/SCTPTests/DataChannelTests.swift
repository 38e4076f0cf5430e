import SwarmBase
import Testing

@testable import SCTP

@Suite struct DataChannelTests {
    private func connected(seed: UInt64, _ impairment: Impairment = Impairment()) -> ChannelPair {
        let pair = ChannelPair(seed: seed, impairment)
        pair.connect()
        return pair
    }

    private func count(_ event: DataChannelEvent, in events: [DataChannelEvent]) -> Int {
        events.filter { $0 == event }.count
    }

    @Test func numbersFollowTheRole() throws {
        let pair = ChannelPair(seed: 1)
        #expect(try pair.a.open(DataChannelOptions(label: "a")) == 0)
        #expect(try pair.a.open(DataChannelOptions(label: "b")) == 2)
        #expect(try pair.b.open(DataChannelOptions(label: "c")) == 1)
        let options = DataChannelOptions(label: "d", negotiatedID: 4)
        #expect(try pair.a.open(options) == 4)
        #expect(throws: DataChannelError.idUnavailable(4)) { try pair.a.open(options) }
        #expect(throws: DataChannelError.idUnavailable(65_535)) {
            try pair.a.open(DataChannelOptions(label: "d", negotiatedID: 65_535))
        }
        #expect(try pair.a.open(DataChannelOptions(label: "e")) == 6)
        #expect(throws: DataChannelError.nameTooLong) {
            try pair.a.open(DataChannelOptions(label: String(repeating: "x", count: 65_536)))
        }
    }

    @Test func openCarriesTheOptions() throws {
        let pair = ChannelPair(seed: 2)
        let all = [
            DataChannelOptions(label: "größe", protocol: "p"),
            DataChannelOptions(label: "", isOrdered: false, reliability: .maxRetransmits(0)),
            DataChannelOptions(label: "x", isOrdered: false, reliability: .maxPacketLifeTime(100)),
        ]
        for options in all { _ = try pair.a.open(options) }
        pair.connect()
        pair.run(for: .seconds(1))
        for (index, options) in all.enumerated() {
            let id = UInt16(index * 2)
            #expect(pair.eventsOfB.contains(.open(id, options, byPeer: true)))
            #expect(pair.eventsOfA.contains(.open(id, options, byPeer: false)))
            #expect(pair.b.options(of: id) == options)
        }
    }

    @Test func kindsAndEmptyMessages() throws {
        let pair = connected(seed: 3)
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        let messages: [(DataChannelMessageKind, [UInt8])] = [
            (.text, Array("hé".utf8)), (.binary, [0xff, 0]), (.text, []), (.binary, []), (.binary, [0]),
        ]
        for (kind, payload) in messages { try pair.a.send(payload, kind: kind, on: id, now: pair.now) }
        pair.run(for: .seconds(1))
        #expect(
            pair.eventsOfB.filter { if case .message = $0 { true } else { false } }
                == messages.map { .message(id, $0.0, $0.1) })
    }

    @Test func invalidTextClosesTheChannel() throws {
        let pair = connected(seed: 4)
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        let other = try pair.a.open(DataChannelOptions(label: "y"))
        try pair.a.send([0xff], kind: .text, on: id, now: pair.now)
        try pair.a.send([1], kind: .binary, on: other, now: pair.now)
        pair.run(for: .seconds(2))
        #expect(pair.eventsOfB.contains(.closed(id)) && pair.eventsOfA.contains(.closed(id)))
        #expect(pair.receivedByB == [[1]])
    }

    /// Data on a negotiated channel that the other side opens later is kept.
    @Test func negotiatedChannelWithEarlyData() throws {
        let pair = connected(seed: 5)
        let options = DataChannelOptions(label: "n", negotiatedID: 7)
        _ = try pair.a.open(options)
        try pair.a.send([1], kind: .binary, on: 7, now: pair.now)
        try pair.a.send([], kind: .text, on: 7, now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.receivedByB.isEmpty)
        _ = try pair.b.open(options)
        pair.drain()
        #expect(
            pair.eventsOfB.suffix(3) == [
                .open(7, options, byPeer: false), .message(7, .binary, [1]), .message(7, .text, []),
            ])
        try pair.b.send([2], kind: .binary, on: 7, now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.receivedByA == [[2]])
    }

    @Test func earlyDataIsBounded() throws {
        let pair = connected(seed: 6)
        let options = DataChannelOptions(label: "n", negotiatedID: 7)
        _ = try pair.a.open(options)
        for _ in 0..<80 { try pair.a.send([UInt8](repeating: 1, count: 1024), kind: .binary, on: 7, now: pair.now) }
        pair.run(for: .seconds(2))
        _ = try pair.b.open(options)
        pair.drain()
        #expect(pair.receivedByB.count == 64)
    }

    /// Messages sent right after `open` on an unordered channel arrive after the other side has heard of it.
    @Test(arguments: UInt64(0)..<30)
    func dataBehindOpenOnUnorderedChannels(seed: UInt64) throws {
        let pair = connected(seed: seed, Impairment(loss: 0.2, reordering: 0.3))
        let id = try pair.a.open(DataChannelOptions(label: "x", isOrdered: false))
        for number in UInt8(0)..<10 {
            try pair.a.send([number], kind: .binary, on: id, now: pair.now)
            pair.run(for: .milliseconds(8))
        }
        let done = pair.run(for: .seconds(60)) { $0.receivedByB.count == 10 }
        #expect(done, "seed \(seed)")
        let opened = pair.eventsOfB.firstIndex { if case .open = $0 { true } else { false } }
        let message = pair.eventsOfB.firstIndex { if case .message = $0 { true } else { false } }
        let isInOrder = try required(opened) < required(message)
        #expect(isInOrder, "seed \(seed)")
    }

    @Test func openOnAnUnfitNumberIsReset() throws {
        // Both think they are the DTLS client.
        let pair = ChannelPair(seed: 7)
        var entropy = Entropy.seed(70)
        pair.b = DataChannelTransport(isDTLSClient: true, remoteMaxMessageSize: 0, entropy: entropy.fork())
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(3))
        #expect(pair.eventsOfA.last == .closed(id))
        #expect(pair.eventsOfB == [.connected])
        // And again: the number was given back on both sides.
        #expect(try pair.a.open(DataChannelOptions(label: "x")) == id)
        pair.run(for: .seconds(3))
        #expect(count(.closed(id), in: pair.eventsOfA) == 2)
    }

    @Test func closeFlushesAndFreesTheNumber() throws {
        let pair = connected(seed: 8)
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        for _ in 0..<10 { try pair.a.send([UInt8](repeating: 1, count: 5000), kind: .binary, on: id, now: pair.now) }
        pair.a.close(id, now: pair.now)
        #expect(throws: DataChannelError.notOpen) { try pair.a.send([1], kind: .binary, on: id, now: pair.now) }
        // Not free before both directions are reset.
        #expect(try pair.a.open(DataChannelOptions(label: "y")) == id + 2)
        pair.run(for: .seconds(5))
        #expect(pair.receivedByB.count == 10)
        #expect(count(.closed(id), in: pair.eventsOfA) == 1 && count(.closed(id), in: pair.eventsOfB) == 1)
        // The number again, with sequence numbers from 0.
        #expect(try pair.a.open(DataChannelOptions(label: "z")) == id)
        try pair.a.send([9], kind: .binary, on: id, now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.receivedByB.last == [9])
    }

    /// Closing from both sides at any moment, with data under way and loss: every channel closes once on each side, and
    /// its number works again.
    @Test(arguments: UInt64(0)..<60)
    func closeRaces(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let pair = connected(seed: seed, Impairment(loss: 0.05, duplication: 0.02, reordering: 0.1))
        var ids: [DataChannelID] = []
        for round in 0..<3 {
            ids = []
            for _ in 0..<5 {
                ids.append(try pair.a.open(DataChannelOptions(label: "r", isOrdered: Bool.random(using: &random))))
            }
            #expect(ids == [0, 2, 4, 6, 8], "seed \(seed) round \(round)")
            for id in ids {
                for _ in 0..<3 { try pair.a.send(random.bytes(2000), kind: .binary, on: id, now: pair.now) }
            }
            pair.run(for: .milliseconds(Int.random(in: 0...200, using: &random)))
            for id in ids.shuffled(using: &random) {
                if Bool.random(using: &random) {
                    pair.a.close(id, now: pair.now)
                } else {
                    pair.b.close(id, now: pair.now)
                }
                if Bool.random(using: &random) { pair.run(for: .milliseconds(Int.random(in: 0...30, using: &random))) }
                if Bool.random(using: &random) { pair.b.close(id, now: pair.now) }
            }
            // What B closed before it heard of it is still there.
            pair.run(for: .seconds(5))
            for id in ids { pair.a.close(id, now: pair.now) }
            let expected = round + 1
            let done = pair.run(for: .seconds(60)) { pair in
                ids.allSatisfy { id in count(.closed(id), in: pair.eventsOfA) == expected }
                    && ids.allSatisfy { id in count(.closed(id), in: pair.eventsOfB) == expected }
            }
            #expect(done, "seed \(seed) round \(round)")
        }
    }

    /// The answer to one side's reset is lost, so the other side uses the number again first.
    @Test(arguments: [false, true])
    func numberIsUsedAgainBeforeTheAnswerIsHere(closesAgain: Bool) throws {
        let pair = connected(seed: 30)
        let id = try pair.a.open(DataChannelOptions(label: "old"))
        pair.run(for: .seconds(1))
        var isLosing = false
        pair.filter = { toB, packet in
            var walker = ChunkWalker(packet: packet)
            while let chunk = walker.next() {
                guard toB, chunk.type == 130 else { continue }
                for case .response in ReconfigurationChunk(chunk, in: packet).parameters { isLosing = true }
            }
            return !isLosing || !toB
        }
        pair.a.close(id, now: pair.now)
        pair.run(for: .milliseconds(60))
        #expect(isLosing && pair.eventsOfA.last == .closed(id) && !pair.eventsOfB.contains(.closed(id)))
        pair.filter = { toB, packet in
            var walker = ChunkWalker(packet: packet)
            while let chunk = walker.next() { if toB, chunk.type == 130, !closesAgain { return false } }
            return true
        }
        let options = DataChannelOptions(label: "new")
        #expect(try pair.a.open(options) == id)
        try pair.a.send([7], kind: .binary, on: id, now: pair.now)
        if closesAgain { pair.a.close(id, now: pair.now) }
        pair.run(for: .milliseconds(100))
        pair.filter = nil
        let done = pair.run(for: .seconds(10)) { pair in
            pair.receivedByB == [[7]] && count(.closed(id), in: pair.eventsOfB) == (closesAgain ? 2 : 1)
                && count(.closed(id), in: pair.eventsOfA) == (closesAgain ? 2 : 1)
        }
        #expect(done && pair.eventsOfB.contains(.open(id, options, byPeer: true)))
    }

    /// The rest of a message expires when everything before it was acknowledged: the skip is told at once, though nothing
    /// else is to be sent.
    @Test func restThatExpiresIsSkipped() throws {
        let pair = connected(seed: 31)
        let id = try pair.a.open(DataChannelOptions(label: "x", reliability: .maxPacketLifeTime(200)))
        pair.run(for: .seconds(2))
        // More than the first window holds.
        try pair.a.send([UInt8](repeating: 1, count: 60_000), kind: .binary, on: id, now: pair.now)
        while let packet = pair.a.pollTransmit(now: pair.now) { pair.b.handle(packet: packet, now: pair.now) }
        var answers: [[UInt8]] = []
        while let packet = pair.b.pollTransmit(now: pair.now) { answers.append(packet) }
        #expect(pair.b.association.reassembly.heldBytes > 10_000)
        pair.now += .milliseconds(200)
        for packet in answers { pair.a.handle(packet: packet, now: pair.now) }
        pair.drain()
        pair.run(for: .milliseconds(15))
        #expect(pair.b.association.reassembly.heldBytes == 0)
    }

    @Test func manyChannelsCloseAtOnce() throws {
        let pair = connected(seed: 9)
        var ids: [DataChannelID] = []
        for _ in 0..<1200 { ids.append(try pair.a.open(DataChannelOptions(label: "x"))) }
        pair.run(for: .seconds(5))
        for id in ids { pair.a.close(id, now: pair.now) }
        let done = pair.run(for: .seconds(30)) { pair in
            pair.eventsOfB.filter { if case .closed = $0 { true } else { false } }.count == 1200
                && pair.eventsOfA.filter { if case .closed = $0 { true } else { false } }.count == 1200
        }
        #expect(done)
    }

    /// An unanswered reset request is repeated, ever more slowly, and comes through when the path is back.
    @Test func resetRequestsBackOff() throws {
        let pair = connected(seed: 20)
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(1))
        var requests = 0
        pair.filter = { toB, packet in
            var walker = ChunkWalker(packet: packet)
            while let chunk = walker.next() { if toB, chunk.type == 130 { requests += 1 } }
            return false
        }
        pair.a.close(id, now: pair.now)
        pair.run(for: .seconds(60))
        #expect((6...13).contains(requests))
        pair.filter = nil
        let healed = pair.now
        pair.a.pathChanged(now: pair.now)
        let done = pair.run(for: .seconds(5)) {
            $0.eventsOfA.contains(.closed(id)) && $0.eventsOfB.contains(.closed(id))
        }
        #expect(done && pair.now - healed <= .milliseconds(50))
    }

    /// A full buffer keeps no channel from being opened by the peer.
    @Test func acknowledgementsPassAFullBuffer() throws {
        let pair = connected(seed: 21)
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        let big = [UInt8](repeating: 0, count: 262_144)
        while true {
            do { try pair.a.send(big, kind: .binary, on: id, now: pair.now) } catch { break }
        }
        let other = try pair.b.open(DataChannelOptions(label: "y"))
        let done = pair.run(for: .seconds(20)) {
            $0.eventsOfB.contains(.open(other, DataChannelOptions(label: "y"), byPeer: false))
        }
        #expect(done)
    }

    @Test func bufferedAmountFallsToItsThreshold() throws {
        let pair = connected(seed: 10)
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(1))
        pair.a.setBufferedAmountLowThreshold(10_000, of: id)
        let before = count(.bufferedAmountLow(id), in: pair.eventsOfA)
        for _ in 0..<100 { try pair.a.send([UInt8](repeating: 1, count: 1000), kind: .binary, on: id, now: pair.now) }
        #expect(pair.a.bufferedAmount(of: id) == 100_000)
        pair.run(for: .seconds(5))
        #expect(pair.a.bufferedAmount(of: id) == 0)
        #expect(count(.bufferedAmountLow(id), in: pair.eventsOfA) == before + 1)
    }

    // MARK: Partial reliability

    /// How often each number of `limit + 1` sendings leaves when every one is lost.
    @Test(arguments: [UInt16(0), 1, 3])
    func retransmissionLimitOnTheWire(limit: UInt16) throws {
        let pair = connected(seed: 11)
        let id = try pair.a.open(DataChannelOptions(label: "x", reliability: .maxRetransmits(limit)))
        pair.run(for: .seconds(1))
        var sendings = 0
        pair.filter = { toB, packet in
            guard toB else { return true }
            var walker = ChunkWalker(packet: packet)
            while let chunk = walker.next() {
                let data =
                    chunk.type == 64 ? DataChunk(interleaved: chunk, in: packet) : DataChunk(chunk, in: packet)
                if let data, packet[data.payload] == [7, 7] {
                    sendings += 1
                    return false
                }
            }
            return true
        }
        try pair.a.send([7, 7], kind: .binary, on: id, now: pair.now)
        pair.run(for: .milliseconds(1))
        // In a packet of its own: it waits for the first one until that is given up.
        try pair.a.send([8], kind: .binary, on: id, now: pair.now)
        let done = pair.run(for: .seconds(60)) { $0.receivedByB == [[8]] }
        #expect(done)
        pair.run(for: .seconds(30))
        #expect(sendings == Int(limit) + 1)
    }

    @Test func lifetimeCountsFromSend() throws {
        let pair = connected(seed: 12)
        let id = try pair.a.open(DataChannelOptions(label: "x", reliability: .maxPacketLifeTime(300)))
        pair.run(for: .seconds(1))
        pair.impair { $0.isCut = true }
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        // A large one, of which only the first window leaves.
        try pair.a.send([UInt8](repeating: 2, count: 200_000), kind: .binary, on: id, now: pair.now)
        pair.run(for: .seconds(2))
        #expect(pair.a.bufferedAmount(of: id) == 0)
        pair.impair { $0.isCut = false }
        try pair.a.send([3], kind: .binary, on: id, now: pair.now)
        let done = pair.run(for: .seconds(20)) { $0.receivedByB == [[3]] }
        #expect(done)
    }

    /// Lossy path, unreliable channels beside a reliable one: the reliable is complete, the others deliver whole
    /// messages in order and at most once, nothing blocks, and all memory is given back.
    @Test(arguments: UInt64(0)..<60)
    func unreliableBesideReliable(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let pair = connected(seed: seed, Impairment(loss: 0.15, duplication: 0.02, reordering: 0.1))
        let reliable = try pair.a.open(DataChannelOptions(label: "r"))
        let counted = try pair.a.open(
            DataChannelOptions(label: "c", reliability: .maxRetransmits(UInt16(seed % 2))))
        let timed = try pair.a.open(
            DataChannelOptions(label: "t", isOrdered: false, reliability: .maxPacketLifeTime(60)))
        pair.run(for: .seconds(5))
        for number in UInt8(0)..<40 {
            for id in [reliable, counted, timed] {
                let size = Int.random(in: 1...4000, using: &random)
                try pair.a.send(
                    [number] + [UInt8](repeating: number, count: size), kind: .binary, on: id, now: pair.now)
            }
            pair.run(for: .milliseconds(Int.random(in: 0...30, using: &random)))
        }
        pair.run(for: .seconds(60))
        func got(_ id: DataChannelID) -> [[UInt8]] {
            pair.eventsOfB.compactMap { if case .message(id, _, let payload) = $0 { payload } else { nil } }
        }
        #expect(got(reliable).map(\.[0]) == Array(0..<40), "seed \(seed)")
        let numbers = got(counted).map(\.[0])
        #expect(numbers == Array(Set(numbers)).sorted() && numbers.count > 10, "seed \(seed)")
        #expect(Set(got(timed).map(\.[0])).count == got(timed).count, "seed \(seed)")
        for message in got(counted) + got(timed) {
            #expect(message.allSatisfy { $0 == message[0] }, "seed \(seed)")
        }
        // Whatever was given up, new messages pass at once.
        try pair.a.send([99], kind: .binary, on: reliable, now: pair.now)
        let done = pair.run(for: .seconds(20)) { _ in got(reliable).last == [99] }
        #expect(done, "seed \(seed)")
        pair.run(for: .seconds(20))
        #expect(pair.a.nextTimeout == nil && pair.b.nextTimeout == nil, "seed \(seed): timers left")
    }
}
