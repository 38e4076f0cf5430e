public import JSON

/// Which keys of a node a query wants: `{"=": …, "*": …, ">": …, "<": …, "-": …}`.
public struct Lex: Equatable, Sendable {
    /// `=`: this key and no other.
    public var exact: JSONText?
    /// `*`: keys that begin so.
    public var prefix: JSONText?
    /// `>`: this key and those after it, in UTF-16 order.
    public var lowerBound: JSONText?
    /// `<`: this key and those before it.
    public var upperBound: JSONText?
    /// `-`: a limited selection is filled from the end.
    public var isReversed = false

    public init() {}

    init?(_ object: JSONObject) {
        func text(_ name: JSONText) -> JSONText?? {
            guard let value = object[name] else { return .some(nil) }
            return value.text.map { .some($0) }
        }
        guard let exact = text("="), let prefix = text("*"), let lower = text(">"), let upper = text("<") else {
            return nil
        }
        (self.exact, self.prefix, lowerBound, upperBound) = (exact, prefix, lower, upper)
        isReversed =
            switch object["-"] {
            case nil, .null, .bool(false): false
            case .number(let number): number != 0
            default: true
            }
    }

    /// Whether the key satisfies every condition that is set.
    public func matches(_ key: Key) -> Bool {
        let text = key.text
        return (exact.map { $0 == text } ?? true)
            && (prefix.map { text.hasPrefix($0) } ?? true)
            && (lowerBound.map { text >= $0 } ?? true)
            && (upperBound.map { text <= $0 } ?? true)
    }

    /// The records that match, in order; with a limit, only until the lengths of their values (9 for what is not a text)
    /// add up to it.
    func select(from records: [GunRecord], limit: Double?) -> [GunRecord] {
        let matching = records.filter { matches($0.key) }
        guard let limit else { return matching }
        var selected: [GunRecord] = []
        var length = 0.0
        for record in isReversed ? matching.reversed() : matching where length < limit {
            selected.append(record)
            length += record.value.text.map { Double($0.byteCount) } ?? 9
        }
        return isReversed ? selected.reversed() : selected
    }
}

/// What a `get` asks for.
public enum GunQuery: Equatable, Sendable {
    case node(Soul)
    case key(Soul, Key)
    /// Several keys of one node, with the `%` limit.
    case keys(Soul, Lex, limit: Double?)
    /// A soul or key of a shape that names nothing: never found.
    case nothing

    init(_ json: JSONValue) {
        guard let soul = json["#"]?.text.flatMap({ Soul($0) }) else {
            self = .nothing
            return
        }
        switch json["."] {
        case nil, .null: self = .node(soul)
        case .text(let text): self = text.isEmpty ? .node(soul) : Key(text).map { .key(soul, $0) } ?? .nothing
        case .object(let object): self = Lex(object).map { .keys(soul, $0, limit: json["%"]?.number) } ?? .nothing
        default: self = .nothing
        }
    }

    /// The soul and, when one key is asked for, the key.
    var target: (soul: Soul, key: Key?)? {
        switch self {
        case .node(let soul), .keys(let soul, _, _): (soul, nil)
        case .key(let soul, let key): (soul, key)
        case .nothing: nil
        }
    }

    func serialize(into output: inout [UInt8]) {
        output.append(contentsOf: "{\"#\":".utf8)
        switch self {
        case .node(let soul): soul.text.serialize(into: &output)
        case .key(let soul, let key):
            soul.text.serialize(into: &output)
            output.append(contentsOf: ",\".\":".utf8)
            key.text.serialize(into: &output)
        case .keys(let soul, let lex, let limit):
            soul.text.serialize(into: &output)
            output.append(contentsOf: ",\".\":".utf8)
            var object = JSONObject()
            object["="] = lex.exact.map { .text($0) }
            object["*"] = lex.prefix.map { .text($0) }
            object[">"] = lex.lowerBound.map { .text($0) }
            object["<"] = lex.upperBound.map { .text($0) }
            if lex.isReversed { object["-"] = 1 }
            object.serialize(into: &output)
            if let limit {
                output.append(contentsOf: ",\"%\":".utf8)
                output.append(javaScriptNumber: limit)
            }
        case .nothing: output.append(contentsOf: "\"\"".utf8)
        }
        output.append(UInt8(ascii: "}"))
    }
}
