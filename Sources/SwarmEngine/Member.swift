import SwarmBase

/// Everything the engine keeps of one other member. A class, so that the engine changes it in place.
final class Member {
    let peer: PeerID
    /// The member's name in the souls of the swarm.
    let inbox: String
    var session: Session
    var negotiation: Negotiation
    var slots = RelaySlots()
    var presence: PresenceRecord?
    var cipher: EnvelopeCipher?
    /// The member's present run has answered us: it holds our presence record, which need not go with each datagram.
    var knowsUs = false
    /// The application has been told that the session is up.
    var isAnnounced = false
    var planes: Set<Plane> = []
    /// Fault injection: what would take these paths is dropped.
    var blocked: Set<PathKind> = []
    /// The last signal that waits for an answer, and when it goes out again.
    var resend: (datagram: [UInt8], at: Instant, count: Int)?
    /// The answer we gave last, for a repeated offer.
    var lastAnswer: [UInt8]?
    /// When an ICE restart is tried (again), and how often it was.
    var restart: (at: Instant, count: Int)?

    init(peer: PeerID, inbox: String, session: Session, negotiation: Negotiation) {
        self.peer = peer
        self.inbox = inbox
        self.session = session
        self.negotiation = negotiation
    }
}
