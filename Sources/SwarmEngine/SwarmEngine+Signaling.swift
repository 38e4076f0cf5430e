import ICE
import SwarmBase
import WebRTC

/// Signaling: offers, answers and candidates, sealed and signed, over every carrier there is.
extension SwarmEngine {
    // MARK: What is due

    /// Offers, repeats, restarts and gives up, as the negotiation with a member asks for.
    mutating func negotiate(with member: Member, now: Instant) {
        guard configuration.usesConnections, !isLeaving, member.cipher != nil, !member.isDormant,
            isWelcome(member, now: now)
        else { return }
        if let at = member.negotiation.mayOffer, now >= at, !localCandidates.isEmpty {
            if carriesSignals(to: member) {
                offer(to: member, now: now)
            } else {
                // Nothing carries a directed offer, but open ones may do.
                trackers.announceSoon(now: now)
                drainTrackers(now: now)
                member.negotiation.ended(now: now, jitter: jitter())
            }
        }
        if let deadline = member.negotiation.deadline, now >= deadline {
            endConnection(with: member, now: now)
        }
        if let (datagram, at, count) = member.resend, now >= at {
            send(signal: datagram, to: member, now: now)
            member.resend = count >= 6 ? nil : (datagram, now + .seconds(1 << count), count + 1)
        }
        restartIfBroken(member, now: now)
    }

    /// When `negotiate` is due.
    func negotiationTimeout(of member: Member) -> Instant? {
        guard configuration.usesConnections, !isLeaving, member.cipher != nil, !member.isDormant,
            member.refusal == nil, member.refusedUs == nil
        else { return nil }
        var next: Instant? = localCandidates.isEmpty ? nil : member.negotiation.mayOffer
        next = .earlier(next, member.negotiation.deadline)
        next = .earlier(next, member.resend?.at)
        return .earlier(next, restartAt(member))
    }

    // MARK: Offers of ours

    private mutating func offer(to member: Member, now: Instant) {
        let connection = makeConnection(to: member.peer, now: now)
        do {
            try openChannel(on: connection, now: now)
            let description = try connection.peerConnection.createOffer(now: now)
            member.negotiation.offered(
                connection.id, wall: UInt64(max(0, wall(now))),
                deadline: now + .seconds(usesMail(with: member) ? 60 : 20))
            signal(.offer(sdp: description.sdp), about: connection.id, to: member, repeating: true, now: now)
            drain(connection, now: now)
        } catch {
            remove(connection, now: now)
            events.append(.warning("no offer could be made: \(error)"))
            member.negotiation.ended(now: now, jitter: jitter())
        }
    }

    private mutating func restart(_ connection: Connection, with member: Member, now: Instant) {
        guard let description = try? connection.peerConnection.createOffer(restart: true, now: now) else { return }
        member.negotiation.restarted(wall: UInt64(max(0, wall(now))))
        signal(.offer(sdp: description.sdp), about: connection.id, to: member, repeating: true, now: now)
        drain(connection, now: now)
    }

    /// An ICE restart, tried again ever later while the direct path stays silent.
    private mutating func restartIfBroken(_ member: Member, now: Instant) {
        guard let connection = openConnection(of: member) else { return }
        let silentSince = silentSince(member, connection)
        endRestartIfWell(member)
        guard let at = restartAt(member), now >= at else { return }
        // Our NAT may have forgotten us: where it shows us now is learned in a round trip, and told to the other side.
        stun.refresh(now: now)
        drainSTUN(now: now)
        let count = member.restart?.count ?? 0
        member.restart = (now + .seconds(min(1 << min(count, 4), 15)), count + 1)
        if let silentSince, now - silentSince > .seconds(60) {
            endConnection(with: member, now: now)
        } else if carriesSignals(to: member) {
            if member.negotiation.decides {
                restart(connection, with: member, now: now)
            } else {
                signal(.restartRequest, about: connection.id, to: member, repeating: false, now: now)
            }
        }
    }

