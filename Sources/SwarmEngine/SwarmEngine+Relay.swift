import Gun
import SwarmBase

/// What a datagram on the relay path holds (docs/protocol.md, "Datagrams").
enum RelayDatagram {
    /// One packet of a session.
    case envelope([UInt8])
    /// One signal, sealed to us.
    case signal([UInt8])
    /// The sender's presence record, and another datagram: for one who may not know the sender yet.
    case introduction(presence: [UInt8], content: [UInt8])
    /// A presence record alone: the receiver's own, of a former run, that is later than what it says now.
    case record([UInt8])

    /// The largest datagram, in bytes.
    static let largest = 24 * 1024

    init(parsing bytes: [UInt8]) throws(Refusal) {
        var reader = ByteReader(bytes)
        guard bytes.count <= Self.largest, let type: UInt8 = reader.integer() else { throw .malformed }
        switch type {
        case 1: self = .envelope(reader.rest())
        case 2: self = .signal(reader.rest())
        case 3:
            guard let presence = reader.prefixed(by: UInt16.self) else { throw .malformed }
            let content = reader.rest()
            self = content.isEmpty ? .record(presence) : .introduction(presence: presence, content: content)
        default: throw .malformed
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 512)
        switch self {
        case .envelope(let envelope):
            writer.integer(UInt8(1))
            writer.append(envelope)
        case .signal(let signal):
            writer.integer(UInt8(2))
            writer.append(signal)
        case .introduction(let presence, let content):
            writer.integer(UInt8(3))
            writer.prefixed(by: UInt16.self, presence)
            writer.append(content)
        case .record(let presence):
            writer.integer(UInt8(3))
            writer.prefixed(by: UInt16.self, presence)
        }
        return writer.bytes
    }
}

/// What members write to the souls of a day, and of a week.
enum SoulKind {
    case presence
    case inbox
    case mail
}

/// The relay path: datagrams through inbox souls of the GUN mesh.
extension SwarmEngine {
    /// Takes everything the GUN plane has to say.
    mutating func drainGun(now: Instant) {
        while let record = gun.pollChange() {
            switch soulKinds[record.soul] {
            case .inbox:
                guard let bytes = record.value.base64URLBytes else { continue }
                receive(datagram: bytes, depth: 0, by: .relay, now: now)
            case .presence:
                guard let sealed = record.value.base64URLBytes else { continue }
                takePresence(sealed, plane: .gun, now: now).map { pump($0, now: now) }
            case .mail:
                takeMail(record, now: now)
            case nil:
                if isWatched(record.soul) { tell(record) }
                graphChanges.append((record.soul, record.key))
            }
        }
        while let (put, peer) = gun.pollStored() { mailStored(put, for: peer) }
        sendGraph(now: now)
    }

    /// Takes a datagram that a relay brought, or a third member.
    mutating func receive(datagram bytes: [UInt8], depth: Int, by carrier: Carrier, now: Instant) {
        let plane: Plane = carrier == .mesh ? .mesh : .gun
        do throws(Refusal) {
            switch try RelayDatagram(parsing: bytes) {
            case .envelope(let envelope):
                try receive(envelope: envelope, by: carrier, now: now)
            case .signal(let sealed):
                take(try Signal(opening: sealed, with: sessionKey, topic: topic), plane: plane, now: now)
            case .introduction(let presence, let content):
                guard depth == 0 else { throw .malformed }
                takePresence(presence, plane: plane, now: now)
                receive(datagram: content, depth: 1, by: carrier, now: now)
            case .record(let presence):
                takePresence(presence, plane: plane, now: now)
            }
        } catch {
            refuse(error)
        }
    }

    private mutating func receive(envelope: [UInt8], by carrier: Carrier, now: Instant) throws(Refusal) {
        let path: PathKind = carrier == .mesh ? .mesh : .relay
        guard let keyID = EnvelopeCipher.keyID(of: envelope), let peer = sessionKeys[keyID],
            let member = members[peer], member.cipher != nil
        else { throw .notForUs }
        if member.blocked.contains(path) { return }
        let epoch = member.cipher?.epoch
        guard let packet = try member.cipher?.open(envelope, now: now) else { throw .notForUs }
        // What it is sealed with may say that the other has gone to the next keys, or has lost them.
        if member.cipher?.epoch != epoch { runRekeying(with: member, now: now) }
        let frames = try Frame.parse(packet)
        takeRekeying(frames, from: member, now: now)
        takePrekeys(frames, from: member, now: now)
        member.knowsUs = true
        guard member.refusal == nil else { return sayRefused(to: member, now: now) }
        heard(from: member, frames, now: now)
        guard configuration.paths.contains(path) else { return }
        wake(member, now: now)
        member.session.receive(frames, on: carrier, now: now)
        pump(member, now: now)
    }

    /// A datagram as it goes to a member: with our record in front, as long as the member may not know us.
    mutating func introduced(_ datagram: RelayDatagram, to member: Member, now: Instant) -> RelayDatagram {
        if case .record = datagram { return datagram }
        guard !member.knowsUs, let presence = sealedPresence(now: now) else { return datagram }
        return .introduction(presence: presence, content: datagram.bytes)
    }

    /// Sends a signal by every carrier that has nothing to learn from the others: by datagram, if the member has answered to
    /// one, through a relay, or else through a third member.
    mutating func send(signal sealed: [UInt8], to member: Member, now: Instant) {
        sendByDatagram(signal: sealed, to: member)
        sendThroughOthers(.signal(sealed), to: member, now: now)
    }

    /// Sends a datagram through a relay, or else through a third member.
    mutating func sendThroughOthers(_ datagram: RelayDatagram, to member: Member, now: Instant) {
        if gun.isConnected {
            send(datagram, to: member, now: now)
        } else {
            sendByMesh(datagram, to: member, now: now)
        }
    }

    /// Puts a datagram into a member's inbox.
    mutating func send(_ datagram: RelayDatagram, to member: Member, now: Instant) {
        guard gun.isConnected else { return }
        let datagram = introduced(datagram, to: member, now: now)
        if member.inbox.day != day(now) {
            clearInbox(of: member, now: now)
            member.inbox = (day(now), topic.inboxSoul(of: member.peer, day: day(now)))
        }
        let (slot, state) = member.slots.take(now: now, wall: wall(now))
        gun.put(datagram.bytes.base64URL, key: "\(tag)/\(slot)", of: member.inbox.soul, state: state, now: now)
    }

    /// Sets what we left in a member's inbox to `null`.
    mutating func clearInbox(of member: Member, now: Instant) {
        guard let (slots, state) = member.slots.clear(wall: wall(now)) else { return }
        gun.clear(slots.map { "\(tag)/\($0)" }, of: member.inbox.soul, state: state, now: now)
    }

    /// Gives a member's session its relay path, when there is one.
    mutating func openRelayPath(to member: Member, now: Instant) {
        guard gun.isConnected, configuration.paths.contains(.relay), member.cipher != nil, !member.isDormant,
            isWelcome(member, now: now)
        else { return }
        member.session.pathOpened(.relay, now: now)
        pump(member, now: now)
    }

    /// The first relay is connected (again): every session has its relay path.
    mutating func relayOpened(now: Instant) {
        announcePresence(now: now)
        touchEverybody()
        for member in everybody { openRelayPath(to: member, now: now) }
    }

    /// No relay is connected any more.
    mutating func relayClosed(now: Instant) {
        for member in everybody {
            member.session.pathClosed(.relay, now: now)
            pump(member, now: now)
        }
    }
}
