/// How many a tracker knows in one swarm (BEP 48), as it says: nobody checks it, and who has gone is counted until it expires.
public struct ScrapeReply: Hashable, Sendable {
    /// Those that have everything.
    public var complete: Int
    /// The others.
    public var incomplete: Int
    /// How many have completed so far.
    public var downloaded: Int

    public init(complete: Int, incomplete: Int, downloaded: Int) {
        self.complete = complete
        self.incomplete = incomplete
        self.downloaded = downloaded
    }

    /// What no tracker will truly count to bounds what strangers say.
    init(complete: Int64?, incomplete: Int64?, downloaded: Int64?) {
        func bounded(_ count: Int64?) -> Int { Int(min(max(count ?? 0, 0), 1_000_000_000)) }
        self.init(
            complete: bounded(complete), incomplete: bounded(incomplete), downloaded: bounded(downloaded))
    }

    /// All of them.
    public var peers: Int { complete + incomplete }
}
