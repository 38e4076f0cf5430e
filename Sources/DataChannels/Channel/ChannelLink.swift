import NIOCore
import SwarmTransport
import Synchronization

/// Where the users of a channel, on whatever threads, meet its event loop: what came and is not read, what is to be sent
/// and has not been handed to the loop.
///
/// One lock and at most one wake-up of the other side per batch, however many messages.
final class ChannelLink: Sendable {
    /// What a user may wait for.
    enum Occasion {
        /// `send` may go on.
        case room
        /// The buffered amount is at or below the threshold.
        case low
        case open
        case closed
    }

    /// What became of an offered message.
    enum Offer {
        case taken
        /// Too much waits.
        case full
        case refused(DataChannelsError)
    }

    fileprivate struct Inbox {
        var unread: [RawMessage] = []
        var unreadBytes = 0
        var readers: [(id: UInt64, continuation: CheckedContinuation<[RawMessage]?, Never>)] = []
        var nextReader: UInt64 = 0
        var handler: (@Sendable ([DataChannelMessage]) -> Void)?
        var isFinished = false
        /// The loop holds messages back until this is emptied.
        var isFull = false
    }

    private struct Outbox {
        var messages: [RawMessage] = []
        /// Their bytes, and those that the loop has taken and the network has not.
        var bytes = 0
        var loopBytes = 0
        var isFlushScheduled = false
        var waiters: [(id: UInt64, occasion: Occasion, continuation: CheckedContinuation<Bool, Never>)] = []
        var nextWaiter: UInt64 = 0
        var threshold = 0
        var state = DataChannelState.connecting
        var id: UInt16?
        var maximumMessageSize: Int

        var buffered: Int { bytes + loopBytes }
    }

    let label: String
    let options: DataChannelOptions
    private let eventLoop: any EventLoop
    private let pollingInterrupt: PollingInterrupt
    private let channel: NIOLoopBoundBox<WeakChannel>
    private let inbox = Mutex(Inbox())
    private let outbox: Mutex<Outbox>
    private let mostUnreadBytes: Int
    private let mostUnreadMessages: Int
    private let highWaterMark: Int

    /// Made on the event loop, for a channel there that is attached next.
    init(
        label: String, options: DataChannelOptions, eventLoop: any EventLoop, configuration: EndpointConfiguration,
        pollingInterrupt: PollingInterrupt
    ) {
        self.label = label
        self.options = options
        self.eventLoop = eventLoop
        self.pollingInterrupt = pollingInterrupt
        channel = NIOLoopBoundBox(WeakChannel(), eventLoop: eventLoop)
        mostUnreadBytes = max(1, configuration.mostUnreadBytes)
        mostUnreadMessages = max(1, configuration.mostUnreadMessages)
        highWaterMark = max(1, configuration.highWaterMark)
        outbox = Mutex(Outbox(maximumMessageSize: configuration.maximumMessageSize))
    }

    /// Says which channel on the event loop it is the link of.
    func attach(_ channel: Channel) { self.channel.value.channel = channel }

    // MARK: Reading, by users

