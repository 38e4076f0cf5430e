import DataChannels
import Synchronization

/// How much goes through one channel while the sender never stops.
struct Throughput: Sendable {
    var bytes = 0
    var messages = 0
    var elapsed = Duration.zero
    /// Processor time of the whole process, both ends and the kernel's part in it.
    var processorTime = Duration.zero
    var datagrams = 0

    var megabitsPerSecond: Double { Double(bytes) * 8 / 1e6 / elapsed.seconds }
    var messagesPerSecond: Double { Double(messages) / elapsed.seconds }
    /// Of the whole process for each datagram sent by either end.
    var nanosecondsPerDatagram: Double { processorTime.seconds * 1e9 / Double(max(1, datagrams)) }

    /// Sends messages of one size for a while.
    static func measure(_ link: BenchLink, messageSize: Int, for time: Duration) async throws -> Throughput {
        let counted = Counter()
        let receiving = Task {
            for await message in link.channels.far.messages { counted.add(message.byteCount) }
        }
        defer { receiving.cancel() }
        let message = [UInt8](repeating: 0x5a, count: messageSize)
        let sending = Task {
            while !Task.isCancelled { try await link.channels.near.send(message) }
        }
        // The start is not counted: a path is faster when it is known.
        try await Task.sleep(for: time / 5)
        let before = await snapshot(link, counted)
        try await Task.sleep(for: time)
        let after = await snapshot(link, counted)
        sending.cancel()
        _ = await sending.result
        return Throughput(
            bytes: after.bytes - before.bytes, messages: after.messages - before.messages,
            elapsed: after.moment - before.moment, processorTime: .nanoseconds(after.processor - before.processor),
            datagrams: after.datagrams - before.datagrams)
    }

    private static func snapshot(
        _ link: BenchLink, _ counter: Counter
    ) async -> (bytes: Int, messages: Int, moment: ContinuousClock.Instant, processor: Int, datagrams: Int) {
        let sent = await (link.near.statistics().packetsSent, link.far.statistics().packetsSent)
        let (bytes, messages) = counter.value
        return (bytes, messages, .now, ThreadTime.ofProcess, sent.0 + sent.1)
    }
}

/// Counts what one task receives, for another to read.
private final class Counter: Sendable {
    private let bytes = Atomic(0)
    private let messages = Atomic(0)

    func add(_ count: Int) {
        bytes.wrappingAdd(count, ordering: .relaxed)
        messages.wrappingAdd(1, ordering: .relaxed)
    }

    var value: (bytes: Int, messages: Int) { (bytes.load(ordering: .relaxed), messages.load(ordering: .relaxed)) }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
