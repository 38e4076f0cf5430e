public import JSON

/// A double that is neither infinite nor NaN; `-0` is held as `0`, as its text on the wire is.
public struct FiniteNumber: Hashable, Sendable, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral {
    /// The number.
    public let value: Double

    /// - Returns: `nil` for infinities and NaN.
    public init?(_ value: Double) {
        guard value.isFinite else { return nil }
        self.value = value + 0
    }

    /// An integer; beyond ±2^53 it is rounded to a double.
    public init(_ value: Int) { self.value = Double(value) }

    public init(integerLiteral value: Int) { self.init(value) }

    /// - Precondition: finite.
    public init(floatLiteral value: Double) {
        precondition(value.isFinite, "a number of the graph is finite")
        self.value = value + 0
    }
}

/// What a key may hold: nothing else is legal in the graph.
public enum GunValue: Hashable, Sendable {
    /// The tombstone: keys are never removed, only set to `null`.
    case null
    case bool(Bool)
    case number(FiniteNumber)
    case text(JSONText)
    /// A reference to another node, `{"#": soul}` on the wire.
    case link(Soul)

    /// A text from a Swift string.
    public static func string(_ string: String) -> GunValue { .text(JSONText(string)) }

    /// Reads a value as it stands on the wire.
    ///
    /// - Returns: `nil` for arrays, other objects, numbers beyond a double's range, and links to the empty soul.
    public init?(_ json: JSONValue) {
        switch json {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .text(let text): self = .text(text)
        case .number(let value):
            guard let number = FiniteNumber(value) else { return nil }
            self = .number(number)
        case .object(let object):
            guard object.count == 1, let soul = object["#"]?.text.flatMap({ Soul($0) }) else { return nil }
            self = .link(soul)
        case .array: return nil
        }
    }

    /// The text, if this is one.
    public var text: JSONText? {
        if case .text(let text) = self { text } else { nil }
    }

    /// The value as it stands on the wire.
    public var json: JSONValue {
        switch self {
        case .null: .null
        case .bool(let value): .bool(value)
        case .number(let number): .number(number.value)
        case .text(let text): .text(text)
        case .link(let soul): .object(["#": .text(soul.text)])
        }
    }

    /// Appends the JSON text that goes on the wire and that conflict resolution compares.
    func serialize(into output: inout [UInt8]) {
        switch self {
        case .text(let text): text.serialize(into: &output)
        case .link(let soul):
            output.append(contentsOf: "{\"#\":".utf8)
            soul.text.serialize(into: &output)
            output.append(UInt8(ascii: "}"))
        case .null, .bool, .number: json.serialize(into: &output)
        }
    }

    /// What the value costs in memory, in bytes, its container left out.
    var byteCount: Int {
        switch self {
        case .text(let text): text.byteCount
        case .link(let soul): soul.text.byteCount
        case .null, .bool, .number: 0
        }
    }
}

extension GunValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .number(FiniteNumber(value)) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
}