    /// A path that is heard again needs no further restart, beside one that a change of the network asks for.
    func endRestartIfWell(_ member: Member) {
        guard let count = member.restart?.count, count != 0, let connection = openConnection(of: member),
            silentSince(member, connection) == nil
        else { return }
        member.restart = nil
    }

    private func restartAt(_ member: Member) -> Instant? {
        guard let connection = openConnection(of: member) else { return nil }
        guard let silentSince = silentSince(member, connection) else {
            return member.restart?.count == 0 ? member.restart?.at : nil
        }
        return member.restart?.at ?? silentSince + .seconds(1)
    }

    private func silentSince(_ member: Member, _ connection: Connection) -> Instant? {
        .earlier(member.session.suspectSince, connection.brokenSince)
    }

    // MARK: Signals of others

    /// Takes a signal that was opened and whose signature was good.
    mutating func take(_ signal: Signal, plane: Plane, now: Instant) {
        guard signal.recipient == peerID, signal.sender != peerID else { return refuse(.notForUs) }
        guard isFresh(signal.timestamp, now: now) else { return refuse(.stale) }
        guard let member = members[signal.sender], member.cipher != nil else { return refuse(.notForUs) }
        guard member.refusal == nil else { return sayRefused(to: member, now: now) }
        heard(from: member, now: now)
        let sighting = seenSignals.insert(signal.id, plane: plane, now: now)
        guard sighting != .copy, configuration.usesConnections else { return }
        let isNew = sighting == .new
        switch signal.content {
        case .offer(let sdp):
            takeOffer(sdp, signal, from: member, isNew: isNew, now: now)
        case .answer(let sdp):
            guard isNew else { return refuse(.replayed) }
            takeAnswer(sdp, signal, from: member, now: now)
        case .candidates(let ufrag, let lines):
            guard isNew else { return refuse(.replayed) }
            guard let connection = connections[signal.connection], connection.peer == member.peer else { return }
            for line in lines { connection.peerConnection.addRemoteCandidate(line, ufrag: ufrag, now: now) }
            drain(connection, now: now)
        case .restartRequest:
            guard isNew else { return refuse(.replayed) }
            // While an offer of ours is still being repeated, there is no need for another.
            guard member.negotiation.decides, member.resend == nil,
                let connection = openConnection(of: member), connection.id == signal.connection
            else { return }
            restart(connection, with: member, now: now)
        case .closed:
            guard isNew else { return refuse(.replayed) }
            if member.negotiation.connection == signal.connection { endConnection(with: member, now: now) }
        }
        pump(member, now: now)
    }

    private mutating func takeOffer(
        _ sdp: String, _ signal: Signal, from member: Member, isNew: Bool, now: Instant
    ) {
        switch member.negotiation.verdict(onOffer: signal.connection, attempt: signal.attempt) {
        case .ignore:
            if !isNew { refuse(.replayed) }
        case .repeatAnswer:
            if let answer = member.lastAnswer { send(signal: answer, to: member, now: now) }
        case .restart:
            guard isNew, let connection = connections[signal.connection] else { return refuse(.replayed) }
            answer(sdp, signal, on: connection, to: member, now: now)
        case .gone:
            guard isNew else { return refuse(.replayed) }
            self.signal(.closed, about: signal.connection, to: member, repeating: false, now: now)
        case .answer:
            guard isNew else { return refuse(.replayed) }
            endConnection(with: member, now: now)
            let connection = makeConnection(id: signal.connection, to: member.peer, now: now)
            answer(sdp, signal, on: connection, to: member, now: now)
        }
    }

    /// Answers an offer on a connection.
    @discardableResult
    private mutating func answer(
        _ sdp: String, _ offer: Signal, on connection: Connection, to member: Member, now: Instant
    ) -> String? {
        do {
            let description = try connection.peerConnection.accept(
                offer: SessionDescription(kind: .offer, parsing: sdp), now: now)
            member.negotiation.answered(
                connection.id, attempt: offer.attempt,
                // A mailbox is read every few seconds.
                deadline: now + configuration.connectTimeout * (usesMail(with: member) ? 3 : 1))
            member.lastAnswer = signal(
                .answer(sdp: description.sdp), about: connection.id, to: member, repeating: false, now: now)
            drain(connection, now: now)
            return description.sdp
        } catch {
            refuse(.malformed)
            events.append(.warning("an offer of \(member.peer.short) could not be answered: \(error)"))
            if !connection.isOpen { remove(connection, now: now) }
            return nil
        }
    }

