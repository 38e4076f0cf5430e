/// What a connection tells its users, as sequences.
struct ConnectionReports: Sendable {
    let states: AsyncStream<ConnectionState>
    let channels: AsyncStream<ChannelLink>
    let candidates: AsyncStream<ICECandidate>
    private let stateContinuation: AsyncStream<ConnectionState>.Continuation
    private let channelContinuation: AsyncStream<ChannelLink>.Continuation
    private let candidateContinuation: AsyncStream<ICECandidate>.Continuation

    /// Channels of the peer that nobody has asked for yet; further ones are closed.
    static let mostUnreadChannels = 1024

    init() {
        // Nobody need read them all; the newest count.
        (states, stateContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
        (channels, channelContinuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingOldest(Self.mostUnreadChannels))
        (candidates, candidateContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(256))
    }

    func stateChanged(_ state: ConnectionState) { stateContinuation.yield(state) }

    /// - Returns: whether there was room for it.
    func channelOpened(_ link: ChannelLink) -> Bool {
        if case .enqueued = channelContinuation.yield(link) { true } else { false }
    }

    func found(_ candidate: ICECandidate) { candidateContinuation.yield(candidate) }

    func finish() {
        stateContinuation.finish()
        channelContinuation.finish()
        candidateContinuation.finish()
    }
}
