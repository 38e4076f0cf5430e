internal import SwarmBase

extension ICEAgent {
    /// A check by the peer (RFC 8445 §7.3).
    mutating func handleRequest(
        _ received: ReceivedSTUNMessage, on path: ICEPath, now: Instant
    ) -> Bool {
        let request = received.message
        guard let (localUfrag, remoteUfrag) = request.username.flatMap(STUNMessage.splitUsername) else { return false }
        let g = generations.lastIndex { $0.local.ufrag == localUfrag }
        guard
            let key = g.map({ generations[$0].localKey }) ?? retired.last(where: { $0.local.ufrag == localUfrag })?.key,
            received.isAuthentic(key: key)
        else { return false }
        let unknown = received.unknownRequiredAttributes
        guard unknown.isEmpty else {
            answer(request, with: 420, key: key, on: path, [.unknownAttributes(unknown)])
            return true
        }
        guard let g else {
            // The peer lags behind a restart: it keeps its consent, we learn nothing new.
            answer(request, key: key, on: path)
            return true
        }
        // Another peer that answered the same offer, or a generation whose description is still to come.
        if let remote = generations[g].remote, remote.credentials.ufrag != remoteUfrag { return false }
        guard resolveRoleConflict(with: request, in: g) else {
            answer(request, with: 487, key: key, on: path)
            return true
        }
        answer(request, key: key, on: path)
        noteValidated(path.remote)
        let priority = request.priority ?? peerReflexivePriority(of: path)
        if generations[g].remote == nil {
            keepEarlyCheck(
                .init(
                    path: path, remoteUfrag: remoteUfrag, priority: priority, nominates: request.hasUseCandidate),
                in: g)
        } else {
            processCheck(on: path, priority: priority, nominates: request.hasUseCandidate, in: g, now: now)
        }
        return true
    }

    /// RFC 8445 §7.3.1.3–5: learns the pair, queues the triggered check, notes the nomination.
    mutating func processCheck(
        on path: ICEPath, priority: UInt32, nominates: Bool, in g: Int, now: Instant
    ) {
        guard !generations[g].isRevoked else { return }
        let index: Int
        if let known = generations[g].index(of: path) {
            index = known
        } else {
            guard let new = insertPair(path, kind: .peerReflexive, priority: priority, in: g) else { return }
            index = new
            // The peer has moved, or its NAT has: find out soon whether the old way still works.
            probeSelectedPair(in: g, now)
        }
        let isFirst = generations[g].pairs[index].counters.requestsReceived == 0
        generations[g].update(index) {
            $0.lastReceived = now
            // What reaches this has been answered.
            $0.counters.requestsReceived += 1
            $0.counters.responsesSent += 1
        }
        let pair = generations[g].pairs[index]
        if nominates, role == .controlled { noteNomination(of: index, in: g, now) }
        if isFirst, role == .controlling, pair.path == generations[g].pairToNominate {
            // The peer has our description now. Of a nomination that came before it Firefox keeps nothing, although it has
            // answered that.
            sendCheck(index, in: g, nominates: true, retransmits: true, now: now)
        }
        let isDoubtful = pair.unansweredSince.map { now - $0 >= doubtTime(pair) } ?? false
        if !pair.isValid || state == .disconnected || isDoubtful { generations[g].enqueueTriggered(index) }
    }

    /// - Returns: `false` when the peer has to change its role (RFC 8445 §7.3.1.1).
    private mutating func resolveRoleConflict(with request: STUNMessage, in g: Int) -> Bool {
        for attribute in request.attributes {
            switch (attribute, role) {
            case (.iceControlling(let theirs), .controlling):
                if tieBreaker >= theirs || generations[g].remote?.isLite == true { return false }
                yieldRole(in: g)
            case (.iceControlled(let theirs), .controlled):
                if tieBreaker < theirs { return false }
                yieldRole(in: g)
            default:
                continue
            }
            return true
        }
        return true
    }

    private mutating func yieldRole(in g: Int) {
        guard generations[g].roleConflicts < configuration.maximumRoleConflicts else { return }
        generations[g].roleConflicts += 1
        changeRole(to: role.opposite)
    }

    private mutating func keepEarlyCheck(_ check: ICEGeneration.EarlyCheck, in g: Int) {
        if let index = generations[g].earlyChecks.firstIndex(where: {
            $0.path == check.path && $0.remoteUfrag == check.remoteUfrag
        }) {
            if check.nominates { generations[g].earlyChecks[index].nominates = true }
        } else if generations[g].earlyChecks.count < configuration.maximumEarlyChecks {
            generations[g].earlyChecks.append(check)
        }
    }

    mutating func noteValidated(_ source: TransportAddress) {
        guard validated.insert(source).inserted else { return }
        validatedOrder.append(source)
        // A peer that roams for long fills any table: the oldest address goes, unless it is the one in use.
        if validatedOrder.count > configuration.maximumPairs {
            let index = validatedOrder.firstIndex { $0 != sendPath?.remote } ?? 0
            validated.remove(validatedOrder.remove(at: index))
        }
        events.append(.validatedRemote(source))
    }

    private mutating func answer(_ request: STUNMessage, key: STUNIntegrityKey, on path: ICEPath) {
        let message = STUNMessage(
            .success, transactionID: request.transactionID, attributes: [.xorMappedAddress(path.remote)])
        transmits.append(Transmit(to: path.remote, payload: message.encoded(key: key), via: path.relay))
    }

    private mutating func answer(
        _ request: STUNMessage, with code: UInt16, key: STUNIntegrityKey, on path: ICEPath,
        _ more: [STUNAttribute] = []
    ) {
        let message = STUNMessage(
            .error, transactionID: request.transactionID, attributes: [.errorCode(code, reason: "")] + more)
        transmits.append(Transmit(to: path.remote, payload: message.encoded(key: key), via: path.relay))
    }
}
