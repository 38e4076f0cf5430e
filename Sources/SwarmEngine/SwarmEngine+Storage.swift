public import SwarmBase

/// What may happen once a write is on disk.
enum StorageConsequence {
    /// The sender may be told that its stream has arrived up to here.
    case commit(PeerID, Lane, InboundNote)
    /// Messages of ours in a lane up to here may leave.
    case release(PeerID, Lane, before: UInt64)
    /// Mail of ours may be left.
    case leave(PeerID, SwarmEngine.MailToLeave)
    /// A member may be told.
    case say(PeerID, Frame)
    /// A member need not repeat outcomes of ours that end before a place in a stream.
    case confirm(PeerID, Lane, stream: UInt64, before: UInt64)
    /// The application may be told that a message has expired.
    case tellExpired(PeerID, UInt64)
}

/// What outlives a run: the streams' numbers, and the messages that wait. Keys are `out/PEER`, `in/PEER` and,
/// for lanes but the first, `out/PEER/LANE` and `in/PEER/LANE`; `msg/PEER/NUMBER`, `blocked/PEER`, `graph/SOUL/KEY`
/// (``GraphRecordCoding``) and `clock`, and those of mail; integers are big-endian.
extension SwarmEngine {
    /// The next batch of changes to keep. Report with `stored(through:)` when it is on disk: only then do the messages in
    /// it leave, and only then do others learn that theirs have arrived for good.
    public mutating func pollStorage() -> StorageBatch? {
        settle()
        while let write = gun.pollStorage() { pendingWrites.append(write) }
        guard !pendingWrites.isEmpty else { return nil }
        defer { nextBatch += 1 }
        for consequence in pendingConsequences { consequences.append((nextBatch, consequence)) }
        pendingConsequences.removeAll()
        defer { pendingWrites.removeAll() }
        return StorageBatch(id: nextBatch, writes: pendingWrites)
    }

    /// Every batch up to this one is on disk.
    public mutating func stored(through id: UInt64, now: Instant) {
        var touched: [PeerID: Member] = [:]
        var leftMail = false
        while let first = consequences.first, first.batch <= id {
            _ = consequences.popFirst()
            if case .leave = first.consequence { leftMail = true }
            if let member = carryOut(first.consequence, now: now) { touched[member.peer] = member }
        }
        storedThrough = max(storedThrough, id)
        for member in touched.values.sorted(by: { $0.number < $1.number }) {
            settleMail(of: member, now: now)
            pump(member, now: now)
        }
        if leftMail { drainGun(now: now) }
        if !touched.isEmpty { readMail(now: now) }
    }

    /// - Returns: the member that has something to say because of it.
    private mutating func carryOut(_ consequence: StorageConsequence, now: Instant) -> Member? {
        switch consequence {
        case .commit(let peer, let lane, let note):
            members[peer]?.session.commit(lane, note)
            return members[peer]
        case .release(let peer, let lane, let before):
            members[peer]?.session.release(lane, before: before)
            return members[peer]
        case .leave(let peer, let mail):
            members[peer].map { leave(mail, for: $0, now: now) }
            return nil
        case .say(let peer, let frame):
            members[peer]?.session.say(frame)
            return members[peer]
        case .confirm(let peer, let lane, let stream, let before):
            guard let member = members[peer] else { return nil }
            member.session.confirmOutcomes(of: lane, stream: stream, before: before)
            if !member.session.isUp { confirmByMail(lane, to: member, now: now) }
            return member
        case .tellExpired(let peer, let number):
            if let member = members[peer] { tell(.expired, number, of: member) }
            return nil
        }
    }

    /// Has something done when all that is to be kept so far is on disk; at once when it is there.
    mutating func whenStored(_ consequence: StorageConsequence, now: Instant) {
        if !pendingWrites.isEmpty {
            pendingConsequences.append(consequence)
        } else if storedThrough + 1 < nextBatch {
            consequences.append((nextBatch - 1, consequence))
        } else {
            _ = carryOut(consequence, now: now)
        }
    }