    private mutating func takeAnswer(_ sdp: String, _ signal: Signal, from member: Member, now: Instant) {
        guard let connection = connections[signal.connection] else { return }
        let isOpenOffer = connection.peer == nil
        guard isOpenOffer || connection.peer == member.peer else { return refuse(.forged) }
        let former = member.negotiation.connection
        guard
            member.negotiation.takesAnswer(
                signal.connection, attempt: signal.attempt, toOpenOffer: isOpenOffer,
                deadline: now + configuration.connectTimeout)
        else { return }
        member.resend = nil
        if isOpenOffer {
            if let former, former != connection.id, let old = connections[former] { remove(old, now: now) }
            connection.peer = member.peer
            let said = connection.peerConnection.localDescription?.candidates ?? []
            let unsaid = connection.peerConnection.localCandidates.filter { !said.contains($0) }
            if !unsaid.isEmpty { trickle(unsaid.map(\.sdp), on: connection, now: now) }
        }
        do {
            try connection.peerConnection.accept(
                answer: SessionDescription(kind: .answer, parsing: sdp), now: now)
            drain(connection, now: now)
        } catch {
            refuse(.malformed)
            events.append(.warning("the answer of \(member.peer.short) was not understood: \(error)"))
            if !connection.isOpen { endConnection(with: member, now: now) }
        }
    }

    // MARK: Offers through trackers

    /// What a tracker carries in place of an SDP: base64url of a presence record and a signal
    /// (docs/protocol.md, "Tracker").
    struct TrackerBlob {
        var presence: [UInt8]
        var signal: [UInt8]

        init(presence: [UInt8], signal: [UInt8]) {
            self.presence = presence
            self.signal = signal
        }

        init?(_ text: String) {
            guard text.utf8.count <= Signal.largest * 2, let bytes = [UInt8](base64URL: text) else { return nil }
            var reader = ByteReader(bytes)
            guard let presence = reader.prefixed(by: UInt16.self) else { return nil }
            self.presence = presence
            signal = reader.rest()
        }

        var text: String {
            var writer = ByteWriter(capacity: presence.count + signal.count + 2)
            writer.prefixed(by: UInt16.self, presence)
            writer.append(signal)
            return writer.bytes.base64URL
        }
    }

    /// Offers for a tracker to hand to whoever is there: each is a connection of its own that costs little until answered.
    mutating func openOffers(_ count: Int, now: Instant) -> [String] {
        guard configuration.usesConnections, !isLeaving, let presence = sealedPresence(now: now) else {
            return []
        }
        let waiting = connections.values.filter { $0.peer == nil }.count
        var offers: [String] = []
        for _ in 0..<max(0, min(count, configuration.mostOpenOffers - waiting)) {
            let connection = makeConnection(to: nil, now: now)
            connection.expiresAt = now + .seconds(60)
            guard (try? openChannel(on: connection, now: now)) != nil,
                let description = try? connection.peerConnection.createOffer(now: now),
                let sealed = try? signal(.offer(sdp: description.sdp), about: connection.id, to: nil, now: now)
                    .sealed(by: identity, topic: topic)
            else {
                remove(connection, now: now)
                continue
            }
            drain(connection, now: now)
            offers.append(TrackerBlob(presence: presence, signal: sealed).text)
        }
        return offers
    }

