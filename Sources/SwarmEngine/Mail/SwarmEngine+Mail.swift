import Gun
import SwarmBase

/// Leaving mail for members that are away (docs/protocol.md, "Mail").
extension SwarmEngine {
    /// What waits for the disk before it is left.
    struct MailToLeave {
        var soul: Soul
        var key: String
        var item: [UInt8]
        var messages: [UInt64]
    }

    /// The weeks since 1970.
    func week(_ now: Instant) -> Int { day(now) / 7 }

    /// The weeks whose mail is read and kept.
    func mailWeeks(_ now: Instant) -> [Int] { [week(now) - 1, week(now)] }

    func mailSoul(of peer: PeerID, week: Int) -> Soul? { Soul(topic.mailSoul(of: peer, week: week)) }

    /// Does what is due between us and a member.
    mutating func runMail(with member: Member, now: Instant) {
        guard usesMail, !isLeaving else { return }
        if member.session.isUp {
            if member.mail.absentSince != nil { member.mail.becamePresent(now: now) }
            return sayStock(to: member, now: now)
        }
        if member.mail.absentSince == nil {
            member.mail.absentSince = now
            member.mail.gaveStock = false
        }
        member.mail.lookedAt = now
        if let at = member.mail.acknowledgeAt, now >= at { leaveAcknowledgement(for: member, now: now) }
        member.mail.dueAt = leavingAt(member, now: now)
        if let at = member.mail.dueAt, now >= at { leaveMail(for: member, now: now) }
    }

    /// When something is due between us and a member; `nil` when nothing is.
    func mailTimeout(of member: Member) -> Instant? {
        guard usesMail, !isLeaving else { return nil }
        if member.session.isUp { return member.mail.stockAt }
        guard member.mail.absentSince != nil else { return .zero }
        let next: Instant? = .earlier(member.mail.dueAt, member.mail.acknowledgeAt)
        // Whether it can be left is looked at when something was said, and every second from then on.
        guard member.mail.dueAt == nil, !member.mail.held.isEmpty, hasMail(for: member) else { return next }
        return .earlier(next, member.mail.lookedAt.map { $0 + .seconds(1) } ?? .zero)
    }

    private func hasMail(for member: Member) -> Bool {
        member.session.hasMail(after: member.mail.cursors, knowsLanes: member.mail.abilities.laneMail)
    }

    /// When what there is to say is to be left, if it can be.
    private func leavingAt(_ member: Member, now: Instant) -> Instant? {
        guard let since = member.mail.absentSince, canLeave(to: member, now: now), hasMail(for: member),
            !member.mail.isFull, !member.blocked.contains(.relay)
        else { return nil }
        return max(since + configuration.mail.absence, member.mail.dueAt ?? now + configuration.mail.gathering)
    }

    /// Whether there is a key to seal mail to, and somebody to take it.
    private func canLeave(to member: Member, now: Instant) -> Bool {
        guard !member.mail.held.isEmpty, isWelcome(member, now: now),
            let soul = mailSoul(of: member.peer, week: week(now))
        else { return false }
        return gun.isConnected || gun.isFollowed(soul)
    }

    private mutating func leaveMail(for member: Member, now: Instant) {
        member.mail.dueAt = nil
        let week = week(now)
        guard let soul = mailSoul(of: member.peer, week: week) else { return }
        if member.mail.week != week {
            member.mail.week = week
            member.mail.nextNumber = 0
        }
        var waiting = member.session.bytes(leftBefore: member.mail.cursors)
        while let packet = member.session.mail(
            after: member.mail.cursors, limit: configuration.session.largestPacket,
            knowsLanes: member.mail.abilities.laneMail, wall: { milliseconds($0) })
        {
            waiting += packet.bytes.count
            member.mail.isFull = waiting > configuration.mail.largestBacklog
            guard !member.mail.isFull, let prekey = member.mail.held.take(wall: milliseconds(now)),
                let item = sealed(packet.bytes, to: prekey, of: member, now: now)
            else { break }
            let key = MailInbox.key(tag, .item(member.mail.nextNumber))
            member.mail.cursors = packet.end
            member.session.leftAsMail(before: packet.end)
            member.mail.nextNumber += 1
            let mail = MailToLeave(soul: soul, key: key, item: item, messages: packet.messages)
            if configuration.isDurable {
                // A number or a key that is used twice would lose what was left under it first.
                pendingConsequences.append(.leave(member.peer, mail))
            } else {
                leave(mail, for: member, now: now)
            }
        }
        keepMailed(of: member)
        keepHeld(of: member)
        drainGun(now: now)
    }

    private mutating func sealed(
        _ packet: [UInt8], to prekey: Prekey, of member: Member, now: Instant
    ) -> [UInt8]? {
        try? MailItem(sender: peerID, recipient: member.peer, timestamp: milliseconds(now), packet: packet)
            .sealed(by: identity, to: prekey, topic: topic)
    }

