import SwarmBase
import Testing

@testable import SCTP

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
            order.append(fragment.message.stream)
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
        var got: [(UInt16, DataChunk.Flags)] = []
        while queue.nextLength(now: .zero) != nil {
            let fragment = try required(queue.take(10))
            got.append((fragment.message.streamSequence, fragment.flags))
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
        #expect(try required(queue.take(5)).message.streamSequence == 0)
        #expect(queue.nextLength(now: .zero) == nil)
    }

    @Test func tellsWhenItFallsToTheThreshold() {
        var queue = SendQueue()
        queue.setLowThreshold(10, of: 1)
        enqueue(30, on: 1, to: &queue)
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
        let first = try required(queue.take(5))
        queue.close(1, discarding: true)
        #expect(queue.isClosing(1) && !queue.isDrained(1) && queue.bufferedBytes == 5)
        // The message of which a part was sent goes on.
        #expect(try required(queue.take(9)).range == 5..<10)
        #expect(queue.isEmpty && !queue.isDrained(1) && !queue.didDrainClosingStream)
        queue.settle(slot: first.message.slot)
        queue.settle(slot: first.message.slot)
        #expect(queue.isDrained(1) && queue.didDrainClosingStream)
        queue.reopen(1, resetSequence: true)
        enqueue(1, on: 1, to: &queue)
        #expect(try required(queue.take(9)).message.streamSequence == 0)
    }

    @Test func discardsOnlyTheRestOfTheServedMessage() throws {
        var queue = SendQueue()
        enqueue(10, on: 1, to: &queue)
        #expect(queue.servedMessageID == nil)
        let id = try required(queue.take(4)).message.id
        #expect(queue.servedMessageID == id)
        #expect(queue.discardRest(of: id + 1) == nil)
        #expect(queue.discardRest(of: id)?.payload.count == 10)
        #expect(queue.isEmpty && queue.bufferedBytes == 0)
    }
}
