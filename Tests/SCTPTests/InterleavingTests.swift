import SwarmBase
import Testing

@testable import SCTP

@Suite struct InterleavedReassemblyTests {
    private struct Piece {
        var chunk: DataChunk
        var bytes: [UInt8]
    }

    private func pieces(
        stream: UInt16, identifier: UInt32, isUnordered: Bool, payload: [UInt8], cut: Int
    ) throws -> [Piece] {
        var result: [Piece] = []
        var offset = 0
        while offset < payload.count {
            let end = min(payload.count, offset + cut)
            var flags: DataChunk.Flags = isUnordered ? .unordered : []
            if offset == 0 { flags.insert(.begin) }
            if end == payload.count { flags.insert(.end) }
            var bytes: [UInt8] = []
            bytes.append(
                OutgoingChunk(
                    tsn: 1, flags: flags, stream: stream, sequence: identifier, fragment: UInt32(result.count),
                    payloadProtocol: 53, isInterleaved: true), payload: Array(payload[offset..<end]))
            let raw = RawChunk(
                type: 64, flags: flags.rawValue, value: 4..<DataChunk.interleavedHeaderSize + end - offset)
            result.append(Piece(chunk: try #require(DataChunk(interleaved: raw, in: bytes)), bytes: bytes))
            offset = end
        }
        return result
    }

    /// Fragments of many messages in any order, twice some of them: each message once, whole, ordered ones in order.
    @Test(arguments: UInt64(0)..<100)
    func anyOrderOfArrival(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var reassembly = Reassembly(maxMessageSize: 1000)
        var all: [Piece] = []
        var sent: [[UInt8]] = []
        var next: [String: UInt32] = [:]
        for number in UInt8(0)..<30 {
            let stream = UInt16.random(in: 0..<3, using: &random)
            let isUnordered = Bool.random(using: &random)
            let identifier = next["\(stream) \(isUnordered)", default: 0]
            next["\(stream) \(isUnordered)"] = identifier + 1
            let payload = [number] + random.bytes(Int.random(in: 0...60, using: &random))
            sent.append(payload)
            all += try pieces(
                stream: stream, identifier: identifier, isUnordered: isUnordered, payload: payload, cut: 7)
        }
        var inbox = Inbox()
        for piece in all.shuffled(using: &random) {
            let outcome = reassembly.add(piece.chunk, tsn: TSN(initial: 1), in: piece.bytes, to: &inbox)
            #expect(outcome == .accepted)
        }
        let got = inbox.takeMessages()
        #expect(
            got.map(\.payload).sorted { $0.lexicographicallyPrecedes($1) }
                == sent.sorted { $0.lexicographicallyPrecedes($1) }, "seed \(seed)")
        #expect(reassembly.heldBytes == 0 && reassembly.heldItems == 0 && reassembly.runCount == 0, "seed \(seed)")
    }

    /// Nonsense of a peer: fragments again, beyond the end, two ends; nothing traps, nothing comes out wrong.
    @Test(arguments: UInt64(0)..<50)
    func nonsense(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var reassembly = InterleavedReassembly(maxMessageSize: 500)
        let good = try pieces(stream: 1, identifier: 0, isUnordered: false, payload: random.bytes(70), cut: 7)
        for _ in 0..<400 {
            var piece = good.randomElement(using: &random) ?? good[0]
            if Bool.random(using: &random) {
                piece.chunk.fragment =
                    [0, 1, 5, UInt32.max, UInt32.max - 1].randomElement(using: &random) ?? 0
            }
            if Bool.random(using: &random) {
                piece.chunk.flags = DataChunk.Flags(rawValue: UInt8.random(in: 0..<3, using: &random))
            }
            if Int.random(in: 0..<20, using: &random) == 0 { reassembly.reset(1) }
            _ = reassembly.add(piece.chunk, in: piece.bytes)
            #expect(reassembly.heldBytes >= 0 && reassembly.heldItems >= 0)
        }
        reassembly.reset(1)
        #expect(reassembly.heldBytes == 0 && reassembly.heldItems == 0)
    }

    @Test func sizeLimit() throws {
        for (size, isTooLarge) in [(2200, false), (2201, true)] {
            var reassembly = Reassembly(maxMessageSize: 1000)
            var inbox = Inbox()
            var outcome = Reassembly.Outcome.accepted
            for piece in try pieces(
                stream: 0, identifier: 0, isUnordered: true, payload: [UInt8](repeating: 1, count: size), cut: 100)
            where outcome == .accepted {
                outcome = reassembly.add(piece.chunk, tsn: TSN(initial: 1), in: piece.bytes, to: &inbox)
            }
            #expect((outcome == .messageTooLarge) == isTooLarge)
        }
    }

    /// RFC 8260 §2.3.1: ordered and unordered messages are skipped apart; what comes too late is dropped.
    @Test func skip() throws {
        var reassembly = Reassembly(maxMessageSize: 1000)
        var inbox = Inbox()
        func add(_ piece: Piece) {
            _ = reassembly.add(piece.chunk, tsn: TSN(initial: 1), in: piece.bytes, to: &inbox)
        }
        let ordered = try (0..<3).map {
            try pieces(
                stream: 1, identifier: UInt32($0), isUnordered: false, payload: [UInt8($0), 1, 1], cut: 1)
        }
        let unordered = try (0..<2).map {
            try pieces(
                stream: 1, identifier: UInt32($0), isUnordered: true, payload: [UInt8($0), 2, 2], cut: 1)
        }
        add(ordered[0][0])
        add(unordered[0][1])
        add(unordered[1][1])
        for piece in ordered[1] { add(piece) }
        #expect(inbox.isEmpty && reassembly.heldBytes == 6)
        reassembly.skip(
            to: TSN(initial: 9),
            chunk: ForwardTSNChunk(
                cumulative: 9,
                skipped: [.init(stream: 1, sequence: 0), .init(stream: 1, sequence: 0, isUnordered: true)],
                isInterleaved: true), to: &inbox)
        #expect(inbox.takeMessages().map(\.payload) == [[1, 1, 1]])
        #expect(reassembly.heldBytes == 1)
        // Late, of messages that were skipped.
        add(ordered[0][1])
        add(unordered[0][2])
        #expect(reassembly.heldBytes == 1)
        add(unordered[1][0])
        add(unordered[1][2])
        for piece in ordered[2] { add(piece) }
        #expect(inbox.takeMessages().map(\.payload) == [[1, 2, 2], [2, 1, 1]])
    }
}

@Suite struct InterleavingTests {
    private func pair(
        seed: UInt64, a: Bool = true, b: Bool = true, _ change: (inout SCTPConfiguration) -> Void = { _ in }
    )
        -> ChannelPair
    {
        var first = SCTPConfiguration()
        change(&first)
        first.offersInterleaving = a
        var second = first
        second.offersInterleaving = b
        return ChannelPair(seed: seed, configuration: first, configurationOfB: second)
    }

