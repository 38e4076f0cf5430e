import Crypto
import Gun
import SwarmBase

/// Keeping the mail of others (docs/protocol.md, "Items").
extension SwarmEngine {
    /// The most members whose mail is thought of.
    private static let mostRecipients = 128

    /// Follows the mail of those whose keeper we are, and of no others.
    mutating func updateKeptMail(now: Instant) {
        guard usesMail, configuration.isDurable, configuration.mail.keepsForOthers else { return }
        let present = members.values.filter { $0.session.isUp && $0.presence?.keepsState == true }.map(\.peer)
        var wanted: Set<Soul> = []
        for recipient in members.keys.sorted().prefix(Self.mostRecipients)
        where isKeeper(of: recipient, among: present) {
            wanted.formUnion(mailWeeks(now).compactMap { mailSoul(of: recipient, week: $0) })
        }
        for soul in wanted.subtracting(keptMail).sorted() { gun.follow(soul, now: now) }
        for soul in keptMail.subtracting(wanted).sorted() { gun.unfollow(soul, now: now) }
        keptMail = wanted
        guard mailForgottenIn != week(now) else { return }
        mailForgottenIn = week(now)
        for peer in members.keys.sorted() {
            for week in week(now) - 5..<week(now) - 1 { mailSoul(of: peer, week: week).map { gun.forget($0) } }
        }
    }

    private func isKeeper(of recipient: PeerID, among present: [PeerID]) -> Bool {
        let own = Self.rank(peerID, for: recipient)
        // Most are not: no more is hashed than it takes to know.
        let better = present.lazy.filter {
            $0 != recipient && Self.rank($0, for: recipient).lexicographicallyPrecedes(own)
        }
        return better.prefix(configuration.mail.keepers).count < configuration.mail.keepers
    }

    private static func rank(_ keeper: PeerID, for recipient: PeerID) -> [UInt8] {
        Array(SHA256.hash(data: keeper.rawRepresentation + recipient.rawRepresentation))
    }
}
