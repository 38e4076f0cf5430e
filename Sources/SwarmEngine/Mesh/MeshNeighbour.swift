import SwarmBase

/// What is known of a member as one who forwards, or for whom is forwarded (docs/protocol.md, "Mesh").
struct MeshNeighbour: Sendable {
    /// Whom it says it is connected with, by the first eight bytes of their ids.
    var neighbours: Set<UInt64> = []
    /// It hands on what is for its neighbours.
    var forwards = false
    /// Whom it was told last that we are connected with; `nil` when nothing was said on this connection.
    var told: [UInt64]?
    /// How the records of others were dated that it was given on this connection.
    var introduced: [PeerID: UInt64] = [:]
    /// Through whom we reach it now.
    var forwarder: PeerID?
    /// When that was chosen.
    var chosenAt: Instant?
    private var budget = 0.0
    private var budgetAt: Instant?

    /// Whether so many bytes of it may be forwarded now.
    mutating func mayForward(_ bytes: Int, _ limits: MeshConfiguration, now: Instant) -> Bool {
        let gained = budgetAt.map { (now - $0).milliseconds / 1000 * Double(limits.bytesPerSecond) }
        budget = min((gained.map { budget + $0 } ?? Double(limits.burst)), Double(limits.burst))
        budgetAt = now
        // What a datagram costs beside its bytes.
        let cost = Double(bytes + limits.overhead)
        guard budget >= cost else { return false }
        budget -= cost
        return true
    }
}

/// What a member does for others who do not reach each other.
public struct MeshConfiguration: Sendable {
    /// Whether it hands on sealed datagrams between two members that it is connected with.
    public var forwards = true
    /// How many bytes of each member it hands on in a second, and how many at once: a conversation in text needs a hundredth of it,
    /// a large message through it is slow rather than a burden.
    public var bytesPerSecond = 256 * 1024
    public var burst = 1024 * 1024
    /// What a datagram counts for beside its bytes: so their number is bounded too.
    public var overhead = 256

    public init() {}
}
