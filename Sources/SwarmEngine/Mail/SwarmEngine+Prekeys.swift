import SwarmBase

/// Prekeys: members that keep their state give them to each other (docs/protocol.md, "Prekeys").
extension SwarmEngine {
    private static let stockInterval = Duration.seconds(10)
    private static let giveInterval = Duration.seconds(5)

    /// Says how many keys of a member we hold, while it has to give some.
    mutating func sayStock(to member: Member, now: Instant) {
        guard let at = member.mail.stockAt, now >= at else { return }
        guard member.presence?.keepsState == true else {
            member.mail.stockAt = nil
            return
        }
        let held = member.mail.held
        let isEnough =
            Int(held.stock.oneTime) * 2 >= configuration.mail.oneTimePrekeys
            && Double(held.expiry) > wall(now) + 86_400_000
        // When a session comes up it is said in any case: the owner may have lost the private halves.
        if isEnough, member.mail.gaveStock { return member.mail.stockAt = nil }
        member.mail.gaveStock = true
        member.mail.stockAt = isEnough ? nil : now + Self.stockInterval
        member.session.say(.prekeyStock(held.stock))
    }

    /// Takes what a member's packet says of prekeys.
    mutating func takePrekeys(_ frames: [Frame], from member: Member, now: Instant) {
        guard usesMail else { return }
        for frame in frames {
            switch frame {
            case .prekeyStock(let stock): givePrekeys(to: member, holding: stock, now: now)
            case .prekeys(let bundle):
                guard
                    member.peer.verifies(
                        bundle.signature, of: bundle.signed(owner: member.peer, holder: peerID, topic: topic))
                else {
                    refuse(.forged)
                    continue
                }
                member.mail.held.add(bundle)
                keepHeld(of: member)
                member.mail.stockAt = now
            default: break
            }
        }
    }

    private mutating func givePrekeys(to member: Member, holding stock: PrekeyStock, now: Instant) {
        guard configuration.isDurable, member.mail.gaveAt.map({ now - $0 >= Self.giveInterval }) ?? true else { return }
        prekeys.expire(wall: milliseconds(now))
        let bundle = prekeys.bundle(
            for: member.peer, stock: stock, by: identity, topic: topic, wall: milliseconds(now), entropy: &entropy)
        keepPrekeys()
        guard let bundle else { return }
        member.mail.gaveAt = now
        // Mail that is sealed to a key whose private half is lost would be lost too.
        pendingConsequences.append(.say(member.peer, .prekeys(bundle)))
    }

    mutating func keepPrekeys() {
        let writes = prekeys.takeWrites()
        if configuration.isDurable { pendingWrites += writes }
    }

    mutating func keepHeld(of member: Member) {
        guard configuration.isDurable else { return }
        let bytes = member.mail.held.bytes
        pendingWrites.append(StorageWrite(key: "held/\(member.id)", value: bytes.isEmpty ? nil : bytes))
    }

    /// The wall clock as records have it.
    func milliseconds(_ now: Instant) -> UInt64 { UInt64(max(0, wall(now))) }
}
