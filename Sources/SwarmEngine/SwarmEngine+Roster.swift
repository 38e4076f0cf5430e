public import SwarmBase
import WebRTC

/// One member in the roster.
public struct RosterEntry: Equatable, Sendable {
    public var peer: PeerID
    /// What it calls itself; anything.
    public var name: String
    /// It was here and may come back: nothing is heard of it at present.
    public var isAway: Bool
    /// The ways that lead to it, the one in use first.
    public var paths: [PathStatus]
}

/// How it stands with one way to a member.
public struct PathStatus: Equatable, Sendable {
    public var path: PathKind
    /// Smoothed; `nil` while nothing was measured.
    public var roundTrip: Duration?
    /// The share of packets with data that had to be given up lately, 0…1.
    public var loss: Double
    /// When something came by it last.
    public var lastHeard: Instant?
    /// An answer is owed for too long: messages go another way, if there is one.
    public var isSuspect: Bool
    /// Messages go this way.
    public var isInUse: Bool
}

extension SwarmEngine {
    /// Who is here or away, in the order of their ids, and by which paths.
    public var roster: [RosterEntry] {
        members.values.filter { $0.standing != .absent }.sorted { $0.peer < $1.peer }.map { member in
            var paths = member.session.paths
            // ICE measures what is idle.
            if let connection = openConnection(of: member),
                let index = paths.firstIndex(where: { $0.path == .direct || $0.path == .turn })
            {
                paths[index].roundTrip = connection.peerConnection.roundTripTime ?? paths[index].roundTrip
                paths[index].lastHeard = connection.peerConnection.lastReceived ?? paths[index].lastHeard
            }
            return RosterEntry(
                peer: member.peer, name: member.presence?.name ?? "", isAway: member.standing == .away, paths: paths)
        }
    }
}
