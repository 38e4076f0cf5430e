import Gun
import SwarmBase
import WebRTC

/// One peer connection the engine made or answered. A class, since a `PeerConnection` has one owner; what its next deadline depends
/// on tells the agenda of every change.
final class Connection: AgendaItem {
    private let agenda: Agenda<Connection>
    private var owned: PeerConnection
    let id: ConnectionID
    var peerConnection: PeerConnection {
        _read { yield owned }
        _modify {
            agenda.touch(self)
            yield &owned
        }
    }
    /// With whom; `nil` while the offer waits at a tracker for whoever answers it.
    var peer: PeerID? { didSet { changed() } }
    /// The channel that carries the session, once it is known.
    var channel: DataChannelHandle?
    var isOpen = false { didSet { changed() } }
    /// Whether the offer was ours, so that we open the channels.
    var isOfferer = false
    /// The channel that carries the graph, and the link of it that is open.
    var graphChannel: DataChannelHandle?
    var graphLink: LinkID?
    /// It is asked for datagrams at the end of the turn.
    var awaitsFlush = false
    /// An unanswered offer at a tracker is given up then.
    var expiresAt: Instant? { didSet { agenda.touch(self) } }
    /// ICE says the path is silent or gone since then.
    var brokenSince: Instant? { didSet { changed() } }
    private var stateHasChanged = false

    init(id: ConnectionID, peerConnection: consuming PeerConnection, peer: PeerID?, agenda: Agenda<Connection>) {
        self.id = id
        self.agenda = agenda
        owned = peerConnection
        self.peer = peer
        super.init()
        agenda.touch(self)
    }

    /// When the peer connection is to be called; to ask changes nothing, so it does not touch.
    var nextTimeout: Instant? { owned.nextTimeout }

    /// Whether something changed since the last call that its member asks for.
    func takeStateChange() -> Bool {
        defer { stateHasChanged = false }
        return stateHasChanged
    }

    private func changed() {
        stateHasChanged = true
        agenda.touch(self)
    }
}