    /// Puts an item where its recipient looks for it.
    mutating func leave(_ mail: MailToLeave, for member: Member, now: Instant) {
        guard let put = put(mail.item, for: member.peer, key: mail.key, of: mail.soul, now: now) else { return }
        if member.mail.absentSince != nil { member.mail.underWay.append((put, mail.messages, false)) }
    }

    private mutating func put(
        _ item: [UInt8], for peer: PeerID, key: String, of soul: Soul, now: Instant
    ) -> PutID? {
        gun.leave(
            item.base64URL, for: peer, key: key, of: soul,
            state: mailClock.next(wall: wall(now) - RelaySlots.stateLag), now: now)
    }

    /// A relay has acknowledged an item for a member: the messages of which it has everything are stored.
    mutating func mailStored(_ put: PutID, for peer: PeerID) {
        guard let member = members[peer], let index = member.mail.underWay.firstIndex(where: { $0.put == put }) else {
            return
        }
        member.mail.underWay[index].isStored = true
        while let first = member.mail.underWay.first, first.isStored {
            member.mail.underWay.removeFirst()
            for message in first.messages { events.append(.stored(to: peer, sequence: message)) }
        }
    }

    /// Tells a sender that is away how far its mail has come, and that we know what became of ours.
    private mutating func leaveAcknowledgement(for member: Member, now: Instant) {
        member.mail.acknowledgeAt = nil
        let confirming = member.mail.confirming
        member.mail.confirming = []
        guard canLeave(to: member, now: now), let prekey = member.mail.held.reusable(wall: milliseconds(now)),
            let packet = member.session.acknowledgementPacket(
                confirming: confirming, limit: configuration.session.largestPacket,
                knowsLanes: member.mail.abilities.laneMail),
            let soul = mailSoul(of: member.peer, week: week(now)),
            let item = sealed(packet, to: prekey, of: member, now: now)
        else { return }
        _ = put(item, for: member.peer, key: MailInbox.key(tag, .acknowledgement), of: soul, now: now)
        drainGun(now: now)
    }

    // MARK: What outlives a run

    /// A member's record has come, of a run that is new to us: what it says holds until the next one does, though it be away.
    mutating func noteAbilities(of member: Member) {
        let abilities = MailAbilities(
            lanes: member.presence?.knowsLanes ?? false, laneMail: member.presence?.takesLaneMail ?? false)
        member.session.setKnowsLanes(abilities.lanes)
        guard abilities != member.mail.abilities else { return }
        member.mail.abilities = abilities
        guard configuration.isDurable else { return }
        pendingWrites.append(StorageWrite(key: "knows/\(member.id)", value: [abilities.flags]))
    }

    private mutating func keepMailed(of member: Member) {
        guard configuration.isDurable else { return }
        var writer = ByteWriter(capacity: 32)
        writer.integer(member.mail.cursors[.plain].stream)
        writer.integer(member.mail.cursors[.plain].next)
        writer.integer(UInt64(member.mail.week))
        writer.integer(member.mail.nextNumber)
        for lane in Lane.ofMessages where lane != .plain && member.mail.cursors[lane] != MailCursor() {
            writer.integer(lane.number)
            writer.integer(member.mail.cursors[lane].stream)
            writer.integer(member.mail.cursors[lane].next)
        }
        pendingWrites.append(StorageWrite(key: "mailed/\(member.id)", value: writer.bytes))
    }

    /// Takes up what an earlier run kept of mail; what is not of it is passed over.
    mutating func restoreMail(_ records: [(key: String, value: [UInt8])], now: Instant) {
        prekeys.restore(records)
        for (key, value) in records {
            let parts = key.split(separator: "/")
            guard parts.count == 2, ["mailed", "held", "since", "knows"].contains(parts[0]),
                let peer = PeerID(String(parts[1])), peer != peerID, let member = member(peer, now: now)
            else { continue }
            var reader = ByteReader(value)
            switch parts[0] {
            case "held":
                if let held = HeldPrekeys(kept: value) { member.mail.held = held }
            case "mailed":
                guard let stream: UInt64 = reader.integer(), let next: UInt64 = reader.integer(),
                    let week: UInt64 = reader.integer(), let number: UInt32 = reader.integer()
                else { continue }
                member.mail.cursors[.plain] = MailCursor(stream: stream, next: next)
                member.mail.week = Int(clamping: week)
                member.mail.nextNumber = number
                while let lane = Lane(reading: &reader),
                    let stream: UInt64 = reader.integer(), let next: UInt64 = reader.integer()
                {
                    member.mail.cursors[lane] = MailCursor(stream: stream, next: next)
                }
            case "knows":
                guard let flags: UInt8 = reader.integer() else { continue }
                member.mail.abilities = MailAbilities(flags: flags)
                member.session.setKnowsLanes(member.mail.abilities.lanes)
            default:
                while let stream: UInt64 = reader.integer(), let time: UInt64 = reader.integer() {
                    member.mail.since[stream] = time
                }
            }
        }
    }
}
