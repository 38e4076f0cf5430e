internal import SwarmBase

extension ICEAgent {
    /// Puts a new generation after the current one. Of the older ones only that which carries data is kept.
    mutating func beginGeneration(_ now: Instant) {
        if let remote = generations[current].remote {
            staleRemoteUfrags.append(remote.credentials.ufrag)
            if staleRemoteUfrags.count > 8 { staleRemoteUfrags.removeFirst() }
        }
        let carrying = carryingGeneration(now)
        for index in generations.indices where index != carrying { retire(generations[index], now) }
        generations = carrying.map { [generations[$0]] } ?? []
        generations.append(ICEGeneration(id: nextGeneration, local: .random(using: &entropy)))
        nextGeneration &+= 1
        // Candidates that name no generation were meant for the one that ends.
        pendingCandidates.removeAll { $0.usernameFragment == nil }
        remoteEndIsPending = false
    }

    /// Ends all generations before the newest.
    mutating func dropOldGenerations(_ now: Instant) {
        while generations.count > 1 { retire(generations.removeFirst(), now) }
    }

    private mutating func retire(_ generation: ICEGeneration, _ now: Instant) {
        retired.append(
            RetiredCredentials(
                local: generation.local, key: generation.localKey, until: now + configuration.credentialsLifetime))
        if retired.count > 4 { retired.removeFirst() }
    }

    /// Makes a pair of a candidate that the peer named.
    mutating func addRemoteCandidate(_ candidate: Candidate, to g: Int) {
        let address = candidate.address
        guard canReach(address), !generations[g].isRevoked else { return }
        let direct = ICEPath(remote: address)
        if let index = generations[g].index(of: direct) {
            // RFC 8445 §7.3.1.3: what was peer-reflexive turns out to be a named candidate; the pair stays as it is.
            guard generations[g].pairs[index].remoteKind == .peerReflexive else { return }
            generations[g].update(index) {
                $0.remoteKind = candidate.kind
                $0.remotePriority = candidate.priority
            }
        } else {
            guard insertPair(direct, kind: candidate.kind, priority: candidate.priority, in: g) != nil else { return }
        }
        for local in localCandidates where local.kind == .relayed {
            addRelayedPair(to: address, kind: candidate.kind, priority: candidate.priority, via: local.address, in: g)
        }
        updatePriorities()
    }

    /// Makes a pair, if there is room for one of its priority.
    mutating func insertPair(_ path: ICEPath, kind: CandidateKind, priority: UInt32, in g: Int) -> Int? {
        var pair = CandidatePair(path, kind: kind, priority: priority)
        pair.priority = self.priority(
            of: pair, preferences: [localPreference(isIPv6: false), localPreference(isIPv6: true)])
        return generations[g].insert(pair, maximum: configuration.maximumPairs)
    }

    /// Makes pairs of a relayed address of ours and everything that the peer has named.
    mutating func addRelayedPairs(via relay: TransportAddress) {
        for g in generations.indices where !generations[g].isRevoked {
            // A peer-reflexive candidate is known on the base that it was seen on (RFC 8445 §7.3.1.4).
            for pair in generations[g].pairs where pair.path.relay == nil && pair.remoteKind != .peerReflexive {
                addRelayedPair(
                    to: pair.path.remote, kind: pair.remoteKind, priority: pair.remotePriority, via: relay, in: g)
            }
        }
    }

    private mutating func addRelayedPair(
        to remote: TransportAddress, kind: CandidateKind, priority: UInt32, via relay: TransportAddress, in g: Int
    ) {
        guard relay.address.isIPv6 == remote.address.isIPv6 else { return }
        let path = ICEPath(remote: remote, relay: relay)
        if let index = generations[g].index(of: path) {
            guard generations[g].pairs[index].remoteKind == .peerReflexive else { return }
            generations[g].update(index) {
                $0.remoteKind = kind
                $0.remotePriority = priority
            }
        } else {
            _ = insertPair(path, kind: kind, priority: priority, in: g)
        }
    }

    /// Whether a check to this address makes sense at all. A link-local IPv6 address needs a zone, which no candidate has.
    private func canReach(_ remote: TransportAddress) -> Bool {
        let address = remote.address
        return remote.port != 0 && !address.isUnspecified && !address.isMulticastOrBroadcast
            && !(address.isIPv6 && address.isLinkLocal)
    }

    /// The local preference of the base that the kernel would send from: the best host candidate of the family.
    private func localPreference(isIPv6: Bool) -> UInt16 {
        let hosts = localCandidates.lazy.filter { $0.kind == .host && $0.address.address.isIPv6 == isIPv6 }
        return hosts.map { UInt16(truncatingIfNeeded: $0.priority >> 8) }.max() ?? (isIPv6 ? 0xffff : 0x7fff)
    }

    /// What a peer-reflexive candidate learned from our check on `path` gets (RFC 8445 §7.1.1). A peer that sees a check
    /// from a relayed address before it was told of it is not to prefer that.
    func peerReflexivePriority(of path: ICEPath) -> UInt32 {
        let preference = path.relay == nil ? localPreference(isIPv6: path.remote.address.isIPv6) : 0
        return Candidate.priority(.peerReflexive, localPreference: preference)
    }

    /// The priority of a pair's local candidate.
    private func localPriority(of pair: CandidatePair, preferences: [UInt16]) -> UInt32 {
        if let relay = pair.path.relay {
            let candidate = localCandidates.first { $0.kind == .relayed && $0.address == relay }
            return candidate?.priority ?? Candidate.priority(.relayed, localPreference: 0)
        }
        return Candidate.priority(
            pair.reflexiveAddress == nil ? .host : .peerReflexive,
            localPreference: preferences[pair.path.remote.address.isIPv6 ? 1 : 0])
    }

    /// RFC 8445 §6.1.2.3 for all pairs: after a change of role or candidates.
    mutating func updatePriorities() {
        let preferences = [localPreference(isIPv6: false), localPreference(isIPv6: true)]
        for g in generations.indices {
            for index in generations[g].pairs.indices {
                let priority = priority(of: generations[g].pairs[index], preferences: preferences)
                generations[g].update(index) { $0.priority = priority }
            }
        }
    }

    private func priority(of pair: CandidatePair, preferences: [UInt16]) -> UInt64 {
        let local = localPriority(of: pair, preferences: preferences)
        return role == .controlling
            ? CandidatePair.priority(controlling: local, controlled: pair.remotePriority)
            : CandidatePair.priority(controlling: pair.remotePriority, controlled: local)
    }

    /// Takes the other role. Nominations of the role that ends are void.
    mutating func changeRole(to newRole: Role) {
        guard newRole != role else { return }
        role = newRole
        for g in generations.indices {
            generations[g].nominated = nil
            generations[g].nominating = nil
            generations[g].followed = nil
            generations[g].challenger = nil
        }
        updatePriorities()
    }
}
