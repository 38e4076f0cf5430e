public import JSON
import SwarmBase

/// One independent way of discovering members or of exchanging signals.
public enum Plane: String, CaseIterable, Sendable {
    /// Trackers, of every kind.
    case tracker
    /// The mainline DHT.
    case dht
    /// The GUN mesh.
    case gun
    /// The local network, by multicast.
    case lan
    /// Members that are connected already.
    case mesh
    /// What is remembered of earlier runs.
    case known
}

/// What the engine tells the application.
public enum SwarmEvent: Equatable, Sendable {
    /// A member was heard of by a plane for the first time.
    case discovered(PeerID, Plane)
    /// A session is up.
    case peer(PeerID, name: String, path: PathKind)
    /// Messages of a session go another way from now on.
    case path(PeerID, PathKind, rtt: Duration?)
    /// A message: `sequence` counts what its sender sent to us, from 1.
    case message(from: PeerID, MessageContent, path: PathKind, sequence: UInt64)
    /// A message of ours has arrived for good.
    case delivered(to: PeerID, sequence: UInt64)
    /// A message of ours waits at a relay for a member that is away: it arrives even if we are gone by then.
    case stored(to: PeerID, sequence: UInt64)
    /// A message of ours was not handed on before its deadline, and never will be.
    case expired(to: PeerID, sequence: UInt64)
    /// A message of ours was not taken, and never will be.
    case rejected(to: PeerID, sequence: UInt64, Rejection)
    /// Nothing is heard of a member any more. What is sent to it waits; it is `peer` again when it returns, and `left` when it does
    /// not for a minute.
    case away(PeerID)
    /// A member said good-bye, runs anew, or was away for too long.
    case left(PeerID)
    /// A watched soul has a new value.
    case state(soul: String, key: String, value: JSONValue)
    /// Something an operator would want to know; nothing stops because of it.
    case warning(String)
}

/// One WebSocket the engine uses: to a GUN relay or a tracker.
public struct SwarmLink: Hashable, Sendable {
    let index: Int

    /// How long a link that is probed has to answer: a round trip over a bad network, and one repetition by TCP.
    public static let probePatience: Duration = .milliseconds(1_500)
}

/// What the owner is to do with a link.
public enum LinkAction: Equatable, Sendable {
    /// Open a WebSocket to the URL; report `linkOpened` or `linkClosed`.
    case dial(SwarmLink, url: String)
    /// Send one text frame.
    case send(SwarmLink, [UInt8])
    /// Ask for a sign of life, and report `linkClosed` if none comes within ``SwarmLink/probePatience``.
    case probe(SwarmLink)
    /// Close it; no report is expected.
    case close(SwarmLink)
}

/// What the owner is to keep: all of one batch, or nothing.
public struct StorageBatch: Equatable, Sendable {
    /// Counts the batches; handed back by `SwarmEngine.stored(through:)`.
    public var id: UInt64
    public var writes: [StorageWrite]

    public init(id: UInt64, writes: [StorageWrite]) {
        self.id = id
        self.writes = writes
    }
}

/// One change to the kept state. A `nil` value removes the key.
public struct StorageWrite: Equatable, Sendable {
    public var key: String
    public var value: [UInt8]?
}

/// Why a message was not taken.
public enum SendError: Error, Equatable, Sendable {
    /// Larger than `SessionConfiguration.largestMessage`.
    case tooLarge(limit: Int)
    /// More than `SessionConfiguration.largestBacklog` bytes wait for this member.
    case backlogFull
    /// A member does not send to itself.
    case ownID
    /// Too many members are known.
    case tooManyMembers
    /// This member has blocked the other, does not admit it, or has sent it away.
    case blocked
    /// The other knows neither requests nor byte streams.
    case unsupported
}
