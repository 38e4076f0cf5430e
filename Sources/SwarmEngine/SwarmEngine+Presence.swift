import Gun
import SwarmBase

/// Discovery: our own presence record, and those of others.
extension SwarmEngine {
    /// How long it takes at least until our record is written anew for yet another record of a former run.
    static let ownRecordPause = Duration.seconds(10)
    /// How long it takes at least until a member is shown a record of its former run once more.
    static let showingPause = Duration.seconds(5)

    /// Writes our presence record anew.
    mutating func announcePresence(now: Instant) {
        ownPresence = nil
        presenceAt = now + configuration.presenceInterval * Double.random(in: 0.8...1, using: &entropy)
        followDays(now: now)
        gun.refresh(topic.inboxSoul(of: peerID, day: day(now)), now: now)
        gun.refresh(topic.presenceSoul(day: day(now)), now: now)
        publishPresence(now: now)
        tellPresence(now: now)
        keepClock()
        followMail(now: now)
        updateKeptMail(now: now)
    }

    mutating func publishPresence(now: Instant) {
        guard let sealed = sealedPresence(now: now) else { return }
        gun.publish(
            sealed.base64URL, key: tag, of: topic.presenceSoul(day: day(now)),
            state: presenceClock.next(wall: wall(now) - RelaySlots.stateLag), now: now)
    }

    /// What our keys in the souls of the swarm begin with. Another one after each time that the clock was set back, and when it is not known what
    /// the last run wrote: what was written with states that are ahead of the clock would hide all that follows.
    var tag: String { ownTag + (tagNumber.map { ".\($0)" } ?? "") }

    /// The clock reads less than it did: our keys begin anew, and so do the slots.
    mutating func clockWasSetBack(now: Instant) {
        ownPresence = nil
        tagNumber = UInt64(max(0, wall(now)))
        presenceAt = now
        for member in everybody { member.slots = RelaySlots() }
    }

    /// Takes a record of our own that a plane brought. One of a former run that is ahead of us says that the clock was set
    /// back between the two: others would refuse our records, and relays our keys, until it has caught up.
    ///
    /// - Returns: whether it is of a former run, so that what we say from now on is later.
    @discardableResult
    mutating func takeOwn(_ record: PresenceRecord, now: Instant) -> Bool {
        guard record.sessionKey != sessionKey.publicKey, isFresh(record.timestamp, now: now), !isLeaving else {
            return false
        }
        guard record.timestamp >= lastPresenceTimestamp else { return true }
        // There may be records of several former runs, at several relays: the latest of all counts.
        lastPresenceTimestamp = record.timestamp
        // Another who runs with our identity does the same: no race between the two.
        guard ownRecords.take(now: now) else {
            presenceAt = min(presenceAt, now + Self.ownRecordPause)
            return false
        }
        clockWasSetBack(now: now)
        return true
    }

    /// A former run of ours dated its last record so; if that is ahead, the clock was set back between the two.
    mutating func takeUpClock(_ timestamp: UInt64, now: Instant) {
        tagNumber = nil
        guard Double(timestamp) > wall(now), isFresh(timestamp, now: now) else { return }
        // It may have dated others after the one that it kept.
        lastPresenceTimestamp = timestamp + UInt64(configuration.presenceInterval.milliseconds)
        clockWasSetBack(now: now)
    }

    /// Our presence record: everybody is told the same one until it is written anew. So nobody holds one that is later than what a relay
    /// has, and a next run, which may know nothing but that, dates its own after all of them.
    mutating func presence(now: Instant) -> (record: PresenceRecord, sealed: [UInt8])? {
        if let ownPresence, now <= presenceAt { return ownPresence }
        let record = presenceRecord(now: now)
        guard let sealed = try? record.sealed(by: identity, topic: topic) else { return nil }
        ownPresence = (record, sealed)
        return ownPresence
    }

    /// The same, signed and sealed.
    mutating func sealedPresence(now: Instant) -> [UInt8]? { presence(now: now)?.sealed }

    /// A new presence record, as of now.
    ///
    /// - Parameter isLeaving: what it says of that; `nil` for what is so.
    mutating func presenceRecord(isLeaving: Bool? = nil, now: Instant) -> PresenceRecord {
        lastPresenceTimestamp = max(lastPresenceTimestamp + 1, UInt64(max(0, wall(now))))
        return PresenceRecord(
            peer: peerID, sessionKey: sessionKey.publicKey, timestamp: lastPresenceTimestamp,
            isLeaving: isLeaving ?? self.isLeaving, knowsLanes: true, keepsState: configuration.isDurable && usesMail,
            takesLaneMail: true, name: configuration.name)
    }

    /// Subscribes to presence and to our inbox of today, and around midnight of the neighbouring day.
    mutating func followDays(now: Instant) {
        let margin = 600_000.0
        let days = Set([-margin, 0, margin].map { Int((wall(now) + $0) / 86_400_000) })
        for day in days.subtracting(followedDays).sorted() {
            for (text, kind) in souls(of: day) {
                gun.subscribe(text, now: now)
                Soul(text).map { soulKinds[$0] = kind }
            }
        }
        for day in followedDays.subtracting(days).sorted() {
            for (text, _) in souls(of: day) {
                gun.unsubscribe(text, now: now)
                Soul(text).map { soulKinds[$0] = nil }
            }
        }
        followedDays = days
    }

