/// What an endpoint tells of itself.
public enum EndpointEvent: Hashable, Sendable {
    /// A STUN or TURN server is of no use at present: its name, and why.
    case serverFailed(String, String)
    /// The host has these addresses now; connections were told.
    case addressesChanged([String])
}

/// What happens to an endpoint, in order; the newest 256 that were not read. To be read in one place.
public struct EndpointEvents: AsyncSequence, Sendable {
    private let stream: AsyncStream<EndpointEvent>
    private let continuation: AsyncStream<EndpointEvent>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256)) }

    func report(_ event: EndpointEvent) { continuation.yield(event) }
    func finish() { continuation.finish() }

    /// Gives out the events.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncStream<EndpointEvent>.Iterator

        /// The next event; `nil` when the endpoint is closed.
        public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> EndpointEvent? {
            await base.next(isolation: actor)
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(base: stream.makeAsyncIterator()) }
}
