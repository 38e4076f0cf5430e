import JSON
import SEA

extension WriteRule {
    /// SEA's rule of user space: nodes that a key owns take what it has signed, or what holders of its certificates have;
    /// nodes named by content take that content only.
    ///
    /// - Parameter requiresOwner: whether nodes that nobody owns are refused.
    public static func userSpace(requiresOwner: Bool = false) -> WriteRule {
        WriteRule(lookingUp: { record, wall, lookup in
            let position = GraphPosition(soul: record.soul.text, key: record.key.text, state: record.state)
            let verdict = UserSpace.decide(
                record.value.json, at: position, now: wall, requiresOwner: requiresOwner
            ) { soul, key in
                guard let soul = Soul(soul), let key = Key(key) else { return .nothing }
                return switch lookup(soul, key) {
                case .value(let value): .value(value.json)
                case .nothing: .nothing
                case .unknown: .unknown
                }
            }
            return switch verdict {
            case .accept: .accept
            case .forget: .pass
            // A writer is better told than left waiting.
            case .refuse(let fault): .refuse(fault ?? "Unverified data.")
            case .needs(let soul, let key):
                Soul(soul).flatMap { soul in Key(key).map { .needs(RecordAddress(soul: soul, key: $0)) } }
                    ?? .refuse("Unverified data.")
            }
        })
    }
}

extension GunRecord {
    /// The value as an application is to see it: without the signature in nodes that a key owns. Nothing is verified here:
    /// what a rule let into the graph was.
    public var content: GunValue {
        guard UserSoul.owner(of: soul.text) != nil, let text = value.text,
            let signed = UserSpace.content(ofSigned: text),
            let value = GunValue(signed.value)
        else { return value }
        return value
    }

    /// The public key of who signed the value; `nil` where nothing is signed.
    public var author: String? {
        guard let owner = UserSoul.owner(of: soul.text) else { return nil }
        guard let text = value.text, let signed = UserSpace.content(ofSigned: text) else { return owner }
        return signed.author ?? owner
    }
}
