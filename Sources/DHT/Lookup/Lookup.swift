import SwarmBase

/// One search in one family (Kademlia's iterative lookup): ever nearer nodes are asked until the nearest have answered.
struct Lookup: Sendable {
    enum State: Sendable {
        case fresh
        case asked
        /// Has not answered for so long that another is asked in its place; it may answer yet.
        case slow
        case answered
        case failed
    }

    struct Candidate: Sendable {
        let contact: NodeContact
        let distance: NodeID
        let group: AddressGroup
        /// How many nodes led here, from our table on.
        let hop: Int
        var state = State.fresh
        var token: [UInt8]?
        /// The sequence number of the item it has.
        var sequence: Int64?
    }

    let target: NodeID
    let ownID: NodeID
    private let limits: DHTConfiguration.Search
    /// Nearest first.
    private(set) var candidates: [Candidate] = []
    private var known: Set<TransportAddress> = []
    private var groups: [AddressGroup: Int] = [:]
    /// Addresses whose ids are not known: the way in.
    private(set) var doors: [TransportAddress]
    private var doorsAsked = 0
    /// Queries that hold a place.
    private var inFlight = 0
    private(set) var queries = 0
    let startedAt: Instant

    init(
        target: NodeID, ownID: NodeID, contacts: [NodeContact], doors: [TransportAddress],
        limits: DHTConfiguration.Search, now: Instant
    ) {
        self.target = target
        self.ownID = ownID
        self.doors = doors
        self.limits = limits
        startedAt = now
        for contact in contacts { add(contact, hop: 1, takesLocal: true) }
    }

    // MARK: Asking

    /// What to ask next.
    enum Next {
        case contact(NodeContact)
        case door(TransportAddress)
    }

    /// The next node to ask, if a place is free.
    mutating func next() -> Next? {
        guard inFlight < limits.parallel else { return nil }
        if doorsAsked < doors.count {
            doorsAsked += 1
            inFlight += 1
            queries += 1
            return .door(doors[doorsAsked - 1])
        }
        guard let index = nextIndex else { return nil }
        candidates[index].state = .asked
        inFlight += 1
        queries += 1
        return .contact(candidates[index].contact)
    }

    /// The nearest that was not asked, unless as many nearer ones as are wanted have answered.
    private var nextIndex: Int? {
        var answered = 0
        for (index, candidate) in candidates.enumerated() {
            switch candidate.state {
            case .answered:
                answered += 1
                if answered == limits.closest { return nil }
            case .fresh: return index
            case .asked, .slow, .failed: continue
            }
        }
        return nil
    }

    /// The query could not leave: it is asked later.
    mutating func notSent(_ next: Next) {
        inFlight -= 1
        queries -= 1
        switch next {
        case .door: doorsAsked -= 1
        case .contact(let contact): setState(.fresh, of: contact)
        }
    }

    /// Whether the nearest have answered, or there is nobody left to ask.
    func isDone(now: Instant) -> Bool {
        if now - startedAt >= limits.longest { return true }
        var answered = 0
        var waits = false
        for candidate in candidates {
            switch candidate.state {
            case .answered:
                answered += 1
                if answered == limits.closest { return !waits }
            case .fresh: return false
            case .asked: waits = true
            // Who is slow is waited for only while there are too few others.
            case .slow, .failed: continue
            }
        }
        return inFlight == 0 && doorsAsked == doors.count && !candidates.contains { $0.state == .slow }
    }

    // MARK: Answers

    /// A place is free again, but the node may still answer.
    mutating func slow(_ contact: NodeContact?) {
        inFlight -= 1
        if let contact { setState(.slow, of: contact) }
    }

    /// A node has not answered.
    mutating func failed(_ contact: NodeContact?, wasSlow: Bool) {
        if !wasSlow { inFlight -= 1 }
        guard let contact, let index = index(of: contact) else { return }
        candidates[index].state = .failed
        // Another node of its network may try.
        let group = candidates[index].group
        groups[group] = (groups[group] ?? 1) - 1
    }

    /// A node has answered.
    ///
    /// - Parameter door: it was asked without its id being known.
    mutating func answered(_ contact: NodeContact, isDoor: Bool, wasSlow: Bool, response: KRPCResponse) {
        if !wasSlow { inFlight -= 1 }
        if isDoor { add(contact, hop: 1, takesLocal: true) }
        var hop = 1
        if let index = index(of: contact) {
            hop = candidates[index].hop
            candidates[index].state = .answered
            candidates[index].token = response.token
            candidates[index].sequence = response.sequence
        }
        let nodes = AddressFamily(contact.address.address) == .ipv4 ? response.nodes : response.nodes6
        // Who tells of more than are asked for has something else in mind; and only who is in our own network knows local addresses.
        let takesLocal = contact.address.address.isLocal
        for node in nodes.prefix(limits.closest) { add(node, hop: hop + 1, takesLocal: takesLocal) }
    }

    /// The nearest that have answered.
    var closest: [Candidate] { Array(candidates.lazy.filter { $0.state == .answered }.prefix(limits.closest)) }

    // MARK: Inside

    private mutating func add(_ contact: NodeContact, hop: Int, takesLocal: Bool) {
        let address = contact.address
        guard contact.id != ownID, address.port != 0, !address.address.isMartian,
            takesLocal || !address.address.isLocal, !known.contains(address)
        else { return }
        let group = AddressGroup(address)
        guard (groups[group] ?? 0) == 0 else { return }
        let distance = contact.id.distance(to: target)
        if candidates.count >= limits.candidates {
            guard let last = candidates.last, distance < last.distance, last.state == .fresh else { return }
            candidates.removeLast()
            known.remove(last.contact.address)
            groups[last.group] = nil
        }
        let place = candidates.partitioningIndex { $0.distance >= distance }
        // The same id at another address: the first that was heard of counts.
        guard place == candidates.count || candidates[place].distance != distance else { return }
        candidates.insert(Candidate(contact: contact, distance: distance, group: group, hop: hop), at: place)
        known.insert(address)
        groups[group] = 1
    }

    private func index(of contact: NodeContact) -> Int? {
        candidates.firstIndex { $0.contact == contact }
    }

    private mutating func setState(_ state: State, of contact: NodeContact) {
        if let index = index(of: contact) { candidates[index].state = state }
    }
}
