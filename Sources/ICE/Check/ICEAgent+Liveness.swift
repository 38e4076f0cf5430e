internal import SwarmBase

/// Consent, silence, failure (RFC 7675, RFC 8863), and the deadlines of all of it.
extension ICEAgent {
    /// Does everything that is due and brings state, selection and deadline up to date: the end of every input.
    mutating func settle(_ now: Instant) {
        retired.removeAll { $0.until <= now }
        expireConsent(now)
        retransmit(now)
        select(now)
        updateState(now)
        retryFailedPairs(now)
        recheckAll(now)
        refresh(now)
        sendDueChecks(now)
        updateDeadline(now)
    }

    private mutating func expireConsent(_ now: Instant) {
        for g in generations.indices where isChecking(g) {
            var hasExpired = false
            for index in generations[g].pairs.indices where isConsentOver(index, in: g, now) {
                hasExpired = true
                let path = generations[g].pairs[index].path
                generations[g].update(index) {
                    $0.state = .failed
                    $0.failedAt = now
                    $0.retransmission = nil
                    $0.nextRefresh = nil
                }
                if generations[g].nominated == path { generations[g].nominated = nil }
                if generations[g].nominating == path { generations[g].nominating = nil }
                if generations[g].followed == path { generations[g].followed = nil }
            }
            if hasExpired, !generations[g].hasValidPair {
                generations[g].isRevoked = true
                generations[g].isFailed = true
                generations[g].selected = nil
            }
        }
    }

    private func isConsentOver(_ index: Int, in g: Int, _ now: Instant) -> Bool {
        guard generations[g].pairs[index].isValid, let last = generations[g].pairs[index].lastAnswer else {
            return false
        }
        return now - last >= configuration.consentTimeout
    }

    private mutating func updateState(_ now: Instant) {
        let timeout = configuration.disconnectTimeout
        let new: ICEState
        if let g = generations.indices.last(where: { generations[$0].selected != nil }),
            let index = generations[g].selectedIndex
        {
            if generations[g].pairs[index].isSilent(now, timeout: timeout) {
                new = .disconnected
            } else if let since = disconnectedAt, generations[g].pairs[index].lastAnswer.map({ $0 < since }) ?? true {
                // Something came, but whether our packets arrive the triggered check will tell.
                new = .disconnected
            } else {
                new = .connected
            }
        } else if generations[current].remote == nil {
            new = generations.contains(where: \.isRevoked) ? .failed : .new
        } else {
            if !generations[current].isFailed, let deadline = failureTime, deadline <= now {
                generations[current].isFailed = true
            }
            new = generations[current].isFailed ? .failed : .checking
        }
        disconnectedAt = new == .disconnected ? disconnectedAt ?? now : nil
        nextRecheck = new == .disconnected ? nextRecheck ?? now : nil
        guard new != state else { return }
        state = new
        events.append(.stateChanged(new))
    }

    /// When an agent without a valid pair gives up; `nil` while pairs wait for their first check's end (RFC 8863 §4).
    private var failureTime: Instant? {
        let generation = generations[current]
        guard let started = generation.startedAt, !generation.hasValidPair else { return nil }
        var deadline = started + configuration.patience
        if let localEndedAt, let remoteEnded = generation.remoteEndedAt {
            let ended = max(started, localEndedAt, remoteEnded)
            deadline = min(deadline, ended + configuration.endOfCandidatesPatience)
        }
        // A candidate that came late gets its full round. It ends also while the peer's checks renew it for ever.
        for pair in generation.pairs where !pair.wasTried {
            guard let first = pair.firstCheck else { return nil }
            deadline = max(deadline, first + roundTime)
        }
        return deadline
    }

    /// How long a check is sent until it is given up.
    private var roundTime: Duration {
        var (total, timeout) = (configuration.finalWait, configuration.initialRetransmissionTimeout)
        for _ in 1..<max(2, configuration.maximumSends) {
            total += timeout
            timeout = min(timeout * 2, configuration.maximumRetransmissionTimeout)
        }
        return total
    }

