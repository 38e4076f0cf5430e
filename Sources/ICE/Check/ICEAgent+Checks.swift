internal import SwarmBase

/// Sending checks: pacing, retransmission, and their answers (RFC 8445 §6.1.4, §7.2).
extension ICEAgent {
    /// Sends new checks as far as pacing allows: triggered ones first, the newest generation first.
    mutating func sendDueChecks(_ now: Instant) {
        while now >= nextToken, let (g, index) = nextCheck() {
            let isNominated = generations[g].pairs[index].path == generations[g].pairToNominate
            sendCheck(index, in: g, nominates: isNominated, retransmits: true, now: now)
            nextToken = now + configuration.pacingInterval
        }
    }

    private mutating func nextCheck() -> (generation: Int, index: Int)? {
        for g in generations.indices.reversed() where isChecking(g) {
            while let index = generations[g].dequeueTriggered() {
                // Answered while it waited for its turn.
                let pair = generations[g].pairs[index]
                if pair.isValid, pair.unansweredSince == nil, !pair.mustAnswer, state != .disconnected { continue }
                return (g, index)
            }
        }
        for g in generations.indices.reversed() where isChecking(g) {
            if let index = generations[g].nextWaiting() { return (g, index) }
        }
        return nil
    }

    func isChecking(_ g: Int) -> Bool { generations[g].remote != nil && !generations[g].isRevoked }

    /// Whether ``sendDueChecks(_:)`` has something to send once pacing allows.
    var hasQueuedCheck: Bool {
        generations.indices.contains { g in
            isChecking(g) && (!generations[g].triggered.isEmpty || generations[g].nextWaiting() != nil)
        }
    }

    /// Sends one check now.
    ///
    /// - Parameters:
    ///   - nominates: adds USE-CANDIDATE; only as controlling.
    ///   - retransmits: sends it again until it is answered. Consent checks are not: a new one follows soon.
    mutating func sendCheck(_ index: Int, in g: Int, nominates: Bool, retransmits: Bool, now: Instant) {
        guard let remote = generations[g].remote else { return }
        let path = generations[g].pairs[index].path
        let id = STUNTransactionID.random(using: &entropy)
        var attributes: [STUNAttribute] = [
            .username(remote.username), .priority(peerReflexivePriority(of: path)),
            role == .controlling ? .iceControlling(tieBreaker) : .iceControlled(tieBreaker),
        ]
        let nominates = nominates && role == .controlling
        if nominates { attributes.append(.useCandidate) }
        let datagram = STUNMessage(.request, transactionID: id, attributes: attributes).encoded(key: remote.key)
        makeRoomForTransaction(now)
        transactions[id] = Transaction(
            generation: generations[g].id, path: path, role: role, nominates: nominates, firstSent: now,
            lastSent: now, sends: 1)
        transmits.append(Transmit(to: path.remote, payload: datagram, via: path.relay))
        let timeout = retransmissionTimeout(generations[g].pairs[index])
        generations[g].update(index) { pair in
            pair.mustAnswer = false
            pair.counters.requestsSent += 1
            pair.firstCheck = pair.firstCheck ?? now
            pair.lastCheck = now
            pair.unansweredSince = pair.unansweredSince ?? now
            if !pair.isValid { pair.state = .inProgress }
            guard retransmits else { return }
            pair.retransmission = .init(
                id: id, datagram: datagram, nominates: nominates, sends: 1, timeout: timeout, next: now + timeout)
        }
    }

    private func retransmissionTimeout(_ pair: CandidatePair) -> Duration {
        guard let roundTrip = pair.roundTrip else { return configuration.initialRetransmissionTimeout }
        return min(max(roundTrip * 3, .milliseconds(50)), configuration.maximumRetransmissionTimeout)
    }

    /// Forgets transactions whose answers would be too late; in a full table the one sent longest ago.
    private mutating func makeRoomForTransaction(_ now: Instant) {
        guard transactions.count >= configuration.maximumTransactions else { return }
        let lifetime = configuration.transactionLifetime
        transactions = transactions.filter { now - $0.value.lastSent < lifetime }
        guard transactions.count >= configuration.maximumTransactions else { return }
        if let oldest = transactions.min(by: { $0.value.lastSent < $1.value.lastSent }) {
            transactions[oldest.key] = nil
        }
    }

