import SwarmBase

/// Everything the engine keeps of one other member. A class, so that the engine changes it in place.
final class Member {
    let peer: PeerID
    var session: Session
    var negotiation: Negotiation
    /// Its inbox soul of the day, and the keys there that we write.
    var inbox = (day: 0, soul: "")
    var slots = RelaySlots()
    var presence: PresenceRecord?
    /// When its latest record came.
    var heardOfAt: Instant
    /// Away, and without a fresh record: neither dialled nor written to until something is heard of it.
    var isDormant = false
    var cipher: SessionCipher?
    /// Under which names the engine finds the cipher.
    var keyIDs: Set<UInt64> = []
    /// The member's present run has answered us: it holds our presence record, which need not go with each datagram.
    var knowsUs = false
    /// The application has been told that the session is up.
    var isAnnounced = false
    var planes: Set<Plane> = []
    var mesh = MeshNeighbour()
    var mail = MemberMail()
    /// Why we take no part in conversations with it; `nil` when we do.
    var refusal: Refused?
    /// It takes no part in conversations with us, and is left alone for a while.
    var refusedUs: (reason: Rejection, until: Instant)?
    /// Fault injection: what would take these paths is dropped.
    var blocked: Set<PathKind> = []
    /// The last signal that waits for an answer, and when it goes out again.
    var resend: (datagram: [UInt8], at: Instant, count: Int)?
    /// The answer we gave last, for a repeated offer.
    var lastAnswer: [UInt8]?
    /// When an ICE restart is tried (again), and how often it was.
    var restart: (at: Instant, count: Int)?

    init(peer: PeerID, session: Session, negotiation: Negotiation, now: Instant) {
        self.peer = peer
        heardOfAt = now
        self.session = session
        self.negotiation = negotiation
    }
}

/// That a member is refused.
struct Refused: Sendable {
    /// Why (docs/protocol.md, "Admission").
    enum Reason: UInt8, Sendable {
        case notAdmitted = 1
        case kicked = 2
        case blocked = 3
    }

    var reason: Reason
    /// When it was told last.
    var saidAt: Instant?
}
