import SwarmBase
import Testing

@Suite struct QueueTests {
    private func at(_ seconds: Double) -> Instant { .zero + .milliseconds(Int(seconds * 1000)) }

    @Test func deadlinesComeInOrder() {
        var random = SeededGenerator(seed: 3)
        var queue = DeadlineQueue<Int>()
        let moments = (0..<500).map { _ in Int.random(in: 0...50, using: &random) }
        for (order, moment) in moments.enumerated() { queue.add(moment * 1000 + order, at: at(Double(moment))) }
        #expect(queue.nextDeadline == moments.min().map { at(Double($0)) })
        var out: [Int] = []
        for moment in 0...50 {
            while let element = queue.popDue(now: at(Double(moment))) {
                #expect(element / 1000 == moment)
                out.append(element)
            }
        }
        #expect(out == out.sorted() && out.count == 500 && queue.count == 0)
    }

    @Test func fifoKeepsOrderAndForgets() {
        var queue = FIFO<Int>()
        var expected = 0
        for number in 0..<1_000 {
            queue.append(number)
            if number % 3 != 0 {
                #expect(queue.first == expected)
                #expect(queue.popFirst() == expected)
                expected += 1
            }
        }
        while let number = queue.popFirst() {
            #expect(number == expected)
            expected += 1
        }
        #expect(expected == 1_000 && queue.isEmpty && queue.first == nil)
    }

    @Test func bucketRefills() {
        var bucket = TokenBucket(rate: 10, burst: 5, now: at(0))
        for _ in 0..<5 { #expect(bucket.take(now: at(0)) == true) }
        #expect(bucket.take(now: at(0)) == false)
        #expect(bucket.take(now: at(0.05)) == false)
        #expect(bucket.take(now: at(0.2)) == true)
        #expect(bucket.take(5, now: at(100)) == true)
        #expect(bucket.take(now: at(100)) == false)
    }

    @Test func theFirstDeadlineCanBeTakenBeforeItsTime() {
        var queue = DeadlineQueue<String>()
        #expect(queue.first == nil && queue.popFirst() == nil && queue.nextDeadline == nil)
        queue.add("later", at: at(2))
        queue.add("soon", at: at(1))
        #expect(queue.first == "soon" && queue.popDue(now: at(0.5)) == nil)
        #expect(queue.popFirst() == "soon" && queue.nextDeadline == at(2))
    }
}
