import SwarmBase
import SwarmEngine
import Synchronization

/// The events that the application has not read yet.
final class EventMailbox: Sendable {
    /// Beyond this many, only messages are kept: an application that reads nothing at all loses notices, not what was said.
    static let mostNotices = 65_536

    private struct Contents {
        var events = FIFO<SwarmEvent>()
        var readers: [(id: UInt64, continuation: CheckedContinuation<SwarmEvent?, Never>)] = []
        var nextReader: UInt64 = 0
        var isFinished = false
        var lags = false
    }

    private let contents = Mutex(Contents())
    private let high: Int
    private let onKeepsUp: @Sendable () -> Void

    /// - Parameters:
    ///   - high: how many unread events are too many.
    ///   - onKeepsUp: called on the reader's thread when, after that, half of them have been read.
    init(high: Int, onKeepsUp: @escaping @Sendable () -> Void) {
        self.high = max(1, high)
        self.onKeepsUp = onKeepsUp
    }

    /// Adds an event.
    ///
    /// - Returns: whether too many are unread now.
    func append(_ event: SwarmEvent) -> Bool {
        let (reader, lags) = contents.withLock { contents -> (CheckedContinuation<SwarmEvent?, Never>?, Bool) in
            guard !contents.isFinished else { return (nil, false) }
            if !contents.readers.isEmpty { return (contents.readers.removeFirst().continuation, false) }
            if contents.events.count < Self.mostNotices || event.isMessage { contents.events.append(event) }
            if contents.events.count > high { contents.lags = true }
            return (nil, contents.lags)
        }
        reader?.resume(returning: event)
        return lags
    }

    /// No more events come.
    func finish() {
        let readers = contents.withLock { contents in
            contents.isFinished = true
            defer { contents.readers = [] }
            return contents.readers
        }
        for reader in readers { reader.continuation.resume(returning: nil) }
    }

    /// The next event; `nil` at the end, and when the task is cancelled.
    func next(isolation: isolated (any Actor)?) async -> SwarmEvent? {
        let id = contents.withLock { contents in
            contents.nextReader += 1
            return contents.nextReader
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                enum Found {
                    case event(SwarmEvent, keepsUp: Bool)
                    case end
                    case wait
                }
                let found = contents.withLock { contents -> Found in
                    if let event = contents.events.popFirst() {
                        let keepsUp = contents.lags && contents.events.count <= high / 2
                        if keepsUp { contents.lags = false }
                        return .event(event, keepsUp: keepsUp)
                    }
                    if contents.isFinished || Task.isCancelled { return .end }
                    contents.readers.append((id, continuation))
                    return .wait
                }
                switch found {
                case .event(let event, let keepsUp):
                    continuation.resume(returning: event)
                    if keepsUp { onKeepsUp() }
                case .end: continuation.resume(returning: nil)
                case .wait: break
                }
            }
        } onCancel: {
            let reader = contents.withLock { contents in
                contents.readers.firstIndex { $0.id == id }.map { contents.readers.remove(at: $0) }
            }
            reader?.continuation.resume(returning: nil)
        }
    }
}

extension SwarmEvent {
    fileprivate var isMessage: Bool {
        if case .message = self { true } else { false }
    }
}