    /// Takes an offer that a tracker brought; the answer goes back through `reply` and over the relay.
    mutating func takeOpenOffer(_ text: String, now: Instant) -> String? {
        guard let blob = TrackerBlob(text) else {
            refuse(.malformed)
            return nil
        }
        guard let member = takePresence(blob.presence, plane: .tracker, now: now) else {
            // Nothing else may lead to one who does not know yet that it is not heard: no signal goes with what it is shown.
            return seenPresence[blob.presence].flatMap { recordToShow(insteadOf: $0, now: now) }
                .map { TrackerBlob(presence: $0, signal: []).text }
        }
        defer { pump(member, now: now) }
        let offer: Signal
        do { offer = try Signal(openingForAnyone: blob.signal, topic: topic) } catch {
            refuse(error)
            return nil
        }
        guard offer.sender == member.peer, offer.recipient == nil, case .offer(let sdp) = offer.content else {
            refuse(.forged)
            return nil
        }
        guard isFresh(offer.timestamp, now: now) else {
            refuse(.stale)
            return nil
        }
        switch seenSignals.insert(offer.id, plane: .tracker, now: now) {
        case .new: break
        case .copy: return nil
        case .replayed:
            refuse(.replayed)
            return nil
        }
        guard configuration.usesConnections, member.negotiation.takesOpenOffer, !localCandidates.isEmpty,
            let presence = sealedPresence(now: now)
        else { return nil }
        // The decider's attempt numbers order its directed offers; an open one stands outside that order, so that a
        // directed offer which is on its way still counts.
        var taken = offer
        taken.attempt = member.negotiation.attempt
        if member.negotiation.decides { taken.attempt = max(taken.attempt + 1, UInt64(max(0, wall(now)))) }
        let connection = makeConnection(id: offer.connection, to: member.peer, now: now)
        guard answer(sdp, taken, on: connection, to: member, now: now) != nil, let sealed = member.lastAnswer else {
            return nil
        }
        return TrackerBlob(presence: presence, signal: sealed).text
    }

    /// Takes an answer that a tracker brought.
    mutating func takeTrackerAnswer(_ text: String, now: Instant) {
        guard let blob = TrackerBlob(text) else { return refuse(.malformed) }
        guard let member = takePresence(blob.presence, plane: .tracker, now: now) else { return }
        do {
            take(try Signal(opening: blob.signal, with: sessionKey, topic: topic), plane: .tracker, now: now)
        } catch {
            refuse(error)
        }
        pump(member, now: now)
    }

    // MARK: Inside

    /// Tells a member of candidates found since the description was sent.
    mutating func trickle(_ lines: [String], on connection: Connection, now: Instant) {
        guard let peer = connection.peer, let member = members[peer] else { return }
        guard let ufrag = connection.peerConnection.localUfrags.first else { return }
        signal(.candidates(ufrag: ufrag, lines), about: connection.id, to: member, repeating: false, now: now)
    }

    /// Seals a signal to a member and sends it.
    ///
    /// - Returns: the sealed signal.
    @discardableResult
    private mutating func signal(
        _ content: Signal.Content, about connection: ConnectionID, to member: Member, repeating: Bool, now: Instant
    ) -> [UInt8]? {
        guard let key = member.presence?.sessionKey else { return nil }
        do {
            let signal = signal(content, about: connection, to: member, now: now)
            let sealed = try signal.sealed(by: identity, to: key, topic: topic)
            post(signal, to: member, now: now)
            send(signal: sealed, to: member, now: now)
            if repeating { member.resend = (sealed, now + .seconds(1), 1) }
            return sealed
        } catch {
            events.append(.warning("a signal to \(member.peer.short) is too large to be sent"))
            return nil
        }
    }

    private mutating func signal(
        _ content: Signal.Content, about connection: ConnectionID, to member: Member?, now: Instant
    ) -> Signal {
        Signal(
            sender: peerID, recipient: member?.peer, timestamp: UInt64(max(0, wall(now))), id: entropy.next(),
            connection: connection, attempt: member?.negotiation.attempt ?? UInt64(max(0, wall(now))),
            content: content)
    }

    private mutating func jitter() -> Double { Double.random(in: 0...1, using: &entropy) }

    /// Gives the connection with a member up; the deciding side tries another later.
    mutating func endConnection(with member: Member, now: Instant) {
        if let id = member.negotiation.connection, let connection = connections[id] { remove(connection, now: now) }
        member.resend = nil
        member.negotiation.ended(now: now, jitter: jitter())
        datagrams.seekAgain(member.peer, now: now)
    }
}
