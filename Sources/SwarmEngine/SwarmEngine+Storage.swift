public import SwarmBase

/// What may happen once a write is on disk.
enum StorageConsequence {
    /// The sender may be told that its stream has arrived up to here.
    case commit(PeerID, stream: UInt64, next: UInt64)
    /// Messages of ours up to here may leave.
    case release(PeerID, before: UInt64)
    /// Mail of ours may be left.
    case leave(PeerID, SwarmEngine.MailToLeave)
    /// A member may be told.
    case say(PeerID, Frame)
}

/// What outlives a run: the streams' numbers, and the messages that wait. Keys are `out/PEER`, `in/PEER`,
/// `graph/SOUL/KEY` (``GraphRecordCoding``), `msg/PEER/NUMBER` and `clock`, and those of mail; integers are big-endian.
extension SwarmEngine {
    /// The next batch of changes to keep. Report with `stored(through:)` when it is on disk: only then do the messages in
    /// it leave, and only then do others learn that theirs have arrived for good.
    public mutating func pollStorage() -> StorageBatch? {
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
            switch first.consequence {
            case .commit(let peer, let stream, let next):
                members[peer]?.session.commit(stream: stream, next: next)
                touched[peer] = members[peer]
            case .release(let peer, let before):
                members[peer]?.session.release(before: before)
                touched[peer] = members[peer]
            case .leave(let peer, let mail):
                members[peer].map { leave(mail, for: $0, now: now) }
                leftMail = true
            case .say(let peer, let frame):
                members[peer]?.session.say(frame)
                touched[peer] = members[peer]
            }
        }
        for member in touched.values {
            settleMail(of: member, now: now)
            pump(member, now: now)
        }
        if leftMail { drainGun(now: now) }
        if !touched.isEmpty { readMail(now: now) }
    }

    /// Takes up what an earlier run kept. To be called before anything else.
    ///
    /// - Parameter records: every key and value that is kept, in any order. What does not parse is passed over.
    public mutating func restore(_ records: [(key: String, value: [UInt8])], now: Instant) {
        if let table = records.first(where: { $0.key == Self.dhtTableKey }) { dht?.restore(table.value, now: now) }
        var messages: [PeerID: [(number: UInt64, sequence: UInt64, content: MessageContent)]] = [:]
        var outbound: [PeerID: (stream: UInt64, nextMessage: UInt64, next: UInt64)] = [:]
        var inbound: [PeerID: (stream: UInt64, next: UInt64)] = [:]
        for (key, value) in records where !key.hasPrefix("graph/") {
            let parts = key.split(separator: "/")
            var reader = ByteReader(value)
            if key == Self.clockKey, let timestamp: UInt64 = reader.integer() { takeUpClock(timestamp, now: now) }
            guard parts.count >= 2, let peer = PeerID(String(parts[1])), let first: UInt64 = reader.integer(),
                let second: UInt64 = reader.integer()
            else { continue }
            switch parts[0] {
            case "out":
                guard let next: UInt64 = reader.integer() else { continue }
                outbound[peer] = (first, second, next)
            case "in":
                inbound[peer] = (first, second)
            case "msg":
                guard let isText: UInt8 = reader.integer() else { continue }
                let bytes = reader.rest()
                let content: MessageContent =
                    isText == 1 ? .text(String(decoding: bytes, as: UTF8.self)) : .binary(bytes)
                messages[peer, default: []].append((first, second, content))
            default: continue
            }
        }
        restoreKnownPeers(records, now: now)
        gun.restore(records)
        restoreMail(records, now: now)
        for peer in Set(outbound.keys).union(inbound.keys) where peer != peerID {
            guard let member = member(peer, now: now) else { break }
            var stream = member.session.outbound
            if let kept = outbound[peer] {
                let waiting = (messages[peer] ?? []).sorted { $0.number < $1.number }
                stream = Outbound(
                    stream: kept.stream, base: waiting.first?.sequence ?? kept.next,
                    nextMessage: waiting.first?.number ?? kept.nextMessage)
                for message in waiting { _ = stream.enqueue(message.content, isHeld: false) }
            }
            var arrived = Inbound(largestMessage: configuration.session.largestMessage)
            if let kept = inbound[peer] { arrived.restore(stream: kept.stream, next: kept.next) }
            member.session = Session(configuration: configuration.session, outbound: stream, inbound: arrived)
            member.session.setPaused(isPaused)
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

    mutating func keepOutbound(of member: Member) {
        guard configuration.isDurable else { return }
        var writer = ByteWriter(capacity: 24)
        writer.integer(member.session.outbound.stream)
        writer.integer(member.session.outbound.nextMessage)
        writer.integer(member.session.outbound.next)
        pendingWrites.append(StorageWrite(key: "out/\(member.peer)", value: writer.bytes))
    }

    mutating func keepMessage(_ content: MessageContent, number: UInt64, sequence: UInt64, of member: Member) {
        guard configuration.isDurable else { return }
        var writer = ByteWriter(capacity: 32)
        writer.integer(number)
        writer.integer(sequence)
        writer.integer(UInt8(content.isText ? 1 : 0))
        writer.append(content.bytes)
        pendingWrites.append(StorageWrite(key: "msg/\(member.peer)/\(number)", value: writer.bytes))
        pendingConsequences.append(.release(member.peer, before: member.session.outbound.next))
    }

    mutating func forgetMessage(_ number: UInt64, of member: Member) {
        guard configuration.isDurable else { return }
        pendingWrites.append(StorageWrite(key: "msg/\(member.peer)/\(number)", value: nil))
    }

    mutating func keepInbound(of member: Member, stream: UInt64, next: UInt64) {
        var writer = ByteWriter(capacity: 16)
        writer.integer(stream)
        writer.integer(next)
        pendingWrites.append(StorageWrite(key: "in/\(member.peer)", value: writer.bytes))
        pendingConsequences.append(.commit(member.peer, stream: stream, next: next))
    }
}
