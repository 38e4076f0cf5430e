import Bencode
public import SwarmBase

/// Searches, and what is stored at their end.
extension DHTNode {
    // MARK: What the owner asks for

    /// Looks for the nodes nearest to an id.
    public mutating func findNode(_ target: NodeID, now: Instant) -> OperationID {
        begin(Operation(goal: .findNode, target: target, now: now), near: [], now: now)
    }

    /// Looks for peers of an infohash.
    ///
    /// - Parameters:
    ///   - announcing: our own port to announce afterwards: 0 for the one that the others see; `nil` announces nothing.
    ///   - near: ``DHTOutcome/closest`` of the search before, if there was one.
    public mutating func getPeers(
        _ infoHash: NodeID, announcing port: UInt16? = nil, near: [NodeContact] = [], now: Instant
    ) -> OperationID {
        begin(Operation(goal: .getPeers(announcing: port), target: infoHash, now: now), near: near, now: now)
    }

    /// Looks for an item that never changes.
    public mutating func getImmutable(_ target: NodeID, near: [NodeContact] = [], now: Instant) -> OperationID {
        begin(Operation(goal: .getItem(Operation.ItemQuery()), target: target, now: now), near: near, now: now)
    }

    /// Looks for the newest item under a key.
    ///
    /// - Parameter newerThan: the sequence number that is known already.
    public mutating func getMutable(
        key: [UInt8], salt: [UInt8] = [], newerThan: Int64? = nil, near: [NodeContact] = [], now: Instant
    ) -> OperationID {
        begin(
            Operation(
                goal: .getItem(Operation.ItemQuery(key: key, salt: salt, newerThan: newerThan)),
                target: MutableItem.target(key: key, salt: salt), now: now),
            near: near, now: now)
    }

    /// Stores an item with the nodes nearest to its target.
    ///
    /// - Parameter cas: the sequence number that the stored item has to have.
    public mutating func put(
        _ item: DHTItem, cas: Int64? = nil, near: [NodeContact] = [], now: Instant
    ) -> OperationID {
        begin(Operation(goal: .put(item, cas: cas), target: item.target, now: now), near: near, now: now)
    }

    // MARK: The course of a search

    @discardableResult
    mutating func begin(
        _ operation: Operation, families wanted: [AddressFamily]? = nil, near: [NodeContact], now: Instant
    ) -> OperationID {
        let id = OperationID(value: nextOperation)
        nextOperation += 1
        var operation = operation
        let wanted = wanted ?? families.families
        if operations.count < configuration.search.most {
            for family in wanted {
                guard var state = families[family] else { continue }
                state.table.touch(operation.target, now: now)
                families[family] = state
                var contacts = near.filter { AddressFamily($0.address.address) == family }
                contacts += state.table.closest(to: operation.target, count: 2 * configuration.search.closest)
                let isAlone = contacts.count < configuration.search.closest
                guard isAlone ? !contacts.isEmpty || !state.doors.isEmpty : true else { continue }
                operation.lookups[family] = Lookup(
                    target: operation.target, ownID: state.ownID, contacts: contacts,
                    doors: isAlone ? state.doors : [], limits: configuration.search, now: now)
            }
        }
        operations[id] = operation
        advance(id, now: now)
        return id
    }

    /// Sends what may be sent, and goes on to storing, or to the end.
    mutating func advance(_ id: OperationID, now: Instant) {
        guard let families = operations[id]?.lookups.families else { return }
        for family in families {
            while let next = operations[id]?.lookups[family]?.next() {
                guard send(next, of: id, family, now: now) else {
                    operations[id]?.lookups[family]?.notSent(next)
                    return
                }
            }
        }
        guard let operation = operations[id], !operation.isStoring,
            operation.lookups.values.allSatisfy({ $0.isDone(now: now) })
        else { return }
        searched(id, operation, now: now)
    }

    private mutating func send(_ next: Lookup.Next, of id: OperationID, _ family: AddressFamily, now: Instant) -> Bool {
        guard let operation = operations[id] else { return false }
        let method: KRPCQuery.Method =
            switch operation.goal {
            case .refresh, .findNode: .findNode(operation.target)
            case .getPeers: .getPeers(operation.target)
            case .getItem(let query): .get(operation.target, newerThan: operation.best?.sequence ?? query.newerThan)
            case .put(.mutable(let item), _): .get(operation.target, newerThan: item.sequence)
            case .put(.immutable, _): .get(operation.target, newerThan: nil)
            }
        switch next {
        case .contact(let contact):
            return ask(method, of: contact.address, for: .lookup(id, family, contact), now: now)
        case .door(let address):
            return ask(method, of: address, for: .lookup(id, family, nil), now: now)
        }
    }