    @Test(arguments: [(true, true), (true, false), (false, true), (false, false)])
    func onlyWhenBothOfferIt(a: Bool, b: Bool) throws {
        let pair = pair(seed: 1, a: a, b: b)
        var seen: Set<UInt8> = []
        pair.filter = { _, packet in
            var walker = ChunkWalker(packet: packet)
            while let chunk = walker.next() { seen.insert(chunk.type) }
            return true
        }
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        try pair.a.send([UInt8](repeating: 1, count: 5000), kind: .binary, on: id, now: pair.now)
        let done = pair.run(for: .seconds(2)) { $0.receivedByB.count == 1 }
        #expect(done)
        #expect(seen.contains(64) == (a && b) && seen.contains(0) == !(a && b))
        #expect(pair.a.association.isInterleaving == (a && b) && pair.b.association.isInterleaving == (a && b))
    }

    /// A small message does not wait for a large one on another channel.
    @Test(arguments: [true, false])
    func smallPassesLarge(isInterleaved: Bool) throws {
        let pair = pair(seed: 2, b: isInterleaved)
        pair.impair { $0.rate = 5e6 }
        pair.connect()
        let bulk = try pair.a.open(DataChannelOptions(label: "bulk"))
        let quick = try pair.a.open(DataChannelOptions(label: "quick"))
        pair.run(for: .seconds(1))
        try pair.a.send([UInt8](repeating: 1, count: 262_144), kind: .binary, on: bulk, now: pair.now)
        pair.run(for: .milliseconds(50))
        try pair.a.send([2], kind: .binary, on: quick, now: pair.now)
        let done = pair.run(for: .seconds(5)) { $0.receivedByB.count == 2 }
        #expect(done)
        #expect((pair.receivedByB.first == [2]) == isInterleaved)
    }

    /// Channels that all have enough to send share the path by their priorities (RFC 8831 §6.4).
    @Test func prioritiesShareThePath() throws {
        let pair = pair(seed: 3)
        pair.connect()
        let ids = try [128, 1024].map { priority in
            try pair.a.open(DataChannelOptions(label: "p", priority: UInt16(priority)))
        }
        pair.run(for: .seconds(1))
        pair.impair { $0.rate = 5e6 }
        for _ in 0..<100 {
            for id in ids {
                try pair.a.send([UInt8](repeating: UInt8(id), count: 10_000), kind: .binary, on: id, now: pair.now)
            }
        }
        pair.run(for: .milliseconds(1000))
        let high = pair.receivedByB.filter { $0[0] == UInt8(ids[1]) }.count
        let low = pair.receivedByB.filter { $0[0] == UInt8(ids[0]) }.count
        #expect(high >= 5 * low && low > 0)
    }

    /// Twenty large messages at once against a window that holds three: begun ones are finished first.
    @Test func manyLargeMessagesDoNotBlockEachOther() throws {
        let pair = pair(seed: 4) {
            $0.receiveWindow = 330_000
            $0.maxReceiveWindow = 330_000
        }
        pair.connect()
        let ids = try (0..<20).map { _ in try pair.a.open(DataChannelOptions(label: "x", isOrdered: false)) }
        pair.run(for: .seconds(1))
        for id in ids {
            try pair.a.send([UInt8](repeating: UInt8(id), count: 262_144), kind: .binary, on: id, now: pair.now)
        }
        let done = pair.run(for: .seconds(60)) { $0.receivedByB.count == 20 }
        #expect(done)
    }

    /// RFC 8260 §2.2.1: DATA where I-DATA was agreed, and the other way round, ends the association.
    @Test(arguments: [true, false])
    func mixedFormatsAreRefused(isInterleaved: Bool) throws {
        let pair = pair(seed: 5, b: isInterleaved)
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        var header: [UInt8] = []
        pair.filter = { toB, packet in
            if toB { header = Array(packet[..<12]) }
            return true
        }
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        pair.run(for: .seconds(1))
        for index in 8..<12 { header[index] = 0 }
        header.append(
            OutgoingChunk(
                tsn: pair.a.association.outstanding.nextTSN.wire, flags: [.begin, .end], stream: 0, sequence: 9,
                payloadProtocol: 53, isInterleaved: !isInterleaved), payload: [1])
        header.sealPacket()
        pair.b.handle(packet: header, now: pair.now)
        pair.drain()
        #expect(pair.eventsOfB.last == .disconnected(.protocolViolation("DATA and I-DATA mixed")))
    }
}
