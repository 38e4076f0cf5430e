import Crypto
public import JSON
import SwarmBase

/// The rule of user space: who may write which key of which node.
///
/// A pure function of the write and of what is asked back by the way. It is to be applied to writes that conflict
/// resolution would accept, one key at a time.
public enum UserSpace {
    /// What an accepted write says.
    public struct Content: Equatable, Sendable {
        /// The value without its signature.
        public var value: JSONValue
        /// The public key of who signed it; `nil` where nothing is signed.
        public var author: String?

        init(_ value: JSONValue, author: String? = nil) {
            self.value = value
            self.author = author
        }
    }

    /// What becomes of a write.
    public enum Verdict: Equatable, Sendable {
        case accept(Content)
        /// Refused; the text is for the writer, `nil` when nothing is to be said.
        case refuse(JSONText?)
        /// The soul says that it forgets, and the write is older than that: no fault of the writer.
        case forget
        /// It cannot be decided without that key of that node: ask again when it is known.
        case needs(soul: JSONText, key: JSONText)
    }

    /// What is known of a key that the rule asks for.
    public enum Knowledge: Equatable, Sendable {
        case value(JSONValue)
        case nothing
        case unknown
    }

    /// Decides on one key.
    ///
    /// - Parameters:
    ///   - value: what is to be written, as it stands on the wire.
    ///   - position: soul, key and state.
    ///   - now: the clock, in milliseconds since 1970.
    ///   - requiresOwner: whether souls that nobody owns are refused.
    ///   - lookup: what is held of a soul's key; block lists of certificates are looked up by it.
    public static func decide(
        _ value: JSONValue, at position: GraphPosition, now: Double, requiresOwner: Bool = false,
        lookup: (_ soul: JSONText, _ key: JSONText) -> Knowledge = { _, _ in .nothing }
    ) -> Verdict {
        let soul = Array(position.soul.utf16)
        if let lifetime = lifetime(of: soul), position.state < now - lifetime { return .forget }
        if soul == Unit.tilde + Unit.at {
            let isAlias = value.linkedSoul == JSONText(utf16: soul + Array(position.key.utf16))
            return isAlias ? .accept(Content(value)) : .refuse("Alias not same!")
        }
        if soul.starts(with: Unit.tilde + Unit.at) {
            if value.isFalsy { return .refuse("Alias must exist!") }
            return value.linkedSoul == position.key ? .accept(Content(value)) : .refuse("Alias not same!")
        }
        if let owner = UserSoul.owner(of: position.soul) {
            return decideOwned(value, at: position, owner: owner, lookup: lookup)
        }
        if soul.contains(Unit.hash[0]) { return decideByHash(value, key: position.key) }
        if requiresOwner { return .refuse(JSONText("Soul missing public key at '\(position.key)'.")) }
        return .accept(Content(value))
    }

    /// What a signed text says, as it is held in a graph; nothing is verified.
    public static func content(ofSigned text: JSONText) -> Content? {
        SignedValue(text).map { Content($0.value, author: $0.author) }
    }

    // MARK: Nodes that a key owns

    private static func decideOwned(
        _ value: JSONValue, at position: GraphPosition, owner: String,
        lookup: (JSONText, JSONText) -> Knowledge
    ) -> Verdict {
        if position.key == "pub", position.soul == JSONText("~" + owner) {
            // The account's name for itself needs no signature: it can have one value only.
            return value.string == owner ? .accept(Content(value, author: owner)) : .refuse("Account not same!")
        }
        guard let text = value.text, let signed = SignedValue(text), let key = SEAPublicKey(signed.author ?? owner),
            key.verifies(signed, at: position)
        else { return .refuse("Unverified data.") }
        let author = signed.author ?? owner
        let content = Content(signed.value, author: author)
        if author == owner { return .accept(content) }
        guard let certificate = signed.certificate else { return .refuse("Unverified data.") }
        guard let signedBy = SEAPublicKey(owner),
            let policy = signedBy.verifySigned(certificate).flatMap({ Certificate($0) })
        else { return .refuse(nil) }
        if let expiry = policy.expiry, !(position.state <= expiry) { return .refuse("Certificate expired.") }
        guard policy.isHeld(by: author) else { return .refuse(nil) }
        let path = UserSoul.path(of: position.soul)
        switch policy.permission(path: path, key: position.key, pub: author) {
        case .granted: break
        case .denied: return .refuse("Certificate verification fail.")
        case .mustNameHolder:
            return .refuse(JSONText("Path \"\(path)\" or key \"\(position.key)\" must contain string \"\(author)\"."))
        }
        return isBlocked(author, by: policy.writeBlock, owner: owner, lookup: lookup) ?? .accept(content)
    }

