import Gun
import JSON
import SwarmBase

/// Reading our own mail (docs/protocol.md, "Items").
extension SwarmEngine {
    /// How long a sender that is away waits for what else has come, before it is told.
    private static let acknowledgementDelay = Duration.seconds(1)
    /// Of how many streams of a member it is known since when.
    private static let mostStreams = 64

    /// Follows our souls of this week and the last, and lets go of older ones, and of the keys that opened what was in them.
    mutating func followMail(now: Instant) {
        prekeys.expire(wall: milliseconds(now))
        keepPrekeys()
        guard usesMail else { return }
        let weeks = mailWeeks(now)
        for week in weeks where mailSouls[week] == nil {
            guard let soul = mailSoul(of: peerID, week: week) else { continue }
            mailSouls[week] = soul
            soulKinds[soul] = .mail
            gun.follow(soul, now: now)
            for record in gun.held(soul)?.records ?? [] { noteMail(record) }
        }
        for week in mailSouls.keys.sorted() where !weeks.contains(week) {
            guard let soul = mailSouls.removeValue(forKey: week) else { continue }
            soulKinds[soul] = nil
            mailInbox.forget(soul)
            gun.forget(soul)
        }
        readMail(now: now)
    }

    /// Something has come in one of our souls.
    mutating func takeMail(_ record: GunRecord, now: Instant) {
        noteMail(record)
        readMail(now: now)
    }

    private mutating func noteMail(_ record: GunRecord) {
        guard record.value.text != nil, let (tag, name) = MailInbox.parse(record.key.text.string) else { return }
        let source = MailInbox.Source(soul: record.soul, tag: tag)
        switch name {
        case .item(let number): mailInbox.insert(number, of: source)
        case .acknowledgement: mailAcknowledgements.append(source)
        }
    }

    /// Takes what can be taken.
    mutating func readMail(now: Instant) {
        while let source = mailAcknowledgements.popFirst() { readAcknowledgement(of: source, now: now) }
        guard !isPaused else { return }
        for source in mailInbox.sources {
            while let number = mailInbox.first(of: source), read(number, of: source, now: now) {}
        }
    }

    /// - Returns: whether the source may go on with its next item.
    private mutating func read(_ number: UInt32, of source: MailInbox.Source, now: Instant) -> Bool {
        guard let key = Key(MailInbox.key(source.tag, .item(number))), let entry = gun.entry(source.soul, key),
            let sealed = entry.value.base64URLBytes
        else {
            mailInbox.remove(number, of: source)
            return true
        }
        let address = RecordAddress(soul: source.soul, key: key)
        do throws(Refusal) {
            let item: MailItem
            if let opened = mailInbox.opened[source], opened.number == number {
                item = opened.item
            } else {
                item = try open(sealed, now: now)
            }
            guard !blockedMembers.contains(item.sender) else { throw .notForUs }
            guard let member = member(item.sender, now: now) else { return false }
            let frames = try Frame.parse(item.packet).ofMail(at: milliseconds(now))
            try check(frames, of: item, from: member)
            guard member.session.takesMail(frames) else {
                mailInbox.opened[source] = (number, item)
                return false
            }
            mailInbox.remove(number, of: source)
            member.mail.unsettled.append(
                MemberMail.Unsettled(
                    address: address, state: entry.state, prekey: try prekey(of: sealed),
                    frames: frames.map(\.withoutPayload)))
            note(streamsOf: frames, of: member, since: item.timestamp)
            member.session.receive(mail: frames, now: now)
            pump(member, now: now)
            settleMail(of: member, now: now)
        } catch {
            refuse(error)
            mailInbox.remove(number, of: source)
            clearMail(address, state: entry.state, now: now)
        }
        return true
    }

