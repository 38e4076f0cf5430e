import SCTP
public import SwarmBase
import WebRTC

/// Sessions: messages in, messages out, over whichever path there is.
extension SwarmEngine {
    /// How much a DataChannel's queue takes before packets wait in the session.
    static let channelQueue = 256 * 1024
    /// At how many waiting bytes it is given more.
    static let channelRefill = 64 * 1024

    /// Queues a message to a member, known or not yet: it goes out as soon as there is a path.
    ///
    /// - Returns: the message's number; `SwarmEvent.delivered`, `expired` or `rejected` repeats it.
    public mutating func send(
        _ content: MessageContent, to peer: PeerID, _ options: MessageOptions = MessageOptions(), now: Instant
    ) throws(SendError) -> UInt64 {
        guard peer != peerID else { throw .ownID }
        let size = content.bytes.count
        guard size <= configuration.session.largestMessage else {
            throw .tooLarge(limit: configuration.session.largestMessage)
        }
        guard let member = member(peer, now: now) else { throw .tooManyMembers }
        guard member.refusal == nil else { throw .blocked }
        if member.session.knowsLanes == false, size > configuration.session.largestPlainMessage {
            throw .tooLarge(limit: configuration.session.largestPlainMessage)
        }
        guard member.session.backlog + size <= configuration.session.largestBacklog else { throw .backlogFull }
        let (message, lane, sequence) = member.session.send(content, options, isHeld: configuration.isDurable)
        keepOutbound(of: member, lane)
        keepMessage(
            content, number: message, lane, sequence: sequence, deadline: options.deadline, of: member, now: now)
        if let refused = member.refusedUs, now < refused.until {
            rejectWaiting(of: member, refused.reason)
        } else {
            pump(member, now: now)
        }
        return message
    }

    /// How much of a message that waits for acknowledgement the other has, in bytes; `nil` when it waits no more.
    public func progress(of message: UInt64, to peer: PeerID) -> (received: Int, size: Int)? {
        members[peer]?.session.progress(of: message)
    }

    /// The members a session is up with, and by which path.
    public var peers: [(peer: PeerID, name: String, path: PathKind)] {
        members.values.compactMap { member in
            guard member.standing == .here, let path = member.session.path else { return nil }
            return (member.peer, member.presence?.name ?? "", path)
        }.sorted { $0.peer < $1.peer }
    }

    /// Whether a member that is here has not acknowledged all that was sent to it.
    public var isOwed: Bool { members.values.contains { $0.session.isUp && $0.session.isOwed } }

    /// Bytes that wait for a member's acknowledgement.
    public func backlog(of peer: PeerID) -> Int { members[peer]?.session.backlog ?? 0 }

    /// Fault injection for tests and demonstrations: drops whatever would take a path, both ways, until `unblock`.
    ///
    /// - Parameter peer: `nil` for every member known now.
    public mutating func block(_ path: PathKind, _ peer: PeerID?) {
        for member in peer.map({ [members[$0]].compactMap(\.self) }) ?? everybody {
            member.blocked.insert(path)
            hasBlocked = true
        }
    }

    /// Ends what `block` began.
    public mutating func unblock(_ path: PathKind, _ peer: PeerID?) {
        for member in peer.map({ [members[$0]].compactMap(\.self) }) ?? everybody {
            member.blocked.remove(path)
        }
    }

    /// Whether a datagram of a connection, on its way from or to `remote`, takes a path that is blocked.
    ///
    /// - Parameter relay: the address on a TURN server of ours that it goes through.
    func isBlocked(_ connection: Connection, remote: TransportAddress, relay: TransportAddress?) -> Bool {
        guard hasBlocked, let member = connection.peer.flatMap({ members[$0] }), !member.blocked.isEmpty else {
            return false
        }
        let isRelayed = connection.peerConnection.path(to: remote, via: relay).isRelayed
        return member.blocked.contains(isRelayed ? .turn : .direct)
    }

    /// Says good-bye to everybody; the engine is of no further use once the outputs are drained.
    public mutating func leave(now: Instant) {
        guard !isLeaving else { return }
        for member in everybody {
            sendPackets(of: member, now: now)
            if let bye = try? member.cipher?.seal(Session.byePacket()), configuration.paths.contains(.relay) {
                send(.envelope(bye), to: member, now: now)
            }
            if member.session.path == .mesh, let bye = try? member.cipher?.seal(Session.byePacket()) {
                sendByMesh(.envelope(bye), to: member, now: now)
            }
            sendDirect(Session.byePacket(), to: member, now: now)
        }
        // Before what else says that we leave: it ends the connections at the others'.
        settle()
        keepDHTTable(now: now)
        isLeaving = true
        ownPresence = nil
        touchEverybody()
        publishPresence(now: now)
        trackers.stop(now: now)
        announces.stop(now: now)
        drainAnnounces(now: now)
        lan.stop()
        sayGoodByes(now: now)
        for connection in allConnections { close(connection, now: now) }
        leaveTURN(now: now)
    }