    /// Sends checks again that are due, and gives up those that were sent often enough.
    mutating func retransmit(_ now: Instant) {
        for g in generations.indices where isChecking(g) {
            for index in generations[g].pairs.indices {
                guard let due = generations[g].pairs[index].retransmission?.next, due <= now,
                    let check = generations[g].pairs[index].retransmission
                else { continue }
                if check.sends >= configuration.maximumSends {
                    giveUp(index, in: g, now)
                    continue
                }
                let path = generations[g].pairs[index].path
                transmits.append(Transmit(to: path.remote, payload: check.datagram, via: path.relay))
                transactions[check.id]?.sends += 1
                transactions[check.id]?.lastSent = now
                let timeout = min(check.timeout * 2, configuration.maximumRetransmissionTimeout)
                let isLast = check.sends + 1 >= configuration.maximumSends
                let wait = isLast ? configuration.finalWait : timeout
                generations[g].update(index) {
                    $0.counters.requestsSent += 1
                    $0.retransmission?.sends += 1
                    $0.retransmission?.timeout = timeout
                    $0.retransmission?.next = now + wait
                    $0.lastCheck = now
                }
            }
        }
    }

    /// A check went without an answer for good. A valid pair stays so until its consent expires.
    private mutating func giveUp(_ index: Int, in g: Int, _ now: Instant) {
        let pair = generations[g].pairs[index]
        if generations[g].nominating == pair.path { generations[g].nominating = nil }
        generations[g].update(index) {
            $0.retransmission = nil
            $0.wasTried = true
            if !$0.isValid {
                $0.state = .failed
                $0.failedAt = now
            }
        }
    }

    /// The answer to a check (RFC 8445 §7.2.5).
    mutating func handleAnswer(_ received: ReceivedSTUNMessage, on path: ICEPath, now: Instant) -> Bool {
        let answer = received.message
        guard let transaction = transactions[answer.transactionID], transaction.path == path,
            let g = generations.firstIndex(where: { $0.id == transaction.generation }), isChecking(g),
            let remote = generations[g].remote, received.isAuthentic(key: remote.key),
            received.unknownRequiredAttributes.isEmpty, let index = generations[g].index(of: path)
        else { return false }
        transactions[answer.transactionID] = nil
        noteValidated(path.remote)
        if answer.messageClass == .success {
            succeed(index, in: g, transaction, answer, now)
            return true
        }
        let isPending = generations[g].pairs[index].retransmission?.id == answer.transactionID
        if answer.errorCode == 487, generations[g].roleConflicts < configuration.maximumRoleConflicts {
            generations[g].roleConflicts += 1
            if transaction.role == role {
                changeRole(to: role.opposite)
                tieBreaker = entropy.next()
            }
            generations[g].update(index) {
                $0.lastReceived = now
                $0.unansweredSince = $0.unansweredSince ?? now
                if isPending { $0.retransmission = nil }
            }
            generations[g].enqueueTriggered(index)
        } else if isPending {
            giveUp(index, in: g, now)
        }
        return true
    }

    private mutating func succeed(
        _ index: Int, in g: Int, _ transaction: Transaction, _ answer: STUNMessage, _ now: Instant
    ) {
        let id = answer.transactionID
        var becameValid = false
        generations[g].update(index) { pair in
            pair.lastReceived = now
            pair.lastAnswer = now
            pair.unansweredSince = nil
            pair.wasTried = true
            // Which sending of several was answered cannot be told.
            pair.counters.responsesReceived += 1
            if transaction.sends == 1 { pair.noteRoundTrip(now - transaction.firstSent, now) }
            // A nomination is settled by its own answer only.
            if let pending = pair.retransmission, pending.id == id || !pending.nominates || transaction.nominates {
                pair.retransmission = nil
            }
            becameValid = !pair.isValid
            pair.state = .succeeded
        }
        if becameValid {
            generations[g].firstValidAt = generations[g].firstValidAt ?? now
            generations[g].isFailed = false
        }
        if let reflexive = answer.reflexiveAddress, generations[g].pairs[index].reflexiveAddress == nil {
            learn(reflexive, from: index, in: g)
        }
        // A consent check nominates too, but only the pair that was nominated when it left.
        if transaction.nominates, role == .controlling, generations[g].nominating == transaction.path {
            generations[g].nominated = transaction.path
            generations[g].nominating = nil
        }
        scheduleRefresh(index, in: g, now)
    }

    /// RFC 8445 §7.2.5.3.1: an address of ours that nobody knew is a local peer-reflexive candidate; its base is the
    /// socket that all pairs share.
    private mutating func learn(_ reflexive: TransportAddress, from index: Int, in g: Int) {
        let path = generations[g].pairs[index].path
        guard path.relay == nil, !localCandidates.isEmpty, !localCandidates.contains(where: { $0.address == reflexive })
        else { return }
        generations[g].update(index) { $0.reflexiveAddress = reflexive }
        if localCandidates.count < configuration.maximumLocalCandidates {
            localCandidates.append(
                Candidate(
                    kind: .peerReflexive, address: reflexive, priority: peerReflexivePriority(of: path),
                    foundation: Candidate.foundation(.peerReflexive, base: reflexive.address, server: nil)))
        }
        updatePriorities()
    }
}
