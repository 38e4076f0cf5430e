import DataChannels
import Dispatch
import Glibc
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
        let before = residentBytes
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
        let bytes = residentBytes - before
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

    /// What of this process is in memory.
    private static var residentBytes: Int {
        guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard unsafe fgets(&line, 128, file) != nil else { return 0 }
        let fields = String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
}
