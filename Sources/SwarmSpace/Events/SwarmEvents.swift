public import SwarmEngine

/// What happens in a swarm, in order.
///
/// Each event is given out once: iterate in one place. When more than `SwarmConfiguration.mostUnreadEvents` are unread,
/// the members are asked to send no more until half of them have been read, so nothing of what they say is ever dropped.
/// The sequence ends after `Swarm.leave()`, when everything that had arrived by then has been read.
public struct SwarmEvents: AsyncSequence, Sendable {
    let mailbox: EventMailbox

    /// Gives out the events.
    public struct Iterator: AsyncIteratorProtocol {
        let mailbox: EventMailbox

        /// The next event; `nil` when the swarm has been left and all is read, or the task is cancelled.
        public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async -> SwarmEvent? {
            await mailbox.next(isolation: actor)
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(mailbox: mailbox) }
}
