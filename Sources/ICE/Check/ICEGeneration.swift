internal import SwarmBase

/// The pairs that belong to one pair of credentials: from the start, or a restart, to the next one (RFC 8445 §9).
struct ICEGeneration {
    struct Remote {
        let credentials: ICECredentials
        let key: STUNIntegrityKey
        let isLite: Bool
        /// What checks to it carry as USERNAME (RFC 8445 §7.1.1).
        let username: [UInt8]
    }

    /// A check that came before the peer's credentials.
    struct EarlyCheck {
        let path: ICEPath
        let remoteUfrag: String
        let priority: UInt32
        var nominates: Bool
    }

    let id: UInt32
    let local: ICECredentials
    let localKey: STUNIntegrityKey
    var remote: Remote?
    private(set) var pairs: [CandidatePair] = []
    private var indexes: [ICEPath: Int] = [:]
    private var lastFound = 0
    /// Pairs with a triggered check to be sent, oldest first.
    var triggered: [ICEPath] = []
    var earlyChecks: [EarlyCheck] = []
    var startedAt: Instant?
    var remoteEndedAt: Instant?
    var firstValidAt: Instant?
    var roleConflicts = 0

    /// As controlling: the pair whose nomination is under way, the one whose nomination was answered, and when.
    var nominating: ICEPath?
    var nominated: ICEPath?
    var lastNomination: Instant?
    /// As controlling: a spare pair that seems much faster than the nominated one, while both are measured side by side.
    var challenger: (path: ICEPath, since: Instant, until: Instant)?
    /// No pair is measured against the nominated one before this.
    var nextChallenge = Instant.zero
    /// As controlled: the pair that the peer's nominations and data point to.
    var followed: ICEPath?
    /// The pair that carries data.
    var selected: ICEPath?
    /// Given up without ever, or after once, having a valid pair.
    var isFailed = false
    /// Consent has expired: nothing is sent any more (RFC 7675 §5.1).
    var isRevoked = false

    init(id: UInt32, local: ICECredentials) {
        self.id = id
        self.local = local
        localKey = local.key
    }

    func index(of path: ICEPath) -> Int? { indexes[path] }

    /// ``index(of:)`` for the packets of one path after the other.
    mutating func indexOfData(on path: ICEPath) -> Int? {
        if lastFound < pairs.count, pairs[lastFound].path == path { return lastFound }
        guard let index = indexes[path] else { return nil }
        lastFound = index
        return index
    }

    func pair(_ path: ICEPath?) -> CandidatePair? {
        path.flatMap { indexes[$0] }.map { pairs[$0] }
    }

    /// Where the pair that carries data is; there are a few pairs at most, so no table is asked.
    ///
    /// Inlined, as what follows is, for a call would copy the whole generation to pass it by value.
    @inline(__always)
    var selectedIndex: Int? {
        guard let selected else { return nil }
        for index in pairs.indices where pairs[index].path == selected { return index }
        return nil
    }

    /// Changes the pair in place.
    mutating func update(_ index: Int, _ change: (inout CandidatePair) -> Void) { change(&pairs[index]) }

    /// Adds a pair. A full table makes room by its worst failed pair, else by the worst that was never checked and is
    /// worse than the new one: of very many candidates the best count (RFC 8445 §6.1.2.5), in whatever order they come.
    ///
    /// - Returns: its index, or `nil` when there is no room.
    mutating func insert(_ pair: CandidatePair, maximum: Int) -> Int? {
        if pairs.count >= maximum {
            let failed = pairs.indices.filter { pairs[$0].state == .failed }
            let idle = pairs.indices.filter {
                pairs[$0].state == .waiting && pairs[$0].firstCheck == nil && pairs[$0].lastReceived == nil
                    && pairs[$0].priority < pair.priority
            }
            guard
                let worst = (failed.isEmpty ? idle : failed).min(by: { pairs[$0].priority < pairs[$1].priority })
            else { return nil }
            pairs.remove(at: worst)
            updateIndexes()
        }
        pairs.append(pair)
        indexes[pair.path] = pairs.count - 1
        return pairs.count - 1
    }

    /// Removes the pairs that begin at a relayed address.
    mutating func removePairs(via relay: TransportAddress) {
        pairs.removeAll { $0.path.relay == relay }
        updateIndexes()
        if nominating?.relay == relay { nominating = nil }
        if nominated?.relay == relay { nominated = nil }
        if followed?.relay == relay { followed = nil }
        if selected?.relay == relay { selected = nil }
        if challenger?.path.relay == relay { challenger = nil }
    }

    private mutating func updateIndexes() {
        indexes = [:]
        for (index, pair) in pairs.enumerated() { indexes[pair.path] = index }
    }

    mutating func enqueueTriggered(_ index: Int) {
        guard !pairs[index].isTriggered else { return }
        pairs[index].isTriggered = true
        triggered.append(pairs[index].path)
    }

    mutating func dequeueTriggered() -> Int? {
        while !triggered.isEmpty {
            guard let index = indexes[triggered.removeFirst()] else { continue }
            pairs[index].isTriggered = false
            return index
        }
        return nil
    }

    /// The waiting pair whose turn it is: never checked ones by priority, then the one checked longest ago.
    ///
    /// Of the never checked ones the best of each class (family, and whether the peer's address is its own or one outside
    /// a NAT) comes before the second best of any: many addresses of a kind that cannot work, such as private ones of
    /// another network, do not keep the ones that do waiting (RFC 8421 §4). Relayed pairs come last in any case.
    @inline(__always)
    func nextWaiting() -> Int? { hasWaitingPair ? firstWaiting() : nil }

    private func firstWaiting() -> Int? {
        var checked = [0, 0, 0, 0]
        for pair in pairs where pair.firstCheck != nil && !pair.isRelayed { checked[pair.checkClass] += 1 }
        var best: Int?
        for index in pairs.indices where pairs[index].state == .waiting {
            guard let current = best else {
                best = index
                continue
            }
            let (a, b) = (pairs[index], pairs[current])
            let isEarlier =
                switch (a.lastCheck, b.lastCheck) {
                case (nil, nil):
                    if !a.isRelayed, !b.isRelayed, checked[a.checkClass] != checked[b.checkClass] {
                        checked[a.checkClass] < checked[b.checkClass]
                    } else {
                        a.priority > b.priority
                    }
                case (nil, _): true
                case (_, nil): false
                case (let x?, let y?): x == y ? a.priority > b.priority : x < y
                }
            if isEarlier { best = index }
        }
        return best
    }

    /// The pair that USE-CANDIDATE goes on: while one is being nominated the former one gets it no more.
    var pairToNominate: ICEPath? { nominating ?? nominated }

    @inline(__always)
    var hasValidPair: Bool {
        for index in pairs.indices where pairs[index].isValid { return true }
        return false
    }

    @inline(__always)
    private var hasWaitingPair: Bool {
        for index in pairs.indices where pairs[index].state == .waiting { return true }
        return false
    }

    /// The pair that is valid while no other one is.
    @inline(__always)
    var onlyValidPath: ICEPath? {
        var only: Int?
        for index in pairs.indices where pairs[index].isValid {
            if only != nil { return nil }
            only = index
        }
        return only.map { pairs[$0].path }
    }
}
