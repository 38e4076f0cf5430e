import DataChannels

/// From nothing but two open endpoints to an open channel at both.
enum Setups {
    static func measure(count: Int) async throws -> Percentiles {
        var samples: [Duration] = []
        let (near, far) = (try await BenchLink.endpoint(), try await BenchLink.endpoint())
        for _ in 0..<count {
            let start = ContinuousClock.now
            let (a, b) = (try await near.connect(), try await far.connect())
            let channel = try await a.openChannel("bench")
            try await BenchLink.negotiate(a, b)
            var incoming = b.channels.makeAsyncIterator()
            guard await incoming.next() != nil else { throw DataChannelsError.closed }
            try await channel.opened()
            samples.append(ContinuousClock.now - start)
            await a.close()
            await b.close()
        }
        await near.close()
        await far.close()
        return Percentiles(samples)
    }
}