    /// The souls of a day that are followed, and what is in them.
    private func souls(of day: Int) -> [(String, SoulKind)] {
        [(topic.presenceSoul(day: day), .presence), (topic.inboxSoul(of: peerID, day: day), .inbox)]
    }

    func day(_ now: Instant) -> Int { Int(wall(now) / 86_400_000) }

    func isFresh(_ timestamp: UInt64, for freshness: Duration? = nil, now: Instant) -> Bool {
        let age = wall(now) - Double(timestamp)
        return age <= (freshness ?? configuration.freshness).milliseconds
            && -age <= configuration.freshness.milliseconds
    }

    /// Takes a sealed presence record that a plane brought.
    ///
    /// - Returns: the member it tells of, when it is authentic and fresh.
    @discardableResult
    mutating func takePresence(_ sealed: [UInt8], plane: Plane, now: Instant) -> Member? {
        let record: PresenceRecord
        if let known = seenPresence[sealed] {
            record = known
        } else {
            do { record = try PresenceRecord(opening: sealed, topic: topic) } catch {
                refuse(error)
                return nil
            }
            seenPresence.insert(record, sealed: sealed)
        }
        let member = takePresence(record, sealed: sealed, plane: plane, now: now)
        if member == nil { show(recordLaterThan: record, now: now) }
        return member
    }

    /// Shows a member whose record was refused, as it is older than that of a former run, the later one: its clock was set back between
    /// the two, and it dates its next record after what it is shown. Nobody can show it but what it has signed itself.
    private mutating func show(recordLaterThan record: PresenceRecord, now: Instant) {
        guard let member = members[record.peer], gun.isConnected || reachesByMesh(member),
            let shown = recordToShow(insteadOf: record, now: now)
        else { return }
        sendThroughOthers(.record(shown), to: member, now: now)
    }

    /// What a member is to be shown whose record was refused: the later one of another run; `nil` when that is not why it was refused, or
    /// when something was shown to it just now.
    mutating func recordToShow(insteadOf refused: PresenceRecord, now: Instant) -> [UInt8]? {
        guard let member = members[refused.peer], member.refusal == nil, let (known, sealed) = member.sealedPresence,
            known.sessionKey != refused.sessionKey, known.timestamp >= refused.timestamp,
            isFresh(refused.timestamp, now: now), isFresh(known.timestamp, now: now),
            member.shownAt.map({ now - $0 >= Self.showingPause }) ?? true
        else { return nil }
        member.shownAt = now
        return sealed
    }

    /// Takes a presence record whose signature is good.
    ///
    /// - Parameters:
    ///   - sealed: the record as it came; `nil` for what a hello said.
    ///   - freshness: how old it may be, where that is not ``SwarmEngineConfiguration/freshness``.
    /// - Returns: the member it tells of, when it is fresh.
    mutating func takePresence(
        _ record: PresenceRecord, sealed: [UInt8]? = nil, plane: Plane, freshness: Duration? = nil, now: Instant
    ) -> Member? {
        guard record.peer != peerID else {
            takeOwn(record, now: now)
            return nil
        }
        guard isFresh(record.timestamp, for: freshness, now: now) else {
            refuse(.stale)
            return nil
        }
        if let known = members[record.peer], let presence = known.presence, presence.timestamp > record.timestamp {
            // An older record of a run we know says nothing new; one of another run is a replay.
            guard presence.sessionKey == record.sessionKey else {
                refuse(.replayed)
                return nil
            }
            keepSealed(record, sealed, of: known)
            return known
        }
        if record.isLeaving {
            // The record is kept: what the run said before cannot be replayed.
            if let member = members[record.peer], member.presence?.isLeaving == false {
                keep(record, sealed, of: member)
                left(member, now: now)
            }
            return nil
        }
        guard let member = member(record.peer, now: now) else { return nil }
        let isNewRun = member.presence?.sessionKey != record.sessionKey
        let isFirstRun = member.presence == nil
        keep(record, sealed, of: member)
        member.heardOfAt = now
        if isNewRun {
            member.isDormant = false
            member.refusal = refusal(of: record)
            guard startRun(of: member, with: record.sessionKey, isFirst: isFirstRun, now: now) else { return nil }
        } else {
            wake(member, now: now)
        }
        guard member.refusal == nil else {
            sayRefused(to: member, now: now)
            return nil
        }
        if member.planes.insert(plane).inserted { events.append(.discovered(member.peer, plane)) }
        return member
    }

    private func keep(_ record: PresenceRecord, _ sealed: [UInt8]?, of member: Member) {
        member.presence = record
        keepSealed(record, sealed, of: member)
    }

