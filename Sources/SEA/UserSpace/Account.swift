public import JSON
public import SwarmBase

/// An account: a pair whose private keys lie in the graph, sealed under a passphrase.
///
/// The node `~pub` holds `pub`, and signed `alias`, `epub` and `auth`; the node `~@alias` links to `~pub`. An alias is
/// not unique: anybody may take it too, so who signs in tries each account that has it.
public struct Account: Sendable {
    /// One key to write.
    public struct Record: Equatable, Sendable {
        public var soul: JSONText
        public var key: JSONText
        public var value: JSONValue
    }

    /// SEA's salt, in characters.
    static let saltCharacters = 64

    /// The records that make an account.
    ///
    /// - Parameters:
    ///   - state: the state at which all of them are to be written: the signatures hold for it alone.
    /// - Returns: `nil` when the state is not finite.
    public static func create(
        alias: JSONText, passphrase: String, pair: SEAPair, state: Double, using entropy: inout Entropy
    ) -> [Record]? {
        records(
            alias: alias, pair: pair, auth: seal(pair, passphrase: passphrase, using: &entropy), state: state)
    }

    /// The content of the key `auth`: the private keys, sealed under the passphrase.
    ///
    /// Stretching the passphrase takes some 20 ms.
    public static func seal(_ pair: SEAPair, passphrase: String, using entropy: inout Entropy) -> JSONText {
        let salt = randomText(saltCharacters, using: &entropy)
        let proof = SEAWork.work(.string(passphrase), salt: JSONText(salt))
        let keys: JSONValue = ["priv": .string(pair.priv), "epriv": .string(pair.epriv)]
        let sealed = seaParsed(SEACipher(passphrase: proof).encrypt(keys, using: &entropy))
        return JSONText(utf8: JSONValue.object(["ek": sealed, "s": .string(salt)]).serialized())
    }

    /// The records of an account whose `auth` is made.
    ///
    /// - Returns: `nil` when the state is not finite.
    public static func records(alias: JSONText, pair: SEAPair, auth: JSONText, state: Double) -> [Record]? {
        let soul = JSONText("~" + pair.pub)
        var records = [Record(soul: soul, key: "pub", value: .string(pair.pub))]
        let signed: [(JSONText, JSONValue)] = [
            ("alias", .text(alias)), ("auth", .text(auth)), ("epub", .string(pair.epub)),
        ]
        for (key, value) in signed {
            let position = GraphPosition(soul: soul, key: key, state: state)
            guard let text = pair.signGraphValue(value, at: position) else { return nil }
            records.append(Record(soul: soul, key: key, value: .text(text)))
        }
        records.append(Record(soul: aliasSoul(alias), key: soul, value: ["#": .text(soul)]))
        return records
    }

    /// The node that lists the accounts of an alias.
    public static func aliasSoul(_ alias: JSONText) -> JSONText {
        JSONText(utf16: Array(JSONText("~@").utf16) + Array(alias.utf16))
    }

    /// The pair of an account, if the passphrase is its own.
    ///
    /// - Parameters:
    ///   - auth: the verified content of the key `auth`.
    ///   - pub: the account's public key, which the pair must have.
    public static func unlock(_ auth: JSONValue, pub: String, passphrase: String) -> SEAPair? {
        let auth = auth.text.map(seaParsed) ?? auth
        guard let salt = auth["s"]?.text, let sealed = auth["ek"] else { return nil }
        let proof = SEAWork.work(.string(passphrase), salt: salt)
        let text = sealed.text ?? JSONText(utf8: sealed.serialized())
        guard let keys = SEACipher(passphrase: proof).decrypt(text), let priv = keys["priv"]?.string,
            let epriv = keys["epriv"]?.string, let pair = try? SEAPair(priv: priv, epriv: epriv), pair.pub == pub
        else { return nil }
        return pair
    }

    private static func randomText(_ count: Int, using entropy: inout Entropy) -> String {
        let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXZabcdefghijklmnopqrstuvwxyz".utf8)
        let characters = (0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &entropy)] }
        return String(decoding: characters, as: UTF8.self)
    }
}
