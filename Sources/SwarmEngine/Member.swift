import SwarmBase

/// Everything the engine keeps of one other member. A class, so that the engine changes it in place; what its next deadline depends on
/// tells the agenda of every change.
final class Member: AgendaItem {
    /// What the application was told of it last.
    enum Standing {
        /// Nothing, or that it has left.
        case absent
        case here
        case away
    }

    private let agenda: Agenda<Member>
    let peer: PeerID
    /// Its id as text: how what is kept of it is named.
    let id: String
    /// Counts the members as they become known.
    let number: Int
    var session: Session { didSet { agenda.touch(self) } }
    var negotiation: Negotiation { didSet { agenda.touch(self) } }
    /// Its inbox soul of the day, and the keys there that we write.
    var inbox = (day: 0, soul: "")
    var slots = RelaySlots() { didSet { agenda.touch(self) } }
    var presence: PresenceRecord?
    /// Its latest record that came sealed, as it came: for those who do not know it, and for itself when it dates its next one before that.
    /// A hello brings a record without.
    var sealedPresence: (record: PresenceRecord, sealed: [UInt8])?
    /// When it was shown that record last.
    var shownAt: Instant?
    /// When its latest record came.
    var heardOfAt: Instant
    /// Away, and without a fresh record: neither dialled nor written to until something is heard of it.
    var isDormant = false { didSet { agenda.touch(self) } }
    var cipher: SessionCipher? { didSet { agenda.touch(self) } }
    /// Under which names the engine finds the cipher.
    var keyIDs: Set<UInt64> = []
    /// The member's present run has answered us: it holds our presence record, which need not go with each datagram.
    var knowsUs = false
    var standing = Standing.absent
    var planes: Set<Plane> = []
    var mesh = MeshNeighbour()
    var mail = MemberMail() { didSet { agenda.touch(self) } }
    /// Why we take no part in conversations with it; `nil` when we do.
    var refusal: Refused? { didSet { agenda.touch(self) } }
    /// It takes no part in conversations with us, and is left alone for a while.
    var refusedUs: (reason: Rejection, until: Instant)? { didSet { agenda.touch(self) } }
    /// Fault injection: what would take these paths is dropped.
    var blocked: Set<PathKind> = []
    /// The last signal that waits for an answer, and when it goes out again.
    var resend: (datagram: [UInt8], at: Instant, count: Int)? { didSet { agenda.touch(self) } }
    /// Its session is asked for packets at the end of the turn.
    var awaitsFlush = false
    /// The answer we gave last, for a repeated offer.
    var lastAnswer: [UInt8]?
    /// When an ICE restart is tried (again), and how often it was.
    var restart: (at: Instant, count: Int)? { didSet { agenda.touch(self) } }

    init(
        peer: PeerID, number: Int, session: Session, negotiation: Negotiation, agenda: Agenda<Member>, now: Instant
    ) {
        self.agenda = agenda
        self.peer = peer
        id = peer.description
        self.number = number
        heardOfAt = now
        self.session = session
        self.negotiation = negotiation
        super.init()
        agenda.touch(self)
    }
}

/// That a member is refused.
struct Refused: Sendable {
    /// Why (docs/protocol.md, "Admission").
    enum Reason: UInt8, Sendable {
        case notAdmitted = 1
        case kicked = 2
        case blocked = 3

        /// What it is for the messages of one who is refused.
        var rejection: Rejection {
            switch self {
            case .notAdmitted: .notAdmitted
            case .kicked: .kicked
            case .blocked: .blocked
            }
        }
    }

    var reason: Reason
    /// When it was told last.
    var saidAt: Instant?
}