    /// Moves what a member's session has to say to the application, to its paths and to storage.
    mutating func pump(_ member: Member, now: Instant) {
        drainMemberEvents(of: member, now: now)
        runMail(with: member, now: now)
        flush(member, now: now)
    }

    mutating func drainMemberEvents(of member: Member, now: Instant) {
        while let event = member.session.pollEvent() {
            switch event {
            case .up(let path):
                member.standing = .here
                if member.cipher?.epoch == 0 { member.cipher?.begin(now: now) }
                runRekeying(with: member, now: now)
                updateKeptMail(now: now)
                wake(member, now: now)
                member.negotiation.hurry(now: now)
                if let resend = member.resend, resend.count > 1 { member.resend?.at = now }
                events.append(.peer(member.peer, name: member.presence?.name ?? "", path: path))
            case .pathChanged(let path, let rtt):
                // A path that has just opened has carried no ping yet; ICE has measured it, though.
                let measured =
                    path == .direct || path == .turn ? openConnection(of: member)?.peerConnection.roundTripTime : nil
                events.append(.path(member.peer, path, rtt: rtt ?? measured))
            case .message(let message, let lane, let path):
                if let accepts = configuration.accepts, !accepts(member.peer, message.content) {
                    member.session.refuse(message, lane)
                } else {
                    events.append(.message(from: member.peer, message.content, path: path, sequence: message.number))
                }
            case .inboundAdvanced(let lane, let note):
                self.note(stream: note.stream, of: member, since: member.presence?.timestamp ?? 0)
                if configuration.isDurable {
                    keepInbound(of: member, lane, note)
                } else {
                    member.session.commit(lane, note)
                }
            case .settled(let settled, _):
                forgetMessage(settled.number, of: member)
                if let outcome = settled.outcome { tell(outcome, settled.number, of: member) }
            case .outcomesTold(let lane, let stream, let base):
                whenStored(.confirm(member.peer, lane, stream: stream, before: base), now: now)
            case .withdrawn(let withdrawal, let lane):
                keepWithdrawal(withdrawal.entry, lane, of: member)
                // A later run, whose clock may be behind, is not to send it after all.
                if withdrawal.isExpired { whenStored(.tellExpired(member.peer, withdrawal.entry.number), now: now) }
            case .exchange(let exchange):
                exchanges.append((member.peer, exchange))
            case .refused(let reason):
                refused(by: member, reason, now: now)
            case .bye:
                left(member, now: now)
            case .away:
                guard member.standing == .here else { break }
                member.standing = .away
                events.append(.away(member.peer))
            case .gone:
                tellLeft(member)
            }
        }
    }

    /// Tells the application what became of a message of ours.
    mutating func tell(_ outcome: MessageOutcome, _ number: UInt64, of member: Member) {
        switch outcome {
        case .delivered: events.append(.delivered(to: member.peer, sequence: number))
        case .expired: events.append(.expired(to: member.peer, sequence: number))
        case .rejected(let reason): events.append(.rejected(to: member.peer, sequence: number, reason))
        }
    }

    /// Fills packets with what a session has to say.
    mutating func sendPackets(of member: Member, now: Instant) {
        if let connection = openConnection(of: member), let channel = connection.channel {
            while true {
                let room = Self.channelQueue - connection.peerConnection.bufferedAmount(of: channel)
                guard let packet = member.session.pollPacket(on: .connection, room: room, now: now) else { break }
                // A ping on a path that fell silent says nothing behind fragments that wait for SCTP's doubled timeout.
                if member.session.isConnectionSuspect, member.session.carrier != .connection {
                    connection.peerConnection.sendAgain(now: now)
                }
                do {
                    try connection.peerConnection.send(packet, kind: .binary, on: channel, now: now)
                } catch {
                    // The channel is closing under us: its end is reported by the connection, and all that is not
                    // acknowledged goes out again on another path.
                    break
                }
                flush(connection, now: now)
            }
        }
        while member.cipher != nil, let packet = member.session.pollPacket(on: .relay, room: .max, now: now) {
            guard !member.blocked.contains(.relay), let envelope = try? member.cipher?.seal(packet) else { continue }
            send(.envelope(envelope), to: member, now: now)
        }
        while member.cipher != nil, let packet = member.session.pollPacket(on: .mesh, room: .max, now: now) {
            guard !member.blocked.contains(.mesh), let envelope = try? member.cipher?.seal(packet) else { continue }
            sendByMesh(.envelope(envelope), to: member, now: now)
        }
    }

    mutating func sendDirect(_ packet: [UInt8], to member: Member, now: Instant) {
        guard let connection = openConnection(of: member), let channel = connection.channel else { return }
        try? connection.peerConnection.send(packet, kind: .binary, on: channel, now: now)
        flush(connection, now: now)
    }

    func openConnection(of member: Member) -> Connection? {
        guard let id = member.negotiation.connection, let connection = connections[id], connection.isOpen else {
            return nil
        }
        return connection
    }
}
