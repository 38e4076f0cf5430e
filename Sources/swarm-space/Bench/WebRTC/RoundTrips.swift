import DataChannels

/// One message there and back, again and again.
enum RoundTrips {
    static func measure(_ link: BenchLink, messageSize: Int, count: Int) async throws -> Percentiles {
        let far = link.channels.far
        far.onMessages { messages in
            for message in messages { _ = try? far.trySend(message) }
        }
        let near = link.channels.near
        // On the loop of the socket, as a program would that minds microseconds.
        let samples = try await Task(executorPreference: link.near.taskExecutor) {
            let message = [UInt8](repeating: 0x5a, count: messageSize)
            var answers = near.messages.makeAsyncIterator()
            var samples: [Duration] = []
            samples.reserveCapacity(count)
            for number in 0..<count + count / 10 {
                let start = ContinuousClock.now
                try await near.send(message)
                guard await answers.next() != nil else { throw DataChannelsError.closed }
                // The first tenth warms up.
                if number >= count / 10 { samples.append(ContinuousClock.now - start) }
            }
            return samples
        }.value
        return Percentiles(samples)
    }
}