    /// Takes up what an earlier run kept. To be called before anything else.
    ///
    /// - Parameter records: every key and value that is kept, in any order. What does not parse is passed over.
    public mutating func restore(_ records: [(key: String, value: [UInt8])], now: Instant) {
        if let table = records.first(where: { $0.key == Self.dhtTableKey }) { dht?.restore(table.value, now: now) }
        var conversations: [PeerID: KeptConversation] = [:]
        for (key, value) in records where !key.hasPrefix("graph/") {
            let parts = key.split(separator: "/")
            var reader = ByteReader(value)
            if key == Self.clockKey, let timestamp: UInt64 = reader.integer() { takeUpClock(timestamp, now: now) }
            guard parts.count >= 2, let peer = PeerID(String(parts[1])), peer != peerID else { continue }
            if parts[0] == "blocked" { blockedMembers.insert(peer) }
            conversations[peer, default: KeptConversation()].take(parts[0], parts.dropFirst(2).first, value)
        }
        restoreKnownPeers(records, now: now)
        gun.restore(records)
        restoreMail(records, now: now)
        for (peer, kept) in conversations.sorted(by: { $0.key < $1.key }) where !kept.isEmpty {
            guard let member = member(peer, now: now) else { break }
            let wall = wall(now)
            let knowsLanes = member.session.knowsLanes
            member.session = kept.session(
                configuration.session, fresh: member.session.outbound, seed: entropy.next()
            ) { now + .milliseconds(Int64(min(max(0, Double($0) - wall), 1e12))) }
            member.session.setPaused(isPaused)
            if let knowsLanes { member.session.setKnowsLanes(knowsLanes) }
        }
    }

    /// The key of how our last presence record was dated.
    private static let clockKey = "clock"

    mutating func keepClock() {
        guard configuration.isDurable else { return }
        var writer = ByteWriter(capacity: 8)
        writer.integer(lastPresenceTimestamp)
        pendingWrites.append(StorageWrite(key: Self.clockKey, value: writer.bytes))
    }

    mutating func keepOutbound(of member: Member, _ lane: Lane) {
        guard configuration.isDurable else { return }
        let outbound = member.session.outbounds[lane.index]
        var writer = ByteWriter(capacity: 24)
        writer.integer(outbound.stream)
        writer.integer(member.session.nextMessage)
        writer.integer(outbound.next)
        pendingWrites.append(StorageWrite(key: "out/\(member.id)\(suffix(of: lane))", value: writer.bytes))
    }

    private func suffix(of lane: Lane) -> String { lane == .plain ? "" : "/\(lane.number)" }

    mutating func keepMessage(
        _ content: MessageContent, number: UInt64, _ lane: Lane, sequence: UInt64, deadline: Instant?,
        of member: Member, now: Instant
    ) {
        guard configuration.isDurable else { return }
        let next = member.session.outbounds[lane.index].next
        let message = KeptMessage(
            number: number, sequence: sequence, isText: content.isText, lane: lane,
            deadline: deadline.map { UInt64(max(1, wall($0))) } ?? 0,
            fragments: UInt32(truncatingIfNeeded: next - sequence), isWithdrawn: false, bytes: content.bytes)
        pendingWrites.append(StorageWrite(key: "msg/\(member.id)/\(number)", value: message.kept))
        pendingConsequences.append(.release(member.peer, lane, before: next))
    }

    /// A message was withdrawn: what it said is not kept any more, only that it was there.
    mutating func keepWithdrawal(_ entry: Outbound.Entry, _ lane: Lane, of member: Member) {
        guard configuration.isDurable else { return }
        let message = KeptMessage(
            number: entry.number, sequence: entry.first, isText: false, lane: lane, deadline: 0,
            fragments: UInt32(truncatingIfNeeded: entry.last - entry.first + 1), isWithdrawn: true, bytes: [])
        pendingWrites.append(StorageWrite(key: "msg/\(member.id)/\(entry.number)", value: message.kept))
    }

    mutating func forgetMessage(_ number: UInt64, of member: Member) {
        guard configuration.isDurable else { return }
        pendingWrites.append(StorageWrite(key: "msg/\(member.id)/\(number)", value: nil))
    }

    mutating func keepInbound(of member: Member, _ lane: Lane, _ note: InboundNote) {
        pendingWrites.append(StorageWrite(key: "in/\(member.id)\(suffix(of: lane))", value: note.bytes))
        pendingConsequences.append(.commit(member.peer, lane, note))
    }
}
