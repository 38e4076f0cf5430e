import DataChannels
import Synchronization
import Testing

/// Two endpoints on loopback, and a connection between them.
struct Pair {
    let here: PeerConnection
    let there: PeerConnection

    /// A new pair, on endpoints of its own.
    static func make(
        _ configure: (inout EndpointConfiguration) -> Void = { _ in }
    ) async throws -> Pair {
        var configuration = EndpointConfiguration()
        configuration.host = "127.0.0.1"
        configure(&configuration)
        let (first, second) = try await (Endpoint.open(configuration), Endpoint.open(configuration))
        return Pair(here: try await first.connect(), there: try await second.connect())
    }

    /// Carries an offer and its answer.
    func negotiate() async throws {
        let answer = try await there.accept(offer: try await here.createOffer())
        try await here.accept(answer: answer)
    }

    /// A connected pair with a channel, seen from both ends.
    static func withChannel(
        _ options: DataChannelOptions = DataChannelOptions(),
        _ configure: (inout EndpointConfiguration) -> Void = { _ in }
    ) async throws -> (pair: Pair, here: DataChannel, there: DataChannel) {
        let pair = try await make(configure)
        let here = try await pair.here.openChannel("main", options)
        try await pair.negotiate()
        let there = try #require(await pair.there.channels.first { _ in true })
        return (pair, here, there)
    }

    func close() async {
        await here.endpoint.close()
        await there.endpoint.close()
    }
}

/// Fails when `body` takes longer than `limit`.
func within<Result: Sendable>(
    _ limit: Duration = .seconds(30), _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(for: limit)
            throw TookTooLong()
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw TookTooLong() }
        return result
    }
}

struct TookTooLong: Error {}

/// A number that several tasks count.
final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func add(_ number: Int) { count.withLock { $0 += number } }
}
