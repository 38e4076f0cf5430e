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
    /// What it is being offered beside what is noted; `nil` when that is done.
    var offer: Offer? = .everything()
    /// Up to which change it has acknowledged all; `nil` when that is not known.
    var acknowledged: UInt64?
    /// The next such change, and what of it is under way.
    var checkpoint: Checkpoint?
    /// Records to be told of, each once; those whose value is being read from storage are not in it.
    private var pending: Set<RecordAddress> = []
    private var order = FIFO<RecordAddress>()
    var loading = 0

    struct Offer: Sendable {
        enum Source: Sendable {
            /// All that is kept, behind that record.
            case everything(after: RecordAddress?)
            /// What has changed, behind that change and up to the other.
            case changes(after: UInt64, through: UInt64)
        }

        var source: Source
        var isReading = false

        static func everything(after: RecordAddress? = nil) -> Offer { Offer(source: .everything(after: after)) }
    }

    /// Once these puts are acknowledged, so is everything up to the change.
    struct Checkpoint: Sendable {
        var change: UInt64
        var puts: Set<MessageID>
    }

    var pendingCount: Int { pending.count + inFlight.values.reduce(0) { $0 + $1.count } }
    var hasPending: Bool { !pending.isEmpty }

    /// Notes a record.
    ///
    /// - Returns: `false` when there are too many: then none is noted any more, and all is to be offered that may have been.
    mutating func note(_ address: RecordAddress, limit: Int) -> Bool {
        guard pending.count < limit else {
            pending = []
            order = FIFO()
            checkpoint = nil
            return false
        }
        if pending.insert(address).inserted { order.append(address) }
        return true
    }

    mutating func popPending() -> RecordAddress? {
        while let address = order.popFirst() {
            if pending.remove(address) != nil { return address }
        }
        return nil
    }

    /// The link is gone.
    ///
    /// - Returns: what was under way and is to be told again.
    mutating func unlink() -> [RecordAddress] {
        link = nil
        followed = []
        checkpoint = nil
        let lost = Array(inFlight.values.joined())
        inFlight = [:]
        // A slice that comes now is read again; what was told of those before is among what is lost.
        offer?.isReading = false
        return lost
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
    var sentAt: Instant
}
