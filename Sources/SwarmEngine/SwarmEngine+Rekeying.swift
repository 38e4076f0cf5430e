import SwarmBase

/// The keys of sessions, replaced as long as they last (docs/protocol.md, "Rekeying").
extension SwarmEngine {
    /// Takes what a member's packet says of keys.
    mutating func takeRekeying(_ frames: [Frame], from member: Member, now: Instant) {
        var isDue = false
        for case .rekeying(let frame) in frames {
            do throws(Refusal) { try member.cipher?.receive(frame, now: now) } catch { refuse(error) }
            isDue = true
        }
        if isDue { runRekeying(with: member, now: now) }
    }

    /// Does what is due, and has the session say what there is to be said.
    mutating func runRekeying(with member: Member, now: Instant) {
        if member.session.isUp { member.cipher?.handleTimeout(now: now) }
        while let frame = member.cipher?.pollFrame() { member.session.say(.rekeying(frame)) }
        noteKeys(of: member)
    }

    /// Finds a member's envelopes by the keys that they may be sealed with, and by no others.
    mutating func noteKeys(of member: Member) {
        let ids = member.cipher?.peerKeyIDs ?? []
        guard ids != member.keyIDs else { return }
        for id in member.keyIDs.subtracting(ids) { sessionKeys[id] = nil }
        for id in ids { sessionKeys[id] = member.peer }
        member.keyIDs = ids
    }
}