    /// While nothing works and there is still time, pairs that were given up get another chance.
    private mutating func retryFailedPairs(_ now: Instant) {
        guard state == .checking else { return }
        for index in generations[current].pairs.indices {
            let pair = generations[current].pairs[index]
            guard pair.state == .failed, let at = pair.failedAt, now - at >= configuration.retryInterval else {
                continue
            }
            generations[current].update(index) { $0.state = .waiting }
        }
    }

    /// While disconnected all pairs are checked again every half second: valid ones at once, others as pacing allows.
    private mutating func recheckAll(_ now: Instant) {
        guard state == .disconnected, let due = nextRecheck, due <= now else { return }
        nextRecheck = now + configuration.recheckInterval
        for g in generations.indices where isChecking(g) {
            for index in generations[g].pairs.indices {
                let pair = generations[g].pairs[index]
                if pair.isValid {
                    sendRefresh(index, in: g, now)
                } else if pair.state != .waiting,
                    pair.lastCheck.map({ now - $0 >= configuration.recheckInterval }) ?? true
                {
                    generations[g].update(index) {
                        $0.retransmission = nil
                        $0.state = .waiting
                    }
                }
            }
        }
    }

    /// Puts all pairs of a generation in the queue: valid ones as triggered checks, failed ones for another round.
    mutating func recheckPairs(of g: Int) {
        for index in generations[g].pairs.indices {
            let pair = generations[g].pairs[index]
            if pair.isValid {
                // Not settled by what was on the way before.
                generations[g].update(index) { $0.mustAnswer = true }
                generations[g].enqueueTriggered(index)
            } else if pair.state == .failed {
                generations[g].update(index) { $0.state = .waiting }
            }
        }
    }

    /// Sends consent checks of pairs in use and checks of spare pairs.
    private mutating func refresh(_ now: Instant) {
        guard state != .disconnected else { return }
        for g in generations.indices where isChecking(g) {
            let isSuspicious = isSuspicious(g, now)
            for index in generations[g].pairs.indices {
                if let due = refreshTime(index, in: g, isSuspicious), due <= now { sendRefresh(index, in: g, now) }
            }
        }
    }

    /// A check of a valid pair. It keeps nominating the pair that was nominated: lite peers and browsers expect it.
    private mutating func sendRefresh(_ index: Int, in g: Int, _ now: Instant) {
        let path = generations[g].pairs[index].path
        // Where the next one follows soon this one is not repeated: its answer is then a measurement (RFC 6298 §3).
        let isFollowed =
            path == generations[g].selected || path == generations[g].challenger?.path || state == .disconnected
        sendCheck(
            index, in: g, nominates: path == generations[g].pairToNominate,
            retransmits: !isFollowed && generations[g].pairs[index].retransmission == nil, now: now)
        scheduleRefresh(index, in: g, now)
    }

    /// Sets when a valid pair is checked next if nothing calls for it earlier: the pair in use for consent, the best spare
    /// ones to keep them; the rest may expire.
    mutating func scheduleRefresh(_ index: Int, in g: Int, _ now: Instant) {
        guard generations[g].pairs[index].path != generations[g].selected else {
            let spread = 0.8 + 0.4 * Double(jitter.next() >> 11) / Double(1 << 53)
            generations[g].update(index) { $0.nextRefresh = now + configuration.consentInterval * spread }
            return
        }
        let generation = generations[g]
        let pair = generation.pairs[index]
        let better = generation.pairs.count {
            $0.isValid && $0.path != generation.selected && $0.priority > pair.priority
        }
        let spread = 0.8 + 0.2 * Double(jitter.next() >> 11) / Double(1 << 53)
        generations[g].update(index) {
            $0.nextRefresh = better < configuration.sparePairs ? now + configuration.spareInterval * spread : nil
        }
    }

    /// Whether the pair in use has been silent long enough to ask the spare ones too.
    private func isSuspicious(_ g: Int, _ now: Instant) -> Bool {
        guard let index = generations[g].selectedIndex else { return false }
        return generations[g].pairs[index].isSilent(now, timeout: configuration.suspicionTimeout)
    }

