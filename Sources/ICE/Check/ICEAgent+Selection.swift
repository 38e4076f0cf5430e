public import SwarmBase

/// Which pair carries data: nomination as controlling, following the peer as controlled (RFC 8445 §8).
extension ICEAgent {
    /// Says that application data (DTLS) came from an address: the pair is alive. A controlled agent follows data that
    /// moves to another valid pair.
    ///
    /// - Parameter relay: the relayed address of ours that it came to; `nil` for the shared socket.
    public mutating func noteReceived(from source: TransportAddress, via relay: TransportAddress? = nil, now: Instant) {
        guard state != .closed else { return }
        let path = ICEPath(remote: source, relay: relay)
        for g in generations.indices.reversed() {
            guard let index = generations[g].indexOfData(on: path) else { continue }
            let (wasValid, lastReceived) = (
                generations[g].pairs[index].isValid, generations[g].pairs[index].lastReceived
            )
            generations[g].update(index) {
                $0.lastReceived = now
                $0.lastData = now
            }
            if state == .disconnected {
                // Something gets through again: ask at once whether our packets do too.
                if isChecking(g), lastReceived.map({ now - $0 > configuration.pacingInterval }) ?? true {
                    generations[g].enqueueTriggered(index)
                    settle(now)
                }
                return
            }
            guard wasValid, path != generations[g].selected else { return }
            switch role {
            case .controlled:
                guard generations[g].followed != path, hasDataMoved(in: g, now) else { return }
                generations[g].followed = path
                settle(now)
            case .controlling:
                if isChecking(g), hasDataMoved(in: g, now) { probe(path, in: g, now) }
            }
            return
        }
    }

    /// Packets that were on the way when the peer switched must not switch us back.
    private func hasDataMoved(in g: Int, _ now: Instant) -> Bool {
        guard let last = generations[g].pair(generations[g].selected)?.lastData else { return true }
        return now - last >= .milliseconds(200)
    }

    /// The peer's data comes another way than ours goes, as after its NAT gave it a new address: asks both pairs at once
    /// whether they still work.
    private mutating func probe(_ path: ICEPath, in g: Int, _ now: Instant) {
        guard let selected = generations[g].pair(generations[g].selected),
            selected.lastCheck.map({ now - $0 >= configuration.recheckInterval }) ?? true
        else { return }
        for path in [selected.path, path] {
            guard let index = generations[g].index(of: path) else { continue }
            sendCheck(
                index, in: g, nominates: path == generations[g].pairToNominate, retransmits: false, now: now)
        }
        settle(now)
    }

    /// A check of the pair in use before its time.
    mutating func probeSelectedPair(in g: Int, _ now: Instant) {
        guard isChecking(g), let selected = generations[g].selected, let index = generations[g].index(of: selected),
            generations[g].pairs[index].lastCheck.map({ now - $0 >= configuration.recheckInterval }) ?? true
        else { return }
        sendCheck(
            index, in: g, nominates: selected == generations[g].pairToNominate, retransmits: false, now: now)
    }

    /// Notes a USE-CANDIDATE. Peers that put it on every check nominate several pairs: the latest counts, unless a better
    /// one still gets it too.
    mutating func noteNomination(of index: Int, in g: Int, _ now: Instant) {
        let pair = generations[g].pairs[index]
        generations[g].update(index) { $0.useCandidateAt = now }
        guard pair.path != generations[g].followed else { return }
        if let followed = generations[g].pair(generations[g].followed), followed.state != .failed,
            followed.priority > pair.priority, isNominationFresh(followed, now)
        {
            return
        }
        generations[g].followed = pair.path
    }

    private func isNominationFresh(_ pair: CandidatePair, _ now: Instant) -> Bool {
        [pair.useCandidateAt, pair.lastData].contains { $0.map { now - $0 < configuration.disconnectTimeout } ?? false }
    }

    /// Chooses the pair of each generation, the one that data is sent on, and nominates.
    mutating func select(_ now: Instant) {
        for g in generations.indices where isChecking(g) {
            generations[g].selected = choose(in: g, now)
            if role == .controlling { nominate(in: g, now) }
        }
        let carrying = carryingGeneration(now)
        let path = carrying.flatMap { generations[$0].selected }
        if carrying == current { dropOldGenerations(now) }
        guard path != sendPath else { return }
        sendPath = path
        if let path { events.append(.selectedPairChanged(path, rtt: roundTripTime)) }
    }

