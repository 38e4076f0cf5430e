import Gun
import SwarmBase

/// Where the mail that was left for a member ends in one lane of what we have to say to it.
struct MailCursor: Equatable, Sendable {
    var stream: UInt64 = 0
    /// The first sequence number that has not been left.
    var next: UInt64 = 0
}

/// The same in all lanes of messages.
struct MailCursors: Equatable, Sendable {
    private var lanes = [MailCursor](repeating: MailCursor(), count: Lane.ofMessages.count)

    subscript(lane: Lane) -> MailCursor {
        get { lane.isControl ? MailCursor() : lanes[lane.index] }
        set { if !lane.isControl { lanes[lane.index] = newValue } }
    }
}

/// What a member said last of what it takes. Kept under `knows/PEER`, as the flags of its presence record: mail is for those who are away.
struct MailAbilities: Equatable, Sendable {
    /// Lanes at all.
    var lanes: Bool
    /// Mail of every lane, with deadlines.
    var laneMail: Bool

    init(lanes: Bool = false, laneMail: Bool = false) {
        self.lanes = lanes
        self.laneMail = laneMail
    }

    init(flags: UInt8) { self.init(lanes: flags & 2 != 0, laneMail: flags & 8 != 0) }

    var flags: UInt8 { (lanes ? 2 : 0) | (laneMail ? 8 : 0) }
}

/// What mail is about with one other member.
struct MemberMail: Sendable {
    /// An item that has come, until what it held is noted for good.
    struct Unsettled: Sendable {
        var address: RecordAddress
        var state: Double
        var prekey: PrekeyID
        /// Without what they carried.
        var frames: [Frame]
    }

    /// Since when no session is up.
    var absentSince: Instant?
    /// When what there is to say is left.
    var dueAt: Instant?
    /// When it was last looked at whether something can be left.
    var lookedAt: Instant?
    var cursors = MailCursors()
    /// What the member is known to take, from its latest record, of this run or a former one.
    var abilities = MailAbilities()
    /// The week that numbers count in, and the next of them.
    var week = 0
    var nextNumber: UInt32 = 0
    /// What comes next is beyond what may wait: nothing more is left before something is acknowledged.
    var isFull = false
    /// The items that no relay has acknowledged, in order, with the messages that end in them.
    var underWay: [(put: PutID, messages: [UInt64], isStored: Bool)] = []

    var held = HeldPrekeys()
    /// When we say how many we hold (again).
    var stockAt: Instant?
    /// It was said since the session came up.
    var gaveStock = false
    /// When we last gave prekeys.
    var gaveAt: Instant?

    var unsettled: [Unsettled] = []
    /// When an absent member is told how far its mail has come.
    var acknowledgeAt: Instant?
    /// The lanes of which it is told then that we know the outcomes it has told us.
    var confirming: Set<Lane> = []
    /// When the streams that come from the member were first heard of, by its clock.
    var since: [UInt64: UInt64] = [:]

    /// A session is up: there is no need of mail.
    mutating func becamePresent(now: Instant) {
        absentSince = nil
        dueAt = nil
        lookedAt = nil
        acknowledgeAt = nil
        confirming = []
        isFull = false
        underWay.removeAll()
        stockAt = now
    }
}
