import NIOCore
import NIOPosix
import SwarmBase
import SwarmTransport

/// The connections that put a relay under load, all on one event loop of their own, and what they see.
final class RelayLoad: Sendable {
    /// What came of writing at a fixed rate to subscribers.
    struct FanOut: Sendable {
        var delivered = 0
        var expected = 0
        var seconds = 0.0
        var latencies = Percentiles([])
        /// The medians of the first and of the last fifth of the time: a queue that grows shows as a difference.
        var first = Duration.zero
        var last = Duration.zero
        /// Whether as much was written as was to be.
        var isPaced = true

        var growth: Duration { last - first }

        /// Whether the relay kept up: all has come, and no queue grew.
        var keepsUp: Bool { isPaced && delivered >= expected && growth < .milliseconds(10) }
    }

    /// What came of writing beside a flood.
    struct Flood: Sendable {
        /// Answered queries of the flood, a second.
        var misses = 0.0
        /// From a put to its acknowledgement.
        var puts = Percentiles([])
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let eventLoop: any EventLoop
    private let url: WebSocketURL

    init(_ url: WebSocketURL) {
        self.url = url
        eventLoop = group.next()
    }

    func end() async { try? await group.shutdownGracefully() }

    private func open(_ count: Int) async throws -> [NIOLoopBound<LoadClient>] {
        var clients: [NIOLoopBound<LoadClient>] = []
        while clients.count < count {
            let more = (0..<min(64, count - clients.count)).map { [url, eventLoop] _ in
                eventLoop.flatSubmit { LoadClient.open(url, on: eventLoop) }
            }
            clients += try await EventLoopFuture.whenAllSucceed(more, on: eventLoop).get()
        }
        return clients
    }

    private func close(_ clients: [NIOLoopBound<LoadClient>]) async throws {
        try await eventLoop.submit { for client in clients { client.value.close() } }.get()
    }

    // MARK: Fan-out

    /// Writes `rate` values a second, from all publishers together, to a node that all subscribers follow.
    func fanOut(publishers: Int, subscribers: Int, rate: Double, for time: Duration) async throws -> FanOut {
        let writers = try await open(publishers)
        let readers = try await open(subscribers)
        let soul = "bench/\(UInt64.random(in: 0 ... .max))"
        let run = try await eventLoop.submit { [eventLoop] in
            NIOLoopBound(FanOutRun(writers, readers, soul: soul, rate: rate), eventLoop: eventLoop)
        }.get()
        // The node is there before it is asked for: how a relay deals with misses is another question.
        try await eventLoop.submit { run.value.begin() }.get()
        try await Task.sleep(for: .milliseconds(400))
        try await eventLoop.submit { run.value.subscribe() }.get()
        try await Task.sleep(for: .milliseconds(400))
        let ticks = eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(1)) { _ in
            run.value.write()
        }
        try await Task.sleep(for: time)
        let stopped: EventLoopPromise<Void> = eventLoop.makePromise()
        ticks.cancel(promise: stopped)
        try await stopped.futureResult.get()
        // What is still under way may come, for as long again.
        let deadline = ContinuousClock.now + time
        while ContinuousClock.now < deadline, try await eventLoop.submit({ !run.value.isComplete }).get() {
            try await Task.sleep(for: .milliseconds(20))
        }
        let result = try await eventLoop.submit { run.value.result(of: time) }.get()
        try await close(writers + readers)
        return result
    }

    // MARK: Requests

    /// Keeps `window` puts under way on each of `connections`; gives how many are acknowledged a second.
    func acknowledgements(connections: Int, window: Int, for time: Duration) async throws -> Double {
        let soul = "acks/\(UInt64.random(in: 0 ... .max))"
        return try await requests(connections: connections, window: window, for: time) { client, number in
            client.put(
                id: number, soul: "\(soul)/\(number % 5000)", key: "k\(number / 5000)",
                state: MonotonicClock.wallMilliseconds, padding: "0123456789012345678901234567890123456789")
        }
    }

