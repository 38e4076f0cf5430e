public import JSON

/// A permission: the owner of a user's graph lets others write into parts of it.
public struct Certificate: Equatable, Sendable {
    /// Who may use a certificate.
    public enum Holders: Equatable, Sendable {
        case everybody
        /// These public keys, at least one.
        case keys([String])
    }

    /// `c`: who may use it.
    public var holders: Holders
    /// `e`: the last state, in milliseconds since 1970, that may be written; `nil` for ever.
    public var expiry: Double?
    /// `r`: kept and signed, without a meaning for those who write.
    public var read: JSONValue?
    /// `w`: what may be written: a text, a lex, or an array of them.
    public var write: JSONValue?
    /// `rb`: as `read`.
    public var readBlock: JSONValue?
    /// `wb`: the node that names public keys that may not write after all.
    public var writeBlock: JSONValue?

    /// A certificate for writing.
    ///
    /// - Parameters:
    ///   - holders: who may use it.
    ///   - write: a text that path and key together must equal (`"inbox/first"`), a lex (`{"*": "inbox"}`), or an array of
    ///     them.
    ///   - expiry: the last state that may be written.
    public init(for holders: Holders, write: JSONValue, expiry: Double? = nil) {
        self.holders = holders
        self.write = write
        self.expiry = expiry
    }

    /// Reads what was signed; `nil` when it names nobody.
    init?(_ json: JSONValue) {
        guard json.object != nil else { return nil }
        switch json["c"] {
        case .text("*"): holders = .everybody
        case .text(let key): holders = .keys([key.string])
        case .array(let keys):
            let texts = keys.compactMap(\.string)
            holders = texts.contains("*") ? .everybody : .keys(texts)
        default: return nil
        }
        switch json["e"] {
        case .number(let number): expiry = number
        // Some write it as a text. One that says nothing would never expire: then it has expired always.
        case .text(let text): expiry = Double(text.string) ?? -.infinity
        default: expiry = nil
        }
        (read, write) = (json["r"], json["w"])
        (readBlock, writeBlock) = (json["rb"], json["wb"])
    }

    /// The members that are there, in the order in which they are signed.
    var json: JSONValue {
        var object = JSONObject()
        switch holders {
        case .everybody: object["c"] = "*"
        case .keys(let keys) where keys.count == 1: object["c"] = .string(keys[0])
        case .keys(let keys): object["c"] = .array(keys.map { .string($0) })
        }
        object["e"] = expiry.map { .number($0) }
        object["r"] = read
        object["w"] = write
        object["rb"] = readBlock
        object["wb"] = writeBlock
        return .object(object)
    }

    /// Whether the holder of that key may use it.
    func isHeld(by pub: String) -> Bool {
        switch holders {
        case .everybody: true
        case .keys(let keys): keys.contains(pub)
        }
    }

    /// What the policy says about one key of one node of its owner.
    enum Permission: Equatable {
        case granted
        case denied
        /// The holder's key would have to occur in path or key.
        case mustNameHolder
    }

    /// - Parameters:
    ///   - path: what follows the first `/` of the soul; empty for the account's own node.
    ///   - pub: the holder's public key.
    func permission(path: JSONText, key: JSONText, pub: String) -> Permission {
        let entries: [JSONValue]
        switch write {
        case .array(let several): entries = several
        case .text, .object: entries = write.map { [$0] } ?? []
        default: entries = []
        }
        let whole = path.isEmpty ? key : JSONText(utf16: Array(path.utf16) + [0x2f] + Array(key.utf16))
        guard let entry = entries.first(where: { Self.covers($0, path: path, key: key, whole: whole) }) else {
            return .denied
        }
        guard let forced = entry["+"]?.string, forced.contains("*") else { return .granted }
        return path.string.contains(pub) || key.string.contains(pub) ? .granted : .mustNameHolder
    }

    private static func covers(_ entry: JSONValue, path: JSONText, key: JSONText, whole: JSONText) -> Bool {
        let (soulLex, keyLex) = (entry["#"], entry["."])
        let fitsSoul = soulLex.map { LexMatch.fits(path, $0) } ?? true
        let fitsKey = keyLex.map { LexMatch.fits(key, $0) } ?? true
        if soulLex != nil || keyLex != nil, fitsSoul, fitsKey { return true }
        return LexMatch.fits(whole, soulLex ?? entry)
    }
}

extension SEAPair {
    /// `SEA.certify(who, policy, pair)`: the certificate signed, `SEA{"m":{…},"s":"…"}`.
    public func certify(_ certificate: Certificate) -> JSONText { sign(certificate.json) }
}