    /// The generation whose pair carries data. After a restart that stays the former one, while its pair works, until both
    /// sides have settled on a pair of the new one (RFC 8445 §9): a peer that has given up its former pair and not yet
    /// had an answer on the new one has no way to send its acknowledgements.
    func carryingGeneration(_ now: Instant) -> Int? {
        if generations.count == 1 { return generations[0].selected == nil ? nil : 0 }
        let carrying = generations.indices.filter { generations[$0].selected != nil }
        guard let newest = carrying.last, let former = carrying.dropLast().last, !isSettled(in: newest),
            let pair = generations[former].pair(generations[former].selected), pair.isValid,
            !pair.isSilent(now, timeout: configuration.disconnectTimeout),
            pair.unansweredSince.map({ now - $0 < doubtTime(pair) }) ?? true
        else { return carrying.last }
        if let first = generations[newest].firstValidAt, now - first >= configuration.switchoverPatience {
            return newest
        }
        return former
    }

    /// Whether the pair in use is nominated, and the peer's own check of it was answered.
    private func isSettled(in g: Int) -> Bool {
        let generation = generations[g]
        guard let pair = generation.pair(generation.selected) else { return false }
        let isNominated = pair.path == (role == .controlling ? generation.nominated : generation.followed)
        return isNominated && (pair.counters.requestsReceived > 0 || generation.remote?.isLite == true)
    }

    private mutating func choose(in g: Int, _ now: Instant) -> ICEPath? {
        // Mostly there is one that works, which is in use already.
        if let only = generations[g].onlyValidPath, only == generations[g].selected,
            role == .controlling || only == generations[g].followed
        {
            return only
        }
        let generation = generations[g]
        let valid = generation.pairs.filter(\.isValid)
        let newestAnswer = valid.compactMap(\.lastAnswer).max() ?? .zero
        let live = valid.filter {
            !$0.isSilent(now, timeout: configuration.disconnectTimeout)
                && !isOutlived($0, newestAnswer: newestAnswer, now)
        }
        let selected = generation.pair(generation.selected).flatMap { $0.isValid ? $0 : nil }
        guard !live.isEmpty else {
            return selected?.path ?? valid.max { isWorse($0, $1) }?.path
        }
        func isLive(_ path: ICEPath?) -> Bool { live.contains { $0.path == path } }
        let best = live.max { isWorse($0, $1) }?.path
        switch role {
        case .controlling:
            if isLive(generation.nominated) { return generation.nominated }
            // Before the first nomination the best, after it whatever works until the new one is settled.
            if generation.nominated != nil, isLive(generation.selected) { return generation.selected }
            return best
        case .controlled:
            followLateNomination(in: g, live, now)
            let followed = generations[g].followed
            if isLive(followed) { return followed }
            if isLive(generation.selected), followed != nil || live.count == 1 { return generation.selected }
            return best
        }
    }

    /// How long a check of a valid pair may go unanswered before the pair is in doubt.
    func doubtTime(_ pair: CandidatePair) -> Duration {
        max(configuration.recheckInterval * 2, (pair.roundTrip ?? .zero) * 3)
    }

    /// Whether a pair is in doubt while another one answered: then there is no reason to wait until it counts as silent.
    private func isOutlived(_ pair: CandidatePair, newestAnswer: Instant, _ now: Instant) -> Bool {
        guard let since = pair.unansweredSince, now - since >= doubtTime(pair), newestAnswer > since else {
            return false
        }
        return (pair.lastReceived ?? .zero) < since
    }

    private func isWorse(_ a: CandidatePair, _ b: CandidatePair) -> Bool {
        a.isRelayed != b.isRelayed ? a.isRelayed : a.priority < b.priority
    }

    /// A pair nominated after the followed one counts in the end, when that one is no longer nominated nor used.
    private mutating func followLateNomination(in g: Int, _ live: [CandidatePair], _ now: Instant) {
        guard let followed = generations[g].pair(generations[g].followed), !isNominationFresh(followed, now) else {
            return
        }
        let latest = live.max { ($0.useCandidateAt ?? .zero) < ($1.useCandidateAt ?? .zero) }
        if let latest, let at = latest.useCandidateAt, at > followed.useCandidateAt ?? .zero {
            generations[g].followed = latest.path
        }
    }

