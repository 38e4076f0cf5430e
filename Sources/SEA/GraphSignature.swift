public import JSON
import SwarmBase

/// Who may write a node: GUN's rule for souls in user space.
public enum UserSoul {
    /// The text of the public key that owns the node, `nil` when nobody does.
    ///
    /// What stands between the first `~` and the next one (or the end) is split at every UTF-16 code unit outside
    /// `[A-Za-z0-9_-]`; with two or more parts the owner is `part1.part2`. That need not be a key: nobody can sign for
    /// a node whose owner is none. Alias souls (`~@…`) have rules of their own that come before this one.
    public static func owner(of soul: JSONText) -> String? {
        let tilde = UInt16(UInt8(ascii: "~"))
        var parts: [String] = [""]
        var isInside = false
        for unit in soul.utf16 {
            if !isInside {
                isInside = unit == tilde
            } else if unit == tilde {
                break
            } else if let character = UInt8(exactly: unit), isWordCharacter(character) {
                parts[parts.count - 1].unicodeScalars.append(Unicode.Scalar(character))
            } else if parts.count < 3 {
                parts.append("")
            }
        }
        guard isInside, parts.count >= 2 else { return nil }
        return parts[0] + "." + parts[1]
    }

    private static func isWordCharacter(_ character: UInt8) -> Bool {
        switch character {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}

/// One key of one node at one state: what a signature in the graph binds its value to.
public struct GraphPosition: Hashable, Sendable {
    /// The node.
    public var soul: JSONText
    /// The key in the node.
    public var key: JSONText
    /// GUN's clock for this value: milliseconds since 1970, may have a fraction.
    public var state: Double

    public init(soul: JSONText, key: JSONText, state: Double) {
        self.soul = soul
        self.key = key
        self.state = state
    }

    /// The object that is signed; its members are in this order.
    func signedObject(_ value: JSONValue) -> JSONValue {
        ["#": .text(soul), ".": .text(key), ":": value, ">": .number(state)]
    }
}

/// What the text of a signed value holds, before anything of it is verified.
struct SignedValue {
    /// `:`: a value that the graph can hold.
    var value: JSONValue
    /// `~`: r‖s.
    var signature: [UInt8]
    /// `*`: who signed it, when that is not the node's owner.
    var author: String?
    /// `+`: the owner's certificate for that author, still signed.
    var certificate: JSONValue?

    /// Reads `{":":value,"~":"signature"}`, and `"*"` and `"+"` beside them. White space, the order of members and
    /// further members do not matter. Only this one form of signed text is tried.
    init?(_ text: JSONText) {
        guard !text.hasLoneSurrogate, let signed = try? JSONValue(parsing: text.utf8),
            let value = signed[":"], isGraphValue(value),
            let signature = signed["~"]?.string.flatMap(bytes(base64:))
        else { return nil }
        self.value = value
        self.signature = signature
        switch signed["*"] {
        case nil: break
        case .text(let text): author = text.string
        default: return nil
        }
        switch signed["+"] {
        case .text(let text): certificate = seaParsed(text)
        case let other: certificate = other
        }
    }
}

extension SEAPair {
    /// The text `{":":value,"~":"signature"}` that stands for `value` in a node of ours, or, with a certificate, in a
    /// node of who gave it to us: `{":":…,"~":…,"+":certificate,"*":pub}`.
    ///
    /// - Parameters:
    ///   - value: what GUN can hold: null, a truth value, a finite number, a text or a link `{"#":soul}`.
    ///   - certificate: what ``certify(_:)`` of the owner gave.
    /// - Returns: `nil` for any other value, a state that is not finite, or a text that is no certificate.
    public func signGraphValue(
        _ value: JSONValue, at position: GraphPosition, certificate: JSONText? = nil
    ) -> JSONText? {
        guard isGraphValue(value), position.state.isFinite else { return nil }
        let signature = signBytes(seaDigest(position.signedObject(value))).base64
        var signed: JSONObject = [":": value, "~": .string(signature)]
        if let certificate {
            let parsed = seaParsed(certificate)
            guard parsed["m"] != nil, parsed["s"] != nil else { return nil }
            signed["+"] = parsed
            signed["*"] = .string(pub)
        }
        return JSONText(utf8: JSONValue.object(signed).serialized())
    }
}

extension SEAPublicKey {
    /// The value inside the text `{":":value,"~":"signature"}`, if the owner of this key signed it for this position.
    public func verifyGraphValue(_ text: JSONText, at position: GraphPosition) -> JSONValue? {
        guard let signed = SignedValue(text), verifies(signed, at: position) else { return nil }
        return signed.value
    }

    /// Whether the owner of this key signed that value for that position.
    func verifies(_ signed: SignedValue, at position: GraphPosition) -> Bool {
        position.state.isFinite
            && verify(seaDigest(position.signedObject(signed.value)), signature: signed.signature)
    }
}

/// Whether GUN's graph can hold this value.
private func isGraphValue(_ value: JSONValue) -> Bool {
    switch value {
    case .null, .bool, .text: true
    case .number(let number): number.isFinite
    case .object(let link): link.count == 1 && link["#"]?.text != nil
    case .array: false
    }
}
