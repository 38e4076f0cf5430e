public import SwarmBase

/// How a member behaves in a swarm.
public struct SwarmEngineConfiguration: Sendable {
    /// The name others see; cut to 64 bytes of UTF-8.
    public var name = ""
    /// WebTorrent trackers, `ws:` or `wss:` URLs.
    public var trackers: [String] = []
    /// Trackers of the BitTorrent kind, `http:` or `https:` URLs; those of UDP: see `SwarmEngine.addUDPTracker`.
    public var httpTrackers: [String] = []
    /// GUN relays, `ws:`, `wss:`, `http:` or `https:` URLs.
    public var relays: [String] = []
    /// STUN servers asked for the reflexive address of the socket.
    public var stunServers: [TransportAddress] = []
    /// Whether the mainline DHT is used.
    public var usesDHT = false
    /// Whether members are looked for on the local network (BEP 14).
    public var usesLocalNetwork = false
    /// The paths that may carry messages. Signals still travel over every plane.
    public var paths: Set<PathKind> = Set(PathKind.allCases)
    /// Whether conversations are kept by the owner: see `SwarmEngine.pollStorage()`.
    public var isDurable = false
    /// How long a signed record is good for, in either direction of the clock.
    public var freshness: Duration = .seconds(120)
    /// How often the presence record is written anew.
    public var presenceInterval: Duration = .seconds(30)
    /// How many members are kept in mind at most.
    public var mostMembers = 1024
    /// How long a new peer connection may take from answer to open channel before another is tried.
    public var connectTimeout: Duration = .seconds(12)
    /// How many offers to whoever gets them wait at trackers at most.
    public var mostOpenOffers = 50
    public var session = SessionConfiguration()
    public var mesh = MeshConfiguration()
    /// Whether a member takes part in conversations with this one; asked at each of its runs. `nil` admits everybody.
    public var admits: (@Sendable (Applicant) -> Bool)?
    /// Whether a message is taken; it is asked before the message is handed on, and the sender is told. `nil` takes all.
    public var accepts: (@Sendable (PeerID, MessageContent) -> Bool)?
    public var rekeying = RekeyingConfiguration()
    public var mail = MailConfiguration()

    public init() {}

    /// Whether peer connections are made at all. Mesh paths need them too: to those who forward.
    var usesConnections: Bool { !paths.isDisjoint(with: [.direct, .turn, .mesh]) }
    /// Whether messages go on them.
    var sendsOnConnections: Bool { !paths.isDisjoint(with: [.direct, .turn]) }
    /// Whether they may be direct.
    var connectsDirectly: Bool { !paths.isDisjoint(with: [.direct, .mesh]) }
}

/// A member that wants to take part in conversations. Its identity is authenticated: its record is signed.
public struct Applicant: Equatable, Sendable {
    public var peer: PeerID
    /// What it calls itself; anything.
    public var name: String
}