    /// RFC 8445 §8.1.1: nominates when the best possible pair is valid or enough time has passed, and later moves to a
    /// pair that is clearly better or still works.
    private mutating func nominate(in g: Int, _ now: Instant) {
        if generations[g].nominated != nil, generations[g].nominating == nil, generations[g].challenger == nil,
            generations[g].nominated == generations[g].selected, generations[g].onlyValidPath != nil
        {
            return
        }
        let generation = generations[g]
        guard let target = generation.pair(generation.selected), target.isValid,
            !target.isSilent(now, timeout: configuration.disconnectTimeout)
        else { return }
        if let nominating = generation.pair(generation.nominating) {
            // A nomination under way is left alone unless its pair has died meanwhile.
            guard nominating.path != target.path,
                nominating.isSilent(now, timeout: configuration.disconnectTimeout)
            else { return }
            generations[g].nominating = nil
        }
        guard let nominated = generation.pair(generation.nominated) else {
            guard let due = nominationTime(in: g), due <= now else { return }
            return sendNomination(of: target.path, in: g, now)
        }
        if let last = generation.lastNomination, now - last < configuration.nominationInterval { return }
        if nominated.path != target.path { return sendNomination(of: target.path, in: g, now) }
        let others = generation.pairs.filter { $0.isValid && $0.path != nominated.path }
        let better = others.filter {
            $0.isBetterKind(than: nominated) && !$0.isSilent(now, timeout: configuration.disconnectTimeout)
        }
        if let best = better.max(by: { isWorse($0, $1) }) { return sendNomination(of: best.path, in: g, now) }
        compare(nominated, with: others, in: g, now)
    }

    /// Moves to a pair whose round trip is clearly shorter. Data fills queues, so the nominated pair is slower under load
    /// than a spare one that was measured before it: what counts is a few measurements of both at the same time.
    private mutating func compare(_ nominated: CandidatePair, with others: [CandidatePair], in g: Int, _ now: Instant) {
        if let challenger = generations[g].challenger {
            if let pair = others.first(where: { $0.path == challenger.path }), now < challenger.until {
                guard let mine = pair.roundTrip(since: challenger.since),
                    let theirs = nominated.roundTrip(since: challenger.since)
                else { return }
                if CandidatePair.isClearlyShorter(mine, than: theirs) {
                    sendNomination(of: pair.path, in: g, now)
                }
            }
            generations[g].challenger = nil
            generations[g].nextChallenge = now + configuration.spareInterval
        } else if generations[g].nextChallenge <= now {
            let faster = others.filter {
                // One that was not heard of since its last check is asked again when its next is due.
                $0.isRelayed == nominated.isRelayed && $0.unansweredSince == nil
                    && CandidatePair.isClearlyShorter($0.roundTrip, than: nominated.roundTrip)
            }
            guard let fastest = faster.min(by: { ($0.roundTrip ?? .zero) < ($1.roundTrip ?? .zero) }) else { return }
            generations[g].challenger = (fastest.path, now, now + configuration.comparisonTime)
        }
    }

    /// When the first nomination of a generation is due: at once if no better pair can come.
    func nominationTime(in g: Int) -> Instant? {
        guard role == .controlling, generations[g].nominated == nil, generations[g].nominating == nil else {
            return nil
        }
        let generation = generations[g]
        guard let first = generation.firstValidAt, let selected = generation.pair(generation.selected), selected.isValid
        else { return nil }
        let hopes = generation.pairs.filter { $0.state == .waiting || $0.state == .inProgress }
        if hopes.allSatisfy({ isWorse($0, selected) }) { return first }
        let onlyRelayed = generation.pairs.allSatisfy { !$0.isValid || $0.isRelayed }
        return first + (onlyRelayed ? configuration.relayedNominationDelay : configuration.nominationDelay)
    }

    private mutating func sendNomination(of path: ICEPath, in g: Int, _ now: Instant) {
        guard let index = generations[g].index(of: path) else { return }
        generations[g].nominating = path
        generations[g].lastNomination = now
        generations[g].challenger = nil
        sendCheck(index, in: g, nominates: true, retransmits: true, now: now)
    }
}
