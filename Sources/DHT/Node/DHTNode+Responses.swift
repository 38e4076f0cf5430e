import Bencode
import SwarmBase

/// What others answer, and what does not come.
extension DHTNode {
    mutating func received(
        _ response: KRPCResponse, _ message: KRPCMessage, from source: TransportAddress, now: Instant
    ) {
        guard let transaction = transactions.end(message.transaction, from: source) else {
            counters.unexpected += 1
            return
        }
        let family = AddressFamily(source.address)
        let contact = NodeContact(id: response.sender, address: source)
        // Whatever its id is, this is how it sees us.
        if let observed = message.observed { note(observed, by: source, now: now) }
        if let expected = transaction.expected, expected.id != contact.id {
            // Another one than was said, or one that has a new id since it knows its address: what it says to this search is worth
            // nothing.
            counters.unexpected += 1
            families[family]?.table.remove(expected)
            if contact.id != families[family]?.ownID { families[family]?.table.answered(contact, now: now) }
            return failed(transaction, now: now)
        }
        // A node at the end of a search may say that its id is ours.
        guard contact.id != families[family]?.ownID else { return failed(transaction, now: now) }
        families[family]?.table.answered(contact, now: now)
        noteConnected(family)
        learn(response, from: source)
        switch transaction.purpose {
        case .ping:
            break
        case .lookup(let id, let family, let asked):
            take(response, from: contact, asked: asked, of: id, family, wasSlow: transaction.isSlow, now: now)
        case .store(let id):
            storeEnded(id, isStored: true, now: now)
        }
    }

    mutating func received(
        _ error: KRPCError, _ message: KRPCMessage, from source: TransportAddress, now: Instant
    ) {
        guard let transaction = transactions.end(message.transaction, from: source) else {
            counters.unexpected += 1
            return
        }
        switch transaction.purpose {
        case .store(let id): storeEnded(id, isStored: false, now: now)
        case .lookup, .ping: failed(transaction, now: now)
        }
    }

    /// A query became slow, or was not answered at all.
    mutating func take(_ due: TransactionTable.Due, now: Instant) {
        switch due {
        case .slow(let transaction):
            guard case .lookup(let id, let family, let contact) = transaction.purpose else { return }
            operations[id]?.lookups[family]?.slow(contact)
            advance(id, now: now)
        case .failed(let transaction):
            if let contact = transaction.expected {
                families[AddressFamily(contact.address.address)]?.table.failed(contact)
            }
            failed(transaction, now: now)
        }
    }

    private mutating func failed(_ transaction: TransactionTable.Transaction, now: Instant) {
        switch transaction.purpose {
        case .ping: break
        case .lookup(let id, let family, let contact):
            operations[id]?.lookups[family]?.failed(contact, wasSlow: transaction.isSlow)
            advance(id, now: now)
        case .store(let id): storeEnded(id, isStored: false, now: now)
        }
    }

    /// Where others see us: our id has to fit that address (BEP 42), and whether it is ours says whether we can be reached.
    private mutating func note(_ observed: TransportAddress, by reporter: TransportAddress, now: Instant) {
        let family = AddressFamily(reporter.address)
        guard AddressFamily(observed.address) == family,
            families[family]?.external.vote(observed, by: reporter) == true, var state = families[family]
        else { return }
        events.append(.externalMapping(family, state.external.mapping))
        guard let address = state.external.mapping.address else { return }
        reachability.seen(isOwn: hostAddresses.contains(address), now: now)
        guard !state.ownID.fits(address) else { return }
        state.table = state.table.rebuilt(around: .fitting(address, using: &entropy), now: now)
        state.joinAt = now
        families[family] = state
    }

    private mutating func noteConnected(_ family: AddressFamily) {
        guard families[family]?.isConnected == false else { return }
        families[family]?.isConnected = true
        families[family]?.joinFailures = 0
        events.append(.connected(family))
    }

    /// Nodes of the other family are worth a ping while few are known there.
    private mutating func learn(_ response: KRPCResponse, from source: TransportAddress) {
        let other: AddressFamily = source.address.isIPv6 ? .ipv4 : .ipv6
        let nodes = other == .ipv4 ? response.nodes : response.nodes6
        guard !nodes.isEmpty, let known = families[other]?.table.goodCount, known < 8, var state = families[other]
        else { return }
        for node in nodes where !node.address.address.isMartian && !state.doors.contains(node.address) {
            guard state.doors.count < FamilyState.mostDoors, source.address.isLocal || !node.address.address.isLocal
            else {
                break
            }
            state.doors.append(node.address)
        }
        families[other] = state
    }
}

extension TransactionTable.Transaction {
    /// Who was to answer; `nil` when the id was not known.
    var expected: NodeContact? {
        switch purpose {
        case .ping(let contact): contact
        case .lookup(_, _, let contact): contact
        case .store: nil
        }
    }
}