    /// Keeps the latest record of the present run that came sealed.
    private func keepSealed(_ record: PresenceRecord, _ sealed: [UInt8]?, of member: Member) {
        if let known = member.sealedPresence?.record, known.sessionKey == record.sessionKey {
            guard known.timestamp <= record.timestamp, let sealed else { return }
            member.sealedPresence = (record, sealed)
        } else {
            member.sealedPresence = sealed.map { (record, $0) }
        }
    }

    /// All members, in the order in which they became known.
    var everybody: [Member] { members.values.sorted { $0.number < $1.number } }

    /// The member with an id, made known if there is room.
    mutating func member(_ peer: PeerID, now: Instant) -> Member? {
        if let member = members[peer] { return member }
        guard members.count < configuration.mostMembers || forgetSomebody(now: now) else { return nil }
        let outbound = Outbound(stream: entropy.next())
        memberCount += 1
        let seed: UInt64 = entropy.next()
        let member = Member(
            peer: peer, number: memberCount,
            session: Session(configuration: configuration.session, outbound: outbound, seed: seed),
            negotiation: Negotiation(decides: peerID < peer, now: now), agenda: memberAgenda, now: now)
        member.session.setPaused(isPaused)
        members[peer] = member
        return member
    }

    /// Makes room by forgetting a member who is away and to whom nothing is owed: first those who never said a word.
    private mutating func forgetSomebody(now: Instant) -> Bool {
        let idle = members.values.filter { !$0.session.isUp && $0.session.isIdle }
        func silence(_ member: Member) -> (Instant, Int) {
            (member.session.lastHeard ?? Instant(nanoseconds: .min), member.number)
        }
        guard let silent = idle.min(by: { silence($0) < silence($1) }) else { return false }
        endRun(of: silent, now: now)
        members[silent.peer] = nil
        memberAgenda.touch(silent)
        return true
    }

    /// When a member is let be, if nothing is heard of it.
    func restTime(of member: Member) -> Instant? {
        guard !member.isDormant, !member.session.isUp else { return nil }
        return member.heardOfAt + configuration.freshness
    }

    /// Lets a member be of whom nothing was heard for so long that its record is stale.
    mutating func rest(_ member: Member, now: Instant) {
        guard let at = restTime(of: member), now >= at else { return }
        member.isDormant = true
        member.session.pathClosed(.relay, now: now)
        member.session.pathClosed(.mesh, now: now)
        endConnection(with: member, now: now)
    }

    /// Something was heard of a member.
    mutating func wake(_ member: Member, now: Instant) {
        guard member.isDormant else { return }
        member.isDormant = false
        member.negotiation.hurry(now: now)
        openRelayPath(to: member, now: now)
        updateMeshPath(to: member, now: now)
    }

    /// A member runs with a session key we had not seen.
    private mutating func startRun(
        of member: Member, with key: SessionPublicKey, isFirst: Bool, now: Instant
    ) -> Bool {
        if isFirst { member.session.peerRestarted(isFirst: true, now: now) } else { endRun(of: member, now: now) }
        do {
            // A nanosecond for each packet: never used up, and never used before.
            member.cipher = try SessionCipher(
                own: sessionKey, peer: key, parties: SessionParties(own: peerID, peer: member.peer, topic: topic),
                identity: identity, configuration: configuration.rekeying,
                firstCounter: UInt64(max(0, (now - startedAt).nanosecondsClamped)), now: now)
            noteKeys(of: member)
            openMailbox(of: member, with: key)
        } catch {
            refuse(error)
            return false
        }
        noteAbilities(of: member)
        member.refusedUs = nil
        guard member.refusal == nil else { return true }
        member.negotiation.reset(now: now)
        openRelayPath(to: member, now: now)
        updateMeshPath(to: member, now: now)
        pump(member, now: now)
        return true
    }

    /// A member's run is over: it left, or runs anew.
    mutating func endRun(of member: Member, now: Instant) {
        // The session first: of one that is no more nobody is told which paths it has.
        member.session.peerRestarted(now: now)
        forgetKeys(of: member)
        if let id = member.negotiation.connection, let connection = connections[id] { remove(connection, now: now) }
        member.knowsUs = false
        member.resend = nil
        member.lastAnswer = nil
        member.restart = nil
        tellLeft(member)
    }

    /// Tells the application that a member is here no more, if it was told that it is.
    mutating func tellLeft(_ member: Member) {
        guard member.standing != .absent else { return }
        member.standing = .absent
        events.append(.left(member.peer))
    }

    /// A member said good-bye: what we have for it waits for its return.
    mutating func left(_ member: Member, now: Instant) {
        endRun(of: member, now: now)
        member.session.pathClosed(.relay, now: now)
        member.session.pathClosed(.mesh, now: now)
        member.negotiation.reset(now: .distantFuture)
        member.planes = []
        datagrams.left(member.peer, now: now)
    }

    private mutating func forgetKeys(of member: Member) {
        member.cipher = nil
        noteKeys(of: member)
        dht?.closeMailbox(of: member.peer)
    }
}