    /// Writes `count` nodes of about `bytes` bytes each, to be read or to fill the relay.
    func fill(_ count: Int, soul: String, bytes: Int) async throws {
        let padding = String(repeating: "x", count: bytes)
        let state = MonotonicClock.wallMilliseconds
        _ = try await requests(connections: 4, window: 250, total: count) { client, number in
            client.put(id: number, soul: "\(soul)/\(number)", key: "k", state: state, padding: padding)
        }
    }

    /// Keeps `window` queries under way on each of `connections`, for nodes that ``fill(_:soul:bytes:)`` wrote; gives how
    /// many are answered a second.
    func gets(of soul: String, nodes: Int, connections: Int, window: Int, for time: Duration) async throws -> Double {
        try await requests(connections: connections, window: window, for: time) { client, number in
            client.get(id: number, soul: "\(soul)/\(number % nodes)")
        }
    }

    /// Keeps `window` queries for nodes that do not exist under way on one connection, while another writes a value every
    /// 10 ms.
    func flood(window: Int, for time: Duration) async throws -> Flood {
        let absent = "absent/\(UInt64.random(in: 0 ... .max))"
        async let misses = requests(connections: 1, window: window, for: time) { client, number in
            client.get(id: number, soul: "\(absent)/\(number)")
        }
        let writer = try await open(1)
        let run = try await eventLoop.submit { [eventLoop] in
            NIOLoopBound(PacedPuts(writer[0].value), eventLoop: eventLoop)
        }.get()
        let ticks = eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(10)) { _ in
            run.value.write()
        }
        let answered = try await misses
        ticks.cancel()
        let latencies = try await eventLoop.submit { run.value.latencies }.get()
        try await close(writer)
        return Flood(misses: answered, puts: Percentiles(latencies))
    }

    private func requests(
        connections: Int, window: Int, for time: Duration? = nil, total: Int? = nil,
        _ request: @escaping @Sendable (LoadClient, Int) -> Void
    ) async throws -> Double {
        let clients = try await open(connections)
        let run = try await eventLoop.submit { [eventLoop] in
            NIOLoopBound(RequestRun(clients, total: total, request), eventLoop: eventLoop)
        }.get()
        let start = ContinuousClock.now
        try await eventLoop.submit { run.value.start(window: window) }.get()
        if let time {
            try await Task.sleep(for: time)
        } else {
            var before = -1
            while let (done, isDone) = try? await eventLoop.submit({ (run.value.answered, run.value.isDone) }).get(),
                !isDone
            {
                // A relay that answers nothing for that long has given up on some.
                if done == before { break }
                before = done
                for _ in 0..<100 where try await eventLoop.submit({ !run.value.isDone }).get() {
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
        }
        let answered = try await eventLoop.submit { run.value.stop() }.get()
        let seconds = (ContinuousClock.now - start).milliseconds / 1000
        try await close(clients)
        return Double(answered) / seconds
    }

    // MARK: Idle

    /// Opens connections that do nothing but follow a node each.
    ///
    /// - Returns: what closes them.
    func idle(_ count: Int) async throws -> @Sendable () async throws -> Void {
        let clients = try await open(count)
        try await eventLoop.submit {
            for (number, client) in clients.enumerated() { client.value.get(id: number, soul: "idle/\(number)") }
        }.get()
        return { try await self.close(clients) }
    }
}

/// A run of ``RelayLoad/fanOut(publishers:subscribers:rate:for:)`` on its event loop.
private final class FanOutRun {
    private let writers: [NIOLoopBound<LoadClient>]
    private let readers: [NIOLoopBound<LoadClient>]
    private let soul: String
    private let rate: Double
    private let state = MonotonicClock.wallMilliseconds - 1_000_000
    private var start: UInt64?
    private var written = 0
    private var samples: [(sent: UInt64, latency: UInt64)] = []

    init(_ writers: [NIOLoopBound<LoadClient>], _ readers: [NIOLoopBound<LoadClient>], soul: String, rate: Double) {
        self.writers = writers
        self.readers = readers
        self.soul = soul
        self.rate = rate
    }

    func begin() { writers[0].value.put(id: -1, soul: soul, key: "begin", state: state) }

    func subscribe() {
        for (number, reader) in readers.enumerated() {
            reader.value.onValue = { [weak self] sent in
                // What was written before the start is no sample.
                guard let self, let start = self.start, sent >= start else { return }
                self.samples.append((sent, LoadClient.now - sent))
            }
            reader.value.get(id: number, soul: soul)
        }
    }

    func write() {
        let now = LoadClient.now
        let begin = start ?? now
        start = begin
        let due = Int(Double(now - begin) / 1e9 * rate)
        while written < due {
            // Keys take turns, so that a relay which sends only the last of many writes of a key has nothing to leave out.
            writers[written % writers.count].value.put(
                id: written, soul: soul, key: "k\(written % 1000)", state: state + Double(written))
            written += 1
        }
    }

    var isComplete: Bool { samples.count >= written * readers.count }

    func result(of time: Duration) -> RelayLoad.FanOut {
        var result = RelayLoad.FanOut()
        result.delivered = samples.count
        result.expected = written * readers.count
        result.seconds = time.milliseconds / 1000
        result.latencies = Percentiles(samples.map { .nanoseconds(Int64(clamping: $0.latency)) })
        let begin = start ?? 0
        let fifth = UInt64(result.seconds * 1e9 / 5)
        func median(_ isWanted: (UInt64) -> Bool) -> Duration {
            Percentiles(
                samples.filter { isWanted($0.sent - begin) }.map { .nanoseconds(Int64(clamping: $0.latency)) })[0.5]
        }
        result.first = median { $0 < fifth }
        result.last = median { $0 >= 4 * fifth }
        result.isPaced = Double(written) >= 0.95 * rate * result.seconds
        for reader in readers { reader.value.onValue = nil }
        return result
    }
}

/// One put at a time, and how long each took to be acknowledged.
private final class PacedPuts {
    private let client: LoadClient
    private let soul = "paced/\(UInt64.random(in: 0 ... .max))"
    private var number = 0
    private var sent: UInt64?
    private(set) var latencies: [Duration] = []

    init(_ client: LoadClient) {
        self.client = client
        client.onAnswers = { [weak self] _ in self?.acknowledged() }
    }

    func write() {
        // One that is late makes the next wait, and counts for both.
        guard sent == nil else { return }
        number += 1
        sent = LoadClient.now
        client.put(id: number, soul: "\(soul)/\(number % 100)", key: "k", state: MonotonicClock.wallMilliseconds)
    }

    private func acknowledged() {
        guard let start = sent else { return }
        sent = nil
        latencies.append(.nanoseconds(Int64(clamping: LoadClient.now - start)))
    }
}

/// Requests that are under way on several connections, a new one for each answer.
private final class RequestRun {
    private let clients: [NIOLoopBound<LoadClient>]
    private let total: Int?
    private let request: @Sendable (LoadClient, Int) -> Void
    private(set) var answered = 0
    private var next = 0
    private var isStopped = false

    init(
        _ clients: [NIOLoopBound<LoadClient>], total: Int?, _ request: @escaping @Sendable (LoadClient, Int) -> Void
    ) {
        self.clients = clients
        self.total = total
        self.request = request
    }

    var isDone: Bool { total.map { answered >= $0 } ?? false }

    func start(window: Int) {
        for client in clients {
            let client = client.value
            client.onAnswers = { [weak self, weak client] count in
                guard let self, let client, !self.isStopped else { return }
                self.answered += count
                self.send(count, on: client)
            }
            send(window, on: client)
        }
    }

    private func send(_ count: Int, on client: LoadClient) {
        for _ in 0..<count where total.map({ next < $0 }) ?? true {
            request(client, next)
            next += 1
        }
    }

    func stop() -> Int {
        isStopped = true
        return answered
    }
}