    /// A node has answered within a search.
    mutating func take(
        _ response: KRPCResponse, from contact: NodeContact, asked: NodeContact?, of id: OperationID,
        _ family: AddressFamily, wasSlow: Bool, now: Instant
    ) {
        guard operations[id] != nil else { return }
        operations[id]?.lookups[family]?.answered(contact, isDoor: asked == nil, wasSlow: wasSlow, response: response)
        switch operations[id]?.goal {
        case .getPeers: takePeers(response.peers, of: id)
        case .getItem(let query):
            if takeItem(response, query, of: id) { return finish(id, now: now) }
        case .put, .findNode, .refresh, nil: break
        }
        advance(id, now: now)
    }

    private mutating func takePeers(_ peers: [TransportAddress], of id: OperationID) {
        var new: [TransportAddress] = []
        for peer in peers where !peer.address.isMartian {
            guard let count = operations[id]?.peers.count, count < configuration.search.peers else { break }
            if operations[id]?.peers.insert(peer).inserted == true { new.append(peer) }
        }
        if !new.isEmpty { events.append(.peers(id, new)) }
    }

    /// Takes an item if it is what was looked for: nothing is believed that hash or signature do not prove.
    ///
    /// - Returns: whether there can be none better.
    private mutating func takeItem(
        _ response: KRPCResponse, _ query: Operation.ItemQuery, of id: OperationID
    ) -> Bool {
        guard let value = response.value, value.count <= DHTItem.largestValue, let operation = operations[id] else {
            return false
        }
        guard let key = query.key else {
            let item = DHTItem.immutable(value)
            guard item.target == operation.target,
                (try? BencodeDocument(decoding: value, limits: .datagram)) != nil
            else { return false }
            events.append(.item(id, item))
            return true
        }
        guard response.key == key, let sequence = response.sequence, let signature = response.signature,
            sequence >= 0, sequence > max(operation.best?.sequence ?? -1, query.newerThan ?? -1)
        else { return false }
        let item = MutableItem(
            key: key, salt: query.salt, sequence: sequence, value: value, signature: signature)
        guard item.isAuthentic else { return false }
        operations[id]?.best = item
        events.append(.item(id, .mutable(item)))
        return false
    }

    // MARK: Storing

    /// The nearest have answered.
    private mutating func searched(_ id: OperationID, _ operation: Operation, now: Instant) {
        let closest = operation.lookups.values.map(\.closest)
        operations[id]?.outcome.closest = closest.joined().map(\.contact)
        operations[id]?.outcome.hops = closest.compactMap { $0.first?.hop }.max() ?? 0
        operations[id]?.outcome.queries = operation.lookups.values.reduce(0) { $0 + $1.queries }
        operations[id]?.isStoring = true
        for candidate in closest.joined() {
            guard let token = candidate.token, let method = storing(operation, token, at: candidate) else { continue }
            let isSent = ask(method, of: candidate.contact.address, for: .store(id), now: now)
            if isSent { operations[id]?.storing += 1 }
        }
        if operations[id]?.storing == 0 { finish(id, now: now) }
    }

    private func storing(
        _ operation: Operation, _ token: [UInt8], at candidate: Lookup.Candidate
    ) -> KRPCQuery.Method? {
        switch operation.goal {
        case .getPeers(let port?): .announcePeer(operation.target, port: port == 0 ? nil : port, token: token)
        case .put(let item, let cas): .put(item, cas: cas, token: token)
        case .getItem:
            // Who lags behind, or has lost it, gets the newest back.
            if let best = operation.best, (candidate.sequence ?? -1) < best.sequence {
                .put(.mutable(best), cas: nil, token: token)
            } else {
                nil
            }
        case .refresh, .findNode, .getPeers(nil): nil
        }
    }

    mutating func storeEnded(_ id: OperationID, isStored: Bool, now: Instant) {
        guard operations[id] != nil else { return }
        operations[id]?.storing -= 1
        if isStored { operations[id]?.outcome.stored += 1 }
        if operations[id]?.storing == 0 { finish(id, now: now) }
    }

    private mutating func finish(_ id: OperationID, now: Instant) {
        guard var operation = operations.removeValue(forKey: id) else { return }
        if case .refresh = operation.goal {
            for family in operation.lookups.families { explore(family, now: now) }
            return
        }
        operation.outcome.duration = now - operation.startedAt
        events.append(.finished(id, operation.outcome))
    }
}
