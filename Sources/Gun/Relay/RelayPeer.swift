import JSON
import SwarmBase

/// A configured relay, whether it is linked or not: what it has still to be told.
struct RelayPeer: Sendable {
    /// The link to it, when there is one.
    var link: LinkID?
    /// What was sent and not acknowledged.
    var inFlight: [MessageID: [RecordAddress]] = [:]
    /// What is followed there on behalf of our links.
    var followed: Set<RecordTarget> = []
    /// Where all that is kept is being offered: behind which record to go on; begun when it is not `nil`.
    var offer: Offer? = Offer()
    /// Records to be told of, each once; those whose value is being read from storage are not in it.
    private var pending: Set<RecordAddress> = []
    private var order = FIFO<RecordAddress>()
    var loading = 0

    struct Offer: Sendable {
        var after: RecordAddress?
        var isReading = false
    }

    var pendingCount: Int { pending.count + inFlight.values.reduce(0) { $0 + $1.count } }
    var hasPending: Bool { !pending.isEmpty }

    /// Notes a record, or, when there are too many, that all is to be offered.
    mutating func note(_ address: RecordAddress, limit: Int) {
        guard pending.count < limit else {
            pending = []
            order = FIFO()
            offer = Offer()
            return
        }
        if pending.insert(address).inserted { order.append(address) }
    }

    mutating func popPending() -> RecordAddress? {
        while let address = order.popFirst() {
            if pending.remove(address) != nil { return address }
        }
        return nil
    }

    /// The link is gone: what was under way is to be told again.
    mutating func unlink(limit: Int) {
        link = nil
        followed = []
        let lost = inFlight.values.joined()
        inFlight = [:]
        for address in lost { note(address, limit: limit) }
        if offer != nil { offer = Offer() }
    }
}

/// A node, or one key of it.
struct RecordTarget: Hashable, Sendable {
    var soul: Soul
    var key: Key?
}

/// A put on its way to a configured relay.
struct FederatedPut: Sendable {
    var peer: Int
    var link: LinkID
    var message: MessageID
}
