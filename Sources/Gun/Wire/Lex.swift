public import JSON

/// Which keys of a node a query wants: `{"=": …, "*": …, ">": …, "<": …, "-": …}`.
public struct Lex: Hashable, Sendable {
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

    /// The keys that a `.` asks for beside a `#` that is a lex itself.
    fileprivate init?(ofKeys json: JSONValue?) {
        switch json {
        case nil, .null: self.init()
        case .text(let text):
            self.init()
            if !text.isEmpty { exact = text }
        case .object(let object): self.init(object)
        default: return nil
        }
    }

    fileprivate var object: JSONObject {
        var object = JSONObject()
        object["="] = exact.map { .text($0) }
        object["*"] = prefix.map { .text($0) }
        object[">"] = lowerBound.map { .text($0) }
        object["<"] = upperBound.map { .text($0) }
        if isReversed { object["-"] = 1 }
        return object
    }

    /// Whether the key satisfies every condition that is set.
    public func matches(_ key: Key) -> Bool { matches(key.text) }

    /// Whether a soul or key satisfies every condition that is set.
    public func matches(_ text: JSONText) -> Bool {
        (exact.map { $0 == text } ?? true)
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
            length += Self.length(of: record.value)
        }
        return isReversed ? selected.reversed() : selected
    }

    /// What a value counts against the `%` limit.
    static func length(of value: GunValue) -> Double { value.text.map { Double($0.byteCount) } ?? 9 }
}

/// What a `get` asks for.
public enum GunQuery: Equatable, Sendable {
    case node(Soul)
    case key(Soul, Key)
    /// Several keys of one node, with the `%` limit.
    case keys(Soul, Lex, limit: Double?)
    /// Several nodes, or certain keys of them, with the `%` limit.
    case souls(Lex, keys: Lex, limit: Double?)
    /// A soul or key of a shape that names nothing: never found.
    case nothing

    init(_ json: JSONValue) {
        if let souls = json["#"]?.object.flatMap({ Lex($0) }) {
            self = Lex(ofKeys: json["."]).map { .souls(souls, keys: $0, limit: Self.limit(json["%"])) } ?? .nothing
            return
        }
        guard let soul = json["#"]?.text.flatMap({ Soul($0) }) else {
            self = .nothing
            return
        }
        switch json["."] {
        case nil, .null: self = .node(soul)
        case .text(let text): self = text.isEmpty ? .node(soul) : Key(text).map { .key(soul, $0) } ?? .nothing
        case .object(let object): self = Lex(object).map { .keys(soul, $0, limit: Self.limit(json["%"])) } ?? .nothing
        default: self = .nothing
        }
    }

    /// The soul and, when one key is asked for, the key.
    var target: (soul: Soul, key: Key?)? {
        switch self {
        case .node(let soul), .keys(let soul, _, _): (soul, nil)
        case .key(let soul, let key): (soul, key)
        case .souls, .nothing: nil
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
            lex.object.serialize(into: &output)
            Self.serialize(limit: limit, into: &output)
        case .souls(let souls, let keys, let limit):
            souls.object.serialize(into: &output)
            if keys != Lex() {
                output.append(contentsOf: ",\".\":".utf8)
                keys.object.serialize(into: &output)
            }
            Self.serialize(limit: limit, into: &output)
        case .nothing: output.append(contentsOf: "\"\"".utf8)
        }
        output.append(UInt8(ascii: "}"))
    }

    /// A number beyond all numbers is no limit, and cannot be written.
    private static func limit(_ json: JSONValue?) -> Double? {
        guard let number = json?.number else { return nil }
        return number.isFinite ? number : number > 0 ? nil : 0
    }

    private static func serialize(limit: Double?, into output: inout [UInt8]) {
        guard let limit else { return }
        output.append(contentsOf: ",\"%\":".utf8)
        output.append(javaScriptNumber: limit)
    }
}