    /// Looks for the author in the block list that a certificate names.
    ///
    /// - Returns: `nil` when it is not there.
    private static func isBlocked(
        _ author: String, by list: JSONValue?, owner: String, lookup: (JSONText, JSONText) -> Knowledge
    ) -> Verdict? {
        let soul: JSONText
        switch list {
        case .text(let text) where text.hasPrefix("~"): soul = text
        case .text(let name) where !name.isEmpty:
            // A name in the account's own node, which links to the list.
            let account = JSONText("~" + owner)
            switch lookup(account, name) {
            case .unknown: return .needs(soul: account, key: name)
            case .value(let value): soul = value.signedContent.linkedSoul ?? JSONText("~\(owner)/\(name)")
            case .nothing: soul = JSONText("~\(owner)/\(name)")
            }
        case .object(let object):
            guard let text = object["#"]?.text, !text.isEmpty else { return nil }
            soul = text
        default: return nil
        }
        switch lookup(soul, JSONText(author)) {
        case .unknown: return .needs(soul: soul, key: JSONText(author))
        case .nothing: return nil
        case .value(let value):
            switch value.signedContent {
            case .bool(true), .number(1): return .refuse(JSONText("Certificant \(author) blocked."))
            default: return nil
            }
        }
    }

    // MARK: Nodes that are named by their content

    private static func decideByHash(_ value: JSONValue, key: JSONText) -> Verdict {
        let units = Array(key.utf16)
        let tail = JSONText(utf16: units.lastIndex(of: Unit.hash[0]).map { Array(units[($0 + 1)...]) } ?? units).string
        let hash = seaDigest(value)
        guard tail == hash.base64 || tail == hash.hexadecimal else { return .refuse("Data hash not same as hash!") }
        return .accept(Content(value))
    }

    // MARK: Nodes that are to be forgotten

    /// The milliseconds after which a soul with `<?SECONDS` takes no more writes.
    private static func lifetime(of soul: [UInt16]) -> Double? {
        guard let mark = soul.indices.dropLast().first(where: { soul[$0] == 0x3c && soul[$0 + 1] == 0x3f }) else {
            return nil
        }
        let digits = soul[(mark + 2)...].prefix { 0x30...0x39 ~= $0 || $0 == 0x2e }
        return Double(String(decoding: digits, as: UTF16.self)).map { $0 * 1000 }
    }

    private enum Unit {
        static let tilde: [UInt16] = [0x7e]
        static let at: [UInt16] = [0x40]
        static let hash: [UInt16] = [0x23]
    }
}

extension UserSoul {
    /// What follows the first `/` of a soul; empty when there is none.
    public static func path(of soul: JSONText) -> JSONText {
        let units = Array(soul.utf16)
        guard let slash = units.firstIndex(of: 0x2f) else { return "" }
        return JSONText(utf16: units[(slash + 1)...])
    }
}

extension JSONValue {
    /// The soul that a link names.
    var linkedSoul: JSONText? {
        guard let object, object.count == 1 else { return nil }
        return object["#"]?.text
    }

    /// What JavaScript takes for false.
    fileprivate var isFalsy: Bool {
        switch self {
        case .null, .bool(false): true
        case .number(let number): number == 0
        case .text(let text): text.isEmpty
        default: false
        }
    }

    /// The value inside a signed text that is held already, or the value itself.
    fileprivate var signedContent: JSONValue { text.flatMap { SignedValue($0)?.value } ?? self }
}
