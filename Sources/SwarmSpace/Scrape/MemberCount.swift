import NIOCore
import NIOPosix
import SwarmEngine
import Tracker

/// How many members a tracker knows in a swarm, by its own word: who has gone without a word is counted until he expires there.
public struct MemberCount: Hashable, Sendable {
    /// The tracker's URL.
    public let tracker: String
    /// `nil` when it does not tell.
    public let members: Int?
    /// Why it does not.
    public let reason: String?
}

extension Invite {
    /// Asks trackers how many members of this swarm they know (BEP 48, BEP 15), all at once. It joins and announces nothing; but the
    /// trackers see who asks for which swarm.
    ///
    /// - Parameters:
    ///   - others: URLs beside those of the link.
    ///   - limit: how long to wait for each.
    /// - Returns: one for each tracker, in order.
    public func countMembers(trackers others: [String] = [], within limit: Duration = .seconds(5)) async
        -> [MemberCount]
    {
        let infoHash = topic.infoHash
        let urls = Swarm.sites(trackers, others)
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        return await withTaskGroup(of: (Int, MemberCount).self) { group in
            for (index, url) in urls.enumerated() {
                group.addTask {
                    do {
                        let reply = try await eventLoop.flatSubmit {
                            TrackerScrape(eventLoop: eventLoop, infoHash: infoHash).ask(url, within: limit)
                        }.get()
                        return (index, MemberCount(tracker: url, members: reply.peers, reason: nil))
                    } catch {
                        let reason = (error as? TrackerScrape.Failure)?.reason ?? "it cannot be asked"
                        return (index, MemberCount(tracker: url, members: nil, reason: reason))
                    }
                }
            }
            var counts: [Int: MemberCount] = [:]
            for await (index, count) in group { counts[index] = count }
            return urls.indices.compactMap { counts[$0] }
        }
    }
}
