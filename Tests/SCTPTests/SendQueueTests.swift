import SwarmBase
import Testing

@testable import SCTP

@Suite struct SlotIndexTests {
    @Test func bothEnds() {
        var index = SlotIndex()
        #expect(index[0] == nil && index[.max] == nil)
        index[65_535] = 65_534
        index[0] = 0
        #expect(index[65_535] == 65_534 && index[0] == 0 && index[1] == nil)
        #expect(index.streams == [0, 65_535])
        index[0] = nil
        #expect(index[0] == nil && index.streams == [65_535])
        var empty = SlotIndex()
        empty[9] = nil
        #expect(empty.streams.isEmpty)
    }
}

@Suite struct RingBufferTests {
    @Test func growsAndWraps() {
        var ring = RingBuffer(filler: -1)
        var model: [Int] = []
        var random = SeededGenerator(seed: 1)
        for number in 0..<5000 {
            if Int.random(in: 0..<5, using: &random) < 3 {
                ring.append(number)
                model.append(number)
            } else {
                #expect(ring.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            }
            #expect(ring.count == model.count && ring.first == model.first && ring.last == model.last)
        }
        for index in model.indices { #expect(ring[index] == model[index]) }
        ring.removeAll()
        #expect(ring.isEmpty && ring.popFirst() == nil)
    }
}

@Suite struct SendQueueTests {
    private func enqueue(
        _ count: Int, on stream: UInt16, to queue: inout SendQueue, unordered: Bool = false,
        deadline: Instant = .distantFuture
    ) {
        queue.enqueue(
            [UInt8](repeating: 1, count: count), payloadProtocol: 53, on: stream, isUnordered: unordered,
            maxRetransmits: nil, deadline: deadline)
    }

    @Test func takesTurnsByMessage() throws {
        var queue = SendQueue()
        for _ in 0..<2 { for stream in [UInt16(1), 2, 3] { enqueue(25, on: stream, to: &queue) } }
        var order: [UInt16] = []
        var flags: [DataChunk.Flags] = []
        while queue.nextLength(now: .zero) != nil {
            let fragment = try required(queue.take(10))
            order.append(queue[fragment.message].stream)
            flags.append(fragment.flags)
        }
        // No fragment of another message comes between those of one.
        #expect(order == [1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3])
        #expect(Array(flags[..<4]) == [.begin, [], .end, .begin])
        #expect(queue.isEmpty && queue.bufferedBytes == 0)
    }

    @Test func sequenceNumbersAreForOrderedMessages() throws {
        var queue = SendQueue()
        enqueue(1, on: 1, to: &queue)
        enqueue(1, on: 1, to: &queue, unordered: true)
        enqueue(1, on: 1, to: &queue)
        var got: [(UInt32, DataChunk.Flags)] = []
        while queue.nextLength(now: .zero) != nil {
            let fragment = try required(queue.take(10))
            got.append((queue[fragment.message].sequence, fragment.flags))
        }
        #expect(got.map(\.0) == [0, 0, 1])
        #expect(got.map(\.1) == [[.begin, .end], [.begin, .end, .unordered], [.begin, .end]])
    }

    @Test func expiredMessagesUseNoNumber() throws {
        var queue = SendQueue()
        enqueue(5, on: 1, to: &queue, deadline: Instant(nanoseconds: 10))
        enqueue(5, on: 1, to: &queue)
        #expect(queue.nextLength(now: Instant(nanoseconds: 10)) == 5)
        #expect(queue.bufferedBytes(of: 1) == 5)
        let piece = try required(queue.take(5))
        #expect(queue[piece.message].sequence == 0)
        #expect(queue.nextLength(now: .zero) == nil)
    }

    @Test func tellsWhenItFallsToTheThreshold() {
        var queue = SendQueue()
        queue.setLowThreshold(10, of: 1)
        enqueue(30, on: 1, to: &queue)
        #expect(queue.nextLength(now: .zero) == 30)
        _ = queue.take(19)
        #expect(queue.fallenLow.isEmpty)
        _ = queue.take(1)
        #expect(queue.fallenLow == [1])
        _ = queue.take(10)
        #expect(queue.fallenLow == [1])
    }

    @Test func closingStreamDrains() throws {
        var queue = SendQueue()
        enqueue(10, on: 1, to: &queue)
        enqueue(10, on: 1, to: &queue)
        #expect(queue.nextLength(now: .zero) == 10)
        let first = try required(queue.take(5))
        queue.close(1, discarding: true)
        #expect(queue.isClosing(1) && !queue.isDrained(1) && queue.bufferedBytes == 5)
        // The message of which a part was sent goes on.
        let rest = try required(queue.take(9))
        #expect(rest.offset == 5 && rest.length == 5)
        #expect(queue.isEmpty && !queue.isDrained(1) && !queue.didDrainClosingStream)
        queue.settle(first.message)
        queue.settle(first.message)
        #expect(queue.isDrained(1) && queue.didDrainClosingStream)
        queue.reopen(1, resetSequence: true)
        enqueue(1, on: 1, to: &queue)
        #expect(queue.nextLength(now: .zero) == 1)
        let again = try required(queue.take(9))
        #expect(queue[again.message].sequence == 0)
    }

    /// What was not sent goes, and an end of no bytes stands for it; a message that was sent whole has no such rest.
    @Test func abandonsTheRestOfAMessage() throws {
        var queue = SendQueue()
        enqueue(10, on: 1, to: &queue)
        #expect(queue.nextLength(now: .zero) == 10)
        let piece = try required(queue.take(4))
        let end = try required(queue.abandon(piece.message))
        #expect(end.offset == 10 && end.length == 0 && end.number == 1 && end.flags == .end)
        #expect(queue.isEmpty && queue.bufferedBytes == 0 && queue.waitingMessages == 0)
        #expect(queue.abandon(piece.message) == nil)
        #expect(queue.messageCount == 1)
        queue.settle(piece.message)
        queue.settle(piece.message)
        #expect(queue.messageCount == 0)
    }

    // MARK: Interleaving

    /// By fragment, each stream in proportion to its weight.
    @Test func interleavesByWeight() throws {
        var queue = SendQueue()
        queue.interleave()
        for (stream, weight) in [(UInt16(1), UInt16(128)), (2, 256), (3, 512), (4, 1024), (5, 0)] {
            queue.setWeight(weight, of: stream)
            enqueue(2_000_000, on: stream, to: &queue)
        }
        var bytes: [UInt16: Int] = [:]
        for _ in 0..<2176 {
            #expect(queue.nextLength(now: .zero) != nil)
            let piece = try required(queue.take(1000))
            bytes[queue[piece.message].stream, default: 0] += piece.length
        }
        // 128 + 256 + 512 + 1024 + 256 (0 is normal) = 2176.
        for (stream, share) in [(UInt16(1), 128), (2, 256), (3, 512), (4, 1024), (5, 256)] {
            #expect(abs((bytes[stream] ?? 0) - share * 1000) <= 8000, "stream \(stream)")
        }
    }

    /// A stream that slept gets its share from now on, not what it has not used.
    @Test func sleepersHaveNoCredit() throws {
        var queue = SendQueue()
        queue.interleave()
        enqueue(100_000, on: 1, to: &queue)
        for _ in 0..<50 {
            _ = queue.nextLength(now: .zero)
            _ = queue.take(1000)
        }
        enqueue(50_000, on: 2, to: &queue)
        var second = 0
        for _ in 0..<20 {
            _ = queue.nextLength(now: .zero)
            let piece = try required(queue.take(1000))
            if queue[piece.message].stream == 2 { second += 1 }
        }
        #expect((9...11).contains(second))
    }

    /// Fragments and messages are numbered per message and kind; every byte leaves once.
    @Test(arguments: UInt64(0)..<30)
    func interleavedPiecesAreComplete(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var queue = SendQueue()
        queue.interleave()
        if Bool.random(using: &random) { queue.maxStartedBytes = 500 }
        var sizes: [String: Int] = [:]
        var counters: [String: Int] = [:]
        for _ in 0..<60 {
            let stream = UInt16.random(in: 0..<5, using: &random)
            let unordered = Bool.random(using: &random)
            let size = Int.random(in: 1...400, using: &random)
            enqueue(size, on: stream, to: &queue, unordered: unordered)
            let kind = "\(stream) \(unordered)"
            sizes["\(kind) \(counters[kind, default: 0])"] = size
            counters[kind, default: 0] += 1
        }
        var next: [Int: (number: UInt32, offset: Int)] = [:]
        var places: [Int] = []
        while queue.nextLength(now: .zero) != nil {
            let piece = try required(queue.take(Int.random(in: 1...150, using: &random)))
            let expected = next[piece.message] ?? (0, 0)
            #expect(piece.number == expected.number && piece.offset == expected.offset, "seed \(seed)")
            #expect(piece.flags.contains(.begin) == (expected.number == 0), "seed \(seed)")
            next[piece.message] = (piece.number + 1, piece.offset + piece.length)
            places.append(piece.message)
            if piece.flags.contains(.end) {
                let message = queue[piece.message]
                let key = "\(message.stream) \(message.isUnordered) \(message.sequence)"
                #expect(sizes.removeValue(forKey: key) == piece.offset + piece.length, "seed \(seed)")
            }
        }
        #expect(sizes.isEmpty && queue.isEmpty && queue.bufferedBytes == 0 && queue.waitingMessages == 0)
        for place in places { queue.settle(place) }
        #expect(queue.messageCount == 0)
    }

    /// No further message of several fragments is begun while those begun fill the peer's share.
    @Test func beginningsAreBounded() throws {
        var queue = SendQueue()
        queue.interleave()
        queue.maxStartedBytes = 2500
        for stream in UInt16(0)..<10 { enqueue(1000, on: stream, to: &queue) }
        var begun = 0
        var most = 0
        while queue.nextLength(now: .zero) != nil {
            let piece = try required(queue.take(100))
            if piece.flags.contains(.begin) { begun += 1 }
            most = max(most, begun)
            if piece.flags.contains(.end) { begun -= 1 }
        }
        #expect(most == 2)
    }
}
