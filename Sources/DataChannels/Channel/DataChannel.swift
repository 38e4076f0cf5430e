/// A data channel: messages both ways, whole, in order or not, as its options say.
///
/// Both directions hold back a sender that is too fast: ``send(_:)-(DataChannelMessage)`` waits while much is to be sent, and
/// a peer whose messages nobody reads is made to wait. May be used from any thread; messages that one task sends keep their
/// order.
public final class DataChannel: Sendable {
    let link: ChannelLink
    /// The connection that carries it.
    public let connection: PeerConnection

    init(link: ChannelLink, connection: PeerConnection) {
        self.link = link
        self.connection = connection
    }

    /// The name; several channels may share one.
    public var label: String { link.label }
    /// What it was opened as.
    public var options: DataChannelOptions { link.options }
    /// Its stream in SCTP; `nil` until it is open.
    public var id: UInt16? { link.id }
    /// How far it is.
    public var readyState: DataChannelState { link.state }
    /// The longest message that may be sent, in bytes: what the peer allows, once it is open.
    public var maximumMessageSize: Int { link.maximumMessageSize }

    // MARK: Receiving

    /// The messages that come. To be read in one place; it ends when the channel is closed and all is read.
    public var messages: DataChannelMessages { DataChannelMessages(channel: self) }

    /// Has messages handed to `handler` instead, in batches, on the endpoint's event loop: the quickest way, for code that
    /// never waits. ``trySend(_:)`` costs least there.
    ///
    /// Nothing holds back the peer then: the handler has to keep up.
    public func onMessages(_ handler: @escaping @Sendable ([DataChannelMessage]) -> Void) { link.setHandler(handler) }

    // MARK: Sending

    /// Sends a message; waits while ``bufferedAmount`` is above the high-water mark.
    ///
    /// - Throws: ``DataChannelsError/closed``, ``DataChannelsError/messageTooLarge(limit:)``, and
    ///   ``DataChannelsError/cancelled`` when the task was cancelled while it waited: then nothing was sent.
    public nonisolated(nonsending) func send(_ message: DataChannelMessage) async throws(DataChannelsError) {
        try await send(RawMessage(message))
    }

    /// Sends a text.
    public nonisolated(nonsending) func send(_ text: String) async throws(DataChannelsError) {
        try await send(RawMessage(payload: Array(text.utf8), isText: true))
    }

    /// Sends bytes.
    public nonisolated(nonsending) func send(_ bytes: [UInt8]) async throws(DataChannelsError) {
        try await send(RawMessage(payload: bytes, isText: false))
    }

    private nonisolated(nonsending) func send(_ message: RawMessage) async throws(DataChannelsError) {
        while true {
            switch link.offer(message) {
            case .taken: return
            case .refused(let error): throw error
            case .full:
                guard await link.wait(for: .room) else { throw Task.isCancelled ? .cancelled : .closed }
            }
        }
    }

    /// Sends a message if ``bufferedAmount`` is not above the high-water mark; never waits.
    ///
    /// - Returns: whether it was taken.
    public func trySend(_ message: DataChannelMessage) throws(DataChannelsError) -> Bool {
        try trySend(RawMessage(message))
    }

    /// Sends bytes if ``bufferedAmount`` is not above the high-water mark; never waits.
    public func trySend(_ bytes: [UInt8]) throws(DataChannelsError) -> Bool {
        try trySend(RawMessage(payload: bytes, isText: false))
    }

    private func trySend(_ message: RawMessage) throws(DataChannelsError) -> Bool {
        switch link.offer(message) {
        case .taken: return true
        case .full: return false
        case .refused(let error): throw error
        }
    }

    /// Bytes of messages that were given to `send` and not yet to the network.
    public var bufferedAmount: Int { link.bufferedAmount }

    /// What ``bufferedAmountLow()`` waits for, in bytes; 0 at first.
    public var bufferedAmountLowThreshold: Int {
        get { link.threshold }
        set { link.threshold = newValue }
    }

    /// Waits until ``bufferedAmount`` is at or below ``bufferedAmountLowThreshold``.
    public nonisolated(nonsending) func bufferedAmountLow() async throws(DataChannelsError) {
        guard await link.wait(for: .low) else { throw Task.isCancelled ? .cancelled : .closed }
    }

    // MARK: The beginning and the end

    /// Waits until the channel is open. Not needed for sending.
    public nonisolated(nonsending) func opened() async throws(DataChannelsError) {
        guard await link.wait(for: .open) else { throw Task.isCancelled ? .cancelled : .closed }
    }

    /// Closes the channel after what was sent on it; the peer's end closes with it.
    public func close() { link.close() }

    /// Waits until both sides have closed it; returns at once when the task is cancelled.
    public nonisolated(nonsending) func closed() async { _ = await link.wait(for: .closed) }
}

/// The messages of a channel, in the order in which they came.
public struct DataChannelMessages: AsyncSequence, Sendable {
    fileprivate let channel: DataChannel

    /// Gives out the messages. It takes what is there at once, so that most messages cost no waiting and no lock.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let channel: DataChannel
        private var batch: [RawMessage] = []
        private var index = 0

        fileprivate init(channel: DataChannel) { self.channel = channel }

        /// The next message; `nil` when the channel is closed and all is read, or the task is cancelled.
        public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> DataChannelMessage? {
            if index == batch.count {
                batch = []
                guard let next = await channel.link.next(isolation: actor) else {
                    index = 0
                    return nil
                }
                batch = next
                index = 0
            }
            defer { index += 1 }
            return batch[index].message
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(channel: channel) }
}
