public import SwarmBase

/// With whom this member takes part in conversations (docs/protocol.md, "Admission").
extension SwarmEngine {
    /// How long one that refuses us is left alone.
    private static let restraint = Duration.seconds(60)
    /// How often one that is refused is told so.
    private static let refusalInterval = Duration.seconds(30)

    // MARK: What the owner wants

    /// Ends the conversation with a member: what waits for it is rejected. It may come again after a minute, or as a new run.
    public mutating func kick(_ peer: PeerID, now: Instant) {
        guard let member = members[peer], member.refusal == nil else { return }
        refuse(member, .kicked, now: now)
    }

    /// Refuses a member, in this run and, where state is kept, in later ones.
    public mutating func block(member peer: PeerID, now: Instant) {
        guard peer != peerID, blockedMembers.insert(peer).inserted else { return }
        keepBlocked(peer, true)
        guard let member = members[peer] else { return }
        refuse(member, .blocked, now: now)
    }

    /// Ends what `block(member:now:)` or `kick` began.
    public mutating func unblock(member peer: PeerID, now: Instant) {
        if blockedMembers.remove(peer) != nil { keepBlocked(peer, false) }
        guard let member = members[peer], let refusal = member.refusal, refusal.reason != .notAdmitted else { return }
        welcome(member, now: now)
    }

    /// The members that are blocked, in the order of their ids.
    public var blocked: [PeerID] { blockedMembers.sorted() }

    private mutating func keepBlocked(_ peer: PeerID, _ isBlocked: Bool) {
        guard configuration.isDurable else { return }
        pendingWrites.append(StorageWrite(key: "blocked/\(peer)", value: isBlocked ? [1] : nil))
    }

    // MARK: Those we refuse

    /// Whether a run of a member is refused.
    func refusal(of record: PresenceRecord) -> Refused? {
        if blockedMembers.contains(record.peer) { return Refused(reason: .blocked) }
        guard let admits = configuration.admits else { return nil }
        return admits(Applicant(peer: record.peer, name: record.name)) ? nil : Refused(reason: .notAdmitted)
    }

    private mutating func refuse(_ member: Member, _ reason: Refused.Reason, now: Instant) {
        member.refusal = Refused(reason: reason)
        rejectWaiting(of: member, .blockedHere)
        sayRefused(to: member, now: now)
        withdraw(from: member, now: now)
    }

    /// Ends what there is with a member; only its keys stay, so that it can be told.
    private mutating func withdraw(from member: Member, now: Instant) {
        endConnection(with: member, now: now)
        member.session.pathClosed(.relay, now: now)
        member.session.pathClosed(.mesh, now: now)
        member.session.peerRestarted(now: now)
        member.negotiation.reset(now: .distantFuture)
        member.resend = nil
        member.restart = nil
        member.planes = []
        drainMemberEvents(of: member, now: now)
        tellLeft(member)
    }

    /// Tells a member that it is refused, after all that it may know of what it sent.
    mutating func sayRefused(to member: Member, now: Instant) {
        guard let refusal = member.refusal, member.cipher != nil, !isLeaving,
            refusal.saidAt.map({ now - $0 >= Self.refusalInterval }) ?? true
        else { return }
        member.refusal?.saidAt = now
        let packet = member.session.lastPacket(refusing: refusal.reason.rawValue)
        sendDirect(packet, to: member, now: now)
        guard let envelope = try? member.cipher?.seal(packet) else { return }
        if gun.isConnected { send(.envelope(envelope), to: member, now: now) }
        sendByMesh(.envelope(envelope), to: member, now: now)
    }

    /// Takes part in conversations with a member again.
    private mutating func welcome(_ member: Member, now: Instant) {
        member.refusal = nil
        guard member.cipher != nil, member.presence?.isLeaving == false else { return }
        member.negotiation.reset(now: now)
        openRelayPath(to: member, now: now)
        updateMeshPath(to: member, now: now)
        pump(member, now: now)
    }

    // MARK: Those who refuse us

    /// Whether there is to be a conversation with a member.
    func isWelcome(_ member: Member, now: Instant) -> Bool {
        member.refusal == nil && (member.refusedUs.map { now >= $0.until } ?? true)
    }

    /// A member says that it takes no part in a conversation with us.
    mutating func refused(by member: Member, _ reason: Rejection, now: Instant) {
        member.refusedUs = (reason, now + Self.restraint)
        rejectWaiting(of: member, reason)
        withdraw(from: member, now: now)
    }

    /// What waits for a member will not be handed on.
    mutating func rejectWaiting(of member: Member, _ reason: Rejection) {
        for (number, _) in member.session.abandon() {
            forgetMessage(number, of: member)
            tell(.rejected(reason), number, of: member)
        }
        for lane in Lane.all where !lane.isControl { keepOutbound(of: member, lane) }
    }

    /// Something authentic came: who speaks to us does not refuse us any more, unless it says so.
    mutating func heard(from member: Member, _ frames: [Frame] = [], now: Instant) {
        guard member.refusedUs != nil, !frames.contains(where: { if case .refused = $0 { true } else { false } }) else {
            return
        }
        member.refusedUs = nil
        welcome(member, now: now)
    }

    /// Tries again with one that was left alone, or that was sent away.
    mutating func admitAgain(_ member: Member, now: Instant) {
        guard let refused = member.refusedUs, now >= refused.until else { return }
        member.refusedUs = nil
        if member.refusal == nil { welcome(member, now: now) }
    }
}