    /// When the next check of a valid pair is due.
    private func refreshTime(_ index: Int, in g: Int, _ isSuspicious: Bool) -> Instant? {
        guard generations[g].pairs[index].isValid else { return nil }
        let earliest = (generations[g].pairs[index].lastCheck ?? .zero) + configuration.recheckInterval
        let isSelected = generations[g].pairs[index].path == generations[g].selected
        if let challenger = generations[g].challenger,
            isSelected || generations[g].pairs[index].path == challenger.path
        {
            return earliest
        }
        guard isSelected else { return isSuspicious ? earliest : generations[g].pairs[index].nextRefresh }
        var due = generations[g].pairs[index].nextRefresh ?? earliest
        if let lastReceived = generations[g].pairs[index].lastReceived {
            due = min(due, max(lastReceived + configuration.suspicionTimeout, earliest))
        }
        // A lost check is repeated well before anyone could think the path dead.
        if let since = generations[g].pairs[index].unansweredSince {
            due = min(due, max(since + doubtTime(generations[g].pairs[index]), earliest))
        }
        return due
    }

    private mutating func updateDeadline(_ now: Instant) {
        var deadline: Instant?
        var upkeep: Instant? = retired.lazy.map(\.until).min()
        func consider(_ instant: Instant?) { deadline = .earlier(deadline, instant) }
        func considerUpkeep(_ instant: Instant?) { upkeep = .earlier(upkeep, instant) }
        if hasQueuedCheck { consider(nextToken) }
        consider(nextRecheck)
        if state == .checking, !generations[current].isFailed { consider(failureTime) }
        for g in generations.indices where isChecking(g) {
            let isSuspicious = isSuspicious(g, now)
            let selected = generations[g].selected
            if generations.count > 1, selected != sendPath, let first = generations[g].firstValidAt {
                let due = first + configuration.switchoverPatience
                if due > now { consider(due) }
            }
            consider(generations[g].challenger.flatMap { $0.until > now ? $0.until : nil })
            consider(nominationTime(in: g).flatMap { $0 > now ? $0 : nil })
            if role == .controlling, generations[g].nominated != selected, let last = generations[g].lastNomination {
                let due = last + configuration.nominationInterval
                if due > now { consider(due) }
            }
            for index in generations[g].pairs.indices {
                consider(generations[g].pairs[index].retransmission?.next)
                if generations[g].pairs[index].isValid {
                    considerUpkeep(generations[g].pairs[index].lastAnswer.map { $0 + configuration.consentTimeout })
                    if state != .disconnected { considerUpkeep(refreshTime(index, in: g, isSuspicious)) }
                } else if state == .checking, g == current, generations[g].pairs[index].state == .failed {
                    consider(generations[g].pairs[index].failedAt.map { $0 + configuration.retryInterval })
                }
                if state != .disconnected, generations[g].pairs[index].path == selected {
                    considerUpkeep(nextDoubt(index, in: g, now))
                }
            }
        }
        if let moment = upkeep { upkeep = onGrid(moment) }
        nextTimeout = .earlier(deadline, upkeep)
    }

    /// When the pair in use will have been silent for long enough to make a difference.
    private func nextDoubt(_ index: Int, in g: Int, _ now: Instant) -> Instant? {
        var next: Instant?
        func consider(_ instant: Instant?) { if let instant, instant > now { next = .earlier(next, instant) } }
        consider(generations[g].pairs[index].silentAt(timeout: configuration.suspicionTimeout))
        consider(generations[g].pairs[index].silentAt(timeout: configuration.disconnectTimeout))
        if let since = generations[g].pairs[index].unansweredSince {
            consider(since + doubtTime(generations[g].pairs[index]))
        }
        return next
    }

    /// The next multiple of the grid.
    private func onGrid(_ instant: Instant) -> Instant {
        guard upkeepGrid > 1, instant.nanoseconds > 0, instant.nanoseconds < .max - upkeepGrid else { return instant }
        return Instant(nanoseconds: (instant.nanoseconds + upkeepGrid - 1) / upkeepGrid * upkeepGrid)
    }
}
