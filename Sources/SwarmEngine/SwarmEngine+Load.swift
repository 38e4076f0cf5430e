import SwarmBase

/// How much an engine holds: what simulations hold against its bounds, and what an operator may want to see.
public struct EngineLoad: Equatable, Sendable {
    /// Members that are known.
    public var members: Int
    /// Peer connections, offers that wait at trackers included.
    public var connections: Int
    /// Keys that envelopes may come sealed with.
    public var keys: Int
    /// Bytes of messages that wait for acknowledgement.
    public var unacknowledgedBytes: Int
    /// What the owner has not polled yet: datagrams, events, and writes.
    public var unpolled: Int
    /// Presence records that need not be opened again.
    public var presenceRecords: Int
}

extension SwarmEngine {
    /// How much it holds now.
    public var load: EngineLoad {
        EngineLoad(
            members: members.count, connections: connections.count, keys: sessionKeys.count,
            unacknowledgedBytes: members.values.reduce(0) { $0 + $1.session.backlog },
            unpolled: transmits.count + events.count + pendingWrites.count + linkProbes.count,
            presenceRecords: seenPresence.count)
    }
}
