import JSON
import SwarmBase

/// What a relay may lack of the souls that we share and follow: it lost its data, or the writer is not connected to it.
///
/// A relay that opens is asked for each of these souls; what its answer does not show, or shows in an older state, it is
/// given. The same goes for what others have told us and the relay has not. A random wait comes before that, in which
/// the relay may turn out to have heard it from another member.
extension GunClient {
    /// The keys of one soul that a relay may lack.
    struct Repair: Sendable {
        var keys: Set<Key> = []
        /// Its answer, which will show what it has, has not come yet.
        var isAwaitingAnswer = false
        var isScheduled = false
    }

    /// The relay is about to be asked for the soul.
    mutating func expectRepair(of soul: Soul, on link: LinkID) {
        guard links[link]?.kind == .relay, shared.contains(soul), let node = node(soul) else { return }
        let keys = node.entries.keys.filter { !outbox.isKept(RecordAddress(soul: soul, key: $0)) }
        guard !keys.isEmpty else { return }
        links[link]?.repairs[soul, default: Repair()].keys.formUnion(keys)
        links[link]?.repairs[soul]?.isAwaitingAnswer = true
    }

    /// The relay is to have that record too.
    mutating func owe(_ address: RecordAddress, to link: LinkID, now: Instant) {
        links[link]?.repairs[address.soul, default: Repair()].keys.insert(address.key)
        scheduleRepair(of: address.soul, on: link, now: now)
    }

    /// The relay has said all that it has of the soul, or says nothing.
    mutating func relayAnswered(_ soul: Soul, on link: LinkID, now: Instant) {
        guard links[link]?.repairs[soul] != nil else { return }
        links[link]?.repairs[soul]?.isAwaitingAnswer = false
        scheduleRepair(of: soul, on: link, now: now)
    }

    private mutating func scheduleRepair(of soul: Soul, on link: LinkID, now: Instant) {
        guard let repair = links[link]?.repairs[soul], !repair.isAwaitingAnswer, !repair.isScheduled else { return }
        links[link]?.repairs[soul]?.isScheduled = true
        let wait = Int.random(in: configuration.repairDelay, using: &entropy)
        checks.add(.repair(link, soul), at: now + .milliseconds(wait))
    }

    /// A record came from the relay: it has that, or something that we are about to take.
    mutating func relayHas(_ record: GunRecord, on link: LinkID) {
        guard links[link]?.repairs[record.soul]?.keys.contains(record.key) == true,
            let held = memory.entry(record.soul, record.key), !HAM.supersedes(held, record.entry)
        else { return }
        links[link]?.repairs[record.soul]?.keys.remove(record.key)
        if let repair = links[link]?.repairs[record.soul], repair.keys.isEmpty, !repair.isAwaitingAnswer,
            !repair.isScheduled
        {
            links[link]?.repairs[record.soul] = nil
        }
    }

    mutating func repair(_ soul: Soul, on link: LinkID) {
        guard let repair = links[link]?.repairs.removeValue(forKey: soul), !repair.keys.isEmpty else { return }
        var batch: [GunRecord] = []
        var cost = 0
        for key in repair.keys.sorted() {
            guard let entry = memory.entry(soul, key) else { continue }
            let record = GunRecord(soul: soul, key: key, entry: entry)
            batch.append(record)
            cost += record.cost
            if cost >= configuration.frameBytes {
                transmit(GunMessage.put(newID(), GunGraph(batch)).serialized(), to: link)
                (batch, cost) = ([], 0)
            }
        }
        counters.repairedRecords += repair.keys.count
        if !batch.isEmpty { transmit(GunMessage.put(newID(), GunGraph(batch)).serialized(), to: link) }
    }
}