    private mutating func readAcknowledgement(of source: MailInbox.Source, now: Instant) {
        guard let key = Key(MailInbox.key(source.tag, .acknowledgement)), let entry = gun.entry(source.soul, key),
            let sealed = entry.value.base64URLBytes
        else { return }
        do throws(Refusal) {
            let item = try open(sealed, now: now)
            let frames = try Frame.parse(item.packet).ofMail(at: milliseconds(now))
            if let member = members[item.sender] {
                member.session.receive(mail: frames.filter { !$0.isData }, now: now)
                member.mail.isFull = false
                pump(member, now: now)
            }
        } catch {
            refuse(error)
        }
        clearMail(RecordAddress(soul: source.soul, key: key), state: entry.state, now: now)
    }

    /// A member that is away is told by mail that we know the outcomes it has told us: it repeats them until then, and takes no more than so many.
    mutating func confirmByMail(_ lane: Lane, to member: Member, now: Instant) {
        member.mail.confirming.insert(lane)
        member.mail.acknowledgeAt = now + Self.acknowledgementDelay
    }

    private func prekey(of sealed: [UInt8]) throws(Refusal) -> PrekeyID {
        guard let id = MailItem.prekey(of: sealed) else { throw .malformed }
        return id
    }

    private func open(_ sealed: [UInt8], now: Instant) throws(Refusal) -> MailItem {
        guard let pair = prekeys.pair(try prekey(of: sealed)) else { throw .notForUs }
        let item = try MailItem(opening: sealed, with: pair, topic: topic)
        guard item.recipient == peerID, item.sender != peerID else { throw .notForUs }
        guard isFresh(item.timestamp, for: configuration.mail.lifetime, now: now) else { throw .stale }
        return item
    }

    /// What was sent before the sender began anew is void: it would come after what follows it.
    private func check(_ frames: [Frame], of item: MailItem, from member: Member) throws(Refusal) {
        for stream in member.session.supersededStreams(by: frames) {
            if let since = member.mail.since[stream], item.timestamp <= since { throw .replayed }
        }
    }

    /// Notes when a stream was first heard of.
    private mutating func note(streamsOf frames: [Frame], of member: Member, since time: UInt64) {
        for case .data(let data) in frames {
            note(stream: data.stream, of: member, since: time)
        }
    }

    mutating func note(stream: UInt64, of member: Member, since time: UInt64) {
        guard member.mail.since[stream] == nil else { return }
        member.mail.since[stream] = time
        if member.mail.since.count > Self.mostStreams, let oldest = member.mail.since.min(by: { $0.value < $1.value }) {
            member.mail.since[oldest.key] = nil
        }
        guard configuration.isDurable else { return }
        var writer = ByteWriter()
        for (stream, time) in member.mail.since.sorted(by: { $0.key < $1.key }) {
            writer.integer(stream)
            writer.integer(time)
        }
        pendingWrites.append(StorageWrite(key: "since/\(member.id)", value: writer.bytes))
    }

    /// What has been noted for good is removed, and the keys that opened it are destroyed.
    mutating func settleMail(of member: Member, now: Instant) {
        guard !member.mail.unsettled.isEmpty else { return }
        var left: [MemberMail.Unsettled] = []
        for item in member.mail.unsettled {
            guard member.session.isDurable(item.frames) else {
                left.append(item)
                continue
            }
            prekeys.used(item.prekey)
            clearMail(item.address, state: item.state, now: now)
            if !member.session.isUp { member.mail.acknowledgeAt = now + Self.acknowledgementDelay }
        }
        member.mail.unsettled = left
        keepPrekeys()
    }

    /// Sets an item to `null`, in place of the one that we have read and no other.
    private mutating func clearMail(_ address: RecordAddress, state: Double, now: Instant) {
        gun.clear(address, after: state, now: now)
    }
}

extension Frame {
    fileprivate var isData: Bool { if case .data = self { true } else { false } }

    fileprivate var withoutPayload: Frame {
        guard case .data(var data) = self else { return self }
        data.payload = []
        return .data(data)
    }
}
