import Gun
import SwarmBase
import WebRTC

/// One peer connection the engine made or answered. A class, since a `PeerConnection` has one owner.
final class Connection {
    let id: ConnectionID
    var peerConnection: PeerConnection
    /// With whom; `nil` while the offer waits at a tracker for whoever answers it.
    var peer: PeerID?
    /// The channel that carries the session, once it is known.
    var channel: DataChannelHandle?
    var isOpen = false
    /// Whether the offer was ours, so that we open the channels.
    var isOfferer = false
    /// The channel that carries the graph, and the link of it that is open.
    var graphChannel: DataChannelHandle?
    var graphLink: LinkID?
    /// An unanswered offer at a tracker is given up then.
    var expiresAt: Instant?
    /// ICE says the path is silent or gone since then.
    var brokenSince: Instant?

    init(id: ConnectionID, peerConnection: consuming PeerConnection, peer: PeerID?) {
        self.id = id
        self.peerConnection = peerConnection
        self.peer = peer
    }
}