    /// What came since the last time; `nil` at the end, and when the task is cancelled.
    func next(isolation: isolated (any Actor)?) async -> [RawMessage]? {
        if let unread = takeUnread() { return unread }
        let id = inbox.withLock { inbox in
            inbox.nextReader += 1
            return inbox.nextReader
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                enum Found {
                    case messages([RawMessage], wasFull: Bool)
                    case end
                    case wait
                }
                let found = inbox.withLock { inbox -> Found in
                    if !inbox.unread.isEmpty {
                        let (messages, wasFull) = inbox.take()
                        return .messages(messages, wasFull: wasFull)
                    }
                    if inbox.isFinished || Task.isCancelled { return .end }
                    inbox.readers.append((id, continuation))
                    return .wait
                }
                switch found {
                case .messages(let messages, let wasFull):
                    if wasFull { tellLoop { $0.readerKeepsUp() } }
                    continuation.resume(returning: messages)
                case .end: continuation.resume(returning: nil)
                case .wait: break
                }
            }
        } onCancel: {
            let reader = inbox.withLock { inbox in
                inbox.readers.firstIndex { $0.id == id }.map { inbox.readers.remove(at: $0) }
            }
            reader?.continuation.resume(returning: nil)
        }
    }

    private func takeUnread() -> [RawMessage]? {
        let taken = inbox.withLock { $0.unread.isEmpty ? nil : $0.take() }
        guard let (messages, wasFull) = taken else { return nil }
        if wasFull { tellLoop { $0.readerKeepsUp() } }
        return messages
    }

    /// Has messages handed to `handler` on the event loop from now on, those that came already included.
    func setHandler(_ handler: @escaping @Sendable ([DataChannelMessage]) -> Void) {
        inbox.withLock { $0.handler = handler }
        tellLoop { $0.deliver() }
    }

    // MARK: Reading, by the loop

    /// Hands over what came.
    ///
    /// - Returns: whether so much is unread that the peer is to be held back.
    func deliver(_ messages: inout [RawMessage]) -> Bool {
        enum Next {
            case done(isFull: Bool)
            case resume(CheckedContinuation<[RawMessage]?, Never>, [RawMessage])
            case handle(@Sendable ([DataChannelMessage]) -> Void, [RawMessage])
        }
        let next = inbox.withLock { inbox -> Next in
            guard !inbox.isFinished else { return .done(isFull: false) }
            if let handler = inbox.handler {
                inbox.unread.append(contentsOf: messages)
                let (all, _) = inbox.take()
                return .handle(handler, all)
            }
            guard !messages.isEmpty else { return .done(isFull: inbox.isFull) }
            if !inbox.readers.isEmpty { return .resume(inbox.readers.removeFirst().continuation, messages) }
            for message in messages { inbox.unreadBytes += message.payload.count }
            inbox.unread.append(contentsOf: messages)
            inbox.isFull = inbox.unreadBytes >= mostUnreadBytes || inbox.unread.count >= mostUnreadMessages
            return .done(isFull: inbox.isFull)
        }
        messages.removeAll(keepingCapacity: messages.capacity <= 256)
        switch next {
        case .done(let isFull): return isFull
        case .resume(let reader, let batch): reader.resume(returning: batch)
        case .handle(let handler, let batch): if !batch.isEmpty { handler(batch.map(\.message)) }
        }
        return false
    }

    /// No more messages come.
    private func finishReading() {
        let readers = inbox.withLock { inbox in
            inbox.isFinished = true
            inbox.handler = nil
            defer { inbox.readers = [] }
            return inbox.readers
        }
        for reader in readers { reader.continuation.resume(returning: nil) }
    }

    // MARK: Writing, by users

    /// Takes a message to be sent, if not too much waits.
    func offer(_ message: RawMessage) -> Offer {
        enum Next {
            case taken(mustFlush: Bool)
            case other(Offer)
        }
        let next = outbox.withLock { outbox -> Next in
            guard outbox.state == .connecting || outbox.state == .open else { return .other(.refused(.closed)) }
            guard message.payload.count <= outbox.maximumMessageSize else {
                return .other(.refused(.messageTooLarge(limit: outbox.maximumMessageSize)))
            }
            guard outbox.buffered <= highWaterMark else { return .other(.full) }
            outbox.messages.append(message)
            outbox.bytes += message.payload.count
            defer { outbox.isFlushScheduled = true }
            return .taken(mustFlush: !outbox.isFlushScheduled)
        }
        switch next {
        case .other(let offer): return offer
        case .taken(let mustFlush):
            if mustFlush { tellLoop { $0.mustSend() } }
            return .taken
        }
    }

    /// Waits for an occasion.
    ///
    /// - Returns: `false` when it will not come, or the task is cancelled.
    nonisolated(nonsending) func wait(for occasion: Occasion) async -> Bool {
        let id = outbox.withLock { outbox in
            outbox.nextWaiter += 1
            return outbox.nextWaiter
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let known = outbox.withLock { outbox -> Bool? in
                    if let known = self.isThere(occasion, in: outbox) { return known }
                    if Task.isCancelled { return false }
                    outbox.waiters.append((id, occasion, continuation))
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        } onCancel: {
            let waiter = outbox.withLock { outbox in
                outbox.waiters.firstIndex { $0.id == id }.map { outbox.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume(returning: false)
        }
    }

    /// Whether an occasion is there (`true`), will never come (`false`), or is to be waited for (`nil`).
    private func isThere(_ occasion: Occasion, in outbox: Outbox) -> Bool? {
        let isOver = outbox.state == .closing || outbox.state == .closed
        switch occasion {
        // Half of it must have gone: so that a sender is woken for many messages, not for each.
        case .room: return isOver ? false : (outbox.buffered <= highWaterMark / 2 ? true : nil)
        case .low: return outbox.buffered <= outbox.threshold ? true : (isOver ? false : nil)
        case .open: return outbox.state == .open ? true : (isOver ? false : nil)
        case .closed: return outbox.state == .closed ? true : nil
        }
    }

    /// Closes the channel after what was offered.
    func close() {
        closing()
        tellLoop { $0.close() }
    }

    var state: DataChannelState { outbox.withLock { $0.state } }
    var id: UInt16? { outbox.withLock { $0.id } }
    var bufferedAmount: Int { outbox.withLock { $0.buffered } }
    var maximumMessageSize: Int { outbox.withLock { $0.maximumMessageSize } }

    var threshold: Int {
        get { outbox.withLock { $0.threshold } }
        set { change { $0.threshold = max(0, newValue) } }
    }

    // MARK: Writing, by the loop

    /// Takes what was offered.
    func takeOffered() -> [RawMessage] {
        outbox.withLock { outbox in
            let messages = outbox.messages
            // As much will come again soon, if much came now.
            outbox.messages = []
            if messages.count > 1 { outbox.messages.reserveCapacity(min(messages.count, 1024)) }
            outbox.loopBytes += outbox.bytes
            outbox.bytes = 0
            outbox.isFlushScheduled = false
            return messages
        }
    }

    /// Says how much of it the network has not taken.
    func setLoopBytes(_ bytes: Int) { change { $0.loopBytes = bytes } }

    /// Says that the channel is open, and what it is now known to be.
    func opened(id: UInt16?, maximumMessageSize: Int) {
        change {
            if $0.state == .connecting { $0.state = .open }
            $0.id = id
            $0.maximumMessageSize = maximumMessageSize
        }
    }

    func closing() {
        change { if $0.state != .closed { $0.state = .closing } }
    }

    /// Says that all is over.
    func closed() {
        change {
            $0.state = .closed
            $0.messages = []
            $0.bytes = 0
            $0.loopBytes = 0
        }
        finishReading()
    }

    private func change(_ change: (inout Outbox) -> Void) {
        let resumed = outbox.withLock { outbox -> [(CheckedContinuation<Bool, Never>, Bool)] in
            change(&outbox)
            guard !outbox.waiters.isEmpty else { return [] }
            var resumed: [(CheckedContinuation<Bool, Never>, Bool)] = []
            let waiting = outbox.waiters
            outbox.waiters = []
            for waiter in waiting {
                if let known = isThere(waiter.occasion, in: outbox) {
                    resumed.append((waiter.continuation, known))
                } else {
                    outbox.waiters.append(waiter)
                }
            }
            return resumed
        }
        for (continuation, isThere) in resumed { continuation.resume(returning: isThere) }
    }

    private func tellLoop(_ what: @escaping @Sendable (Channel) -> Void) {
        if eventLoop.inEventLoop {
            if let channel = channel.value.channel { what(channel) }
        } else {
            pollingInterrupt.raise()
            eventLoop.execute { [channel] in
                if let channel = channel.value.channel { what(channel) }
            }
        }
    }

    /// So that users do not keep alive what the loop has done with.
    struct WeakChannel {
        weak var channel: Channel?
    }
}

extension ChannelLink.Inbox {
    fileprivate mutating func take() -> (messages: [RawMessage], wasFull: Bool) {
        let result = (unread, isFull)
        unread = []
        unreadBytes = 0
        isFull = false
        return result
    }
}
