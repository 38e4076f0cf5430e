import DataChannels
import Dispatch
import JSON

/// What many connections on one port cost that have nothing to say: this process has one end of each, another process the
/// other ends, each on a port of its own.
enum IdleConnections {
    struct Cost: Sendable {
        var count: Int
        var bytesPerConnection: Double
        /// The share of one core.
        var processorShare: Double
    }

    static func measure(
        count: Int, for time: Duration, progress: (Int) async -> Void
    ) async throws -> Cost {
        let peers = try IdlePeers.launch(count: count)
        let endpoint = try await BenchLink.endpoint()
        let before = ProcessMemory.resident()
        // They live as long as somebody holds them.
        var connections: [(PeerConnection, DataChannel)] = []
        for number in 0..<count {
            let connection = try await endpoint.connect()
            let channel = try await connection.openChannel("idle")
            let answer = try await peers.answer(to: try await connection.createOffer())
            try await connection.accept(answer: answer)
            connections.append((connection, channel))
            if number % 50 == 49 {
                try await channel.opened()
                await progress(number + 1)
            }
        }
        for (_, channel) in connections { try await channel.opened() }
        // Handshakes are forgotten, and consent checks find their rhythm.
        try await Task.sleep(for: .seconds(6))
        let bytes = ProcessMemory.resident() - before
        let (start, processor) = (ContinuousClock.now, ThreadTime.ofProcess)
        try await Task.sleep(for: time)
        let share = Double(ThreadTime.ofProcess - processor) / 1e9 / (ContinuousClock.now - start).seconds
        for (connection, _) in connections where await connection.state != .connected {
            throw CommandFailure(.failed, "an idle connection did not last")
        }
        await endpoint.close()
        peers.end()
        return Cost(
            count: count, bytesPerConnection: Double(bytes) / Double(count), processorShare: share)
    }
}
