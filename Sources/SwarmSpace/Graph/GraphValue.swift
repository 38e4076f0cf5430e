import Gun
import JSON

/// What one key of the graph holds.
public enum GraphValue: Hashable, Sendable {
    /// Nothing any more: keys are never removed, only set to `nil`.
    case null
    case bool(Bool)
    /// Finite.
    case number(Double)
    case text(String)
    /// A reference to another node, by its soul.
    case link(String)

    /// The text, if this is one.
    public var text: String? { if case .text(let text) = self { text } else { nil } }
    /// The number, if this is one.
    public var number: Double? { if case .number(let number) = self { number } else { nil } }
    /// The truth value, if this is one.
    public var bool: Bool? { if case .bool(let bool) = self { bool } else { nil } }
    /// The soul that this refers to, if it does.
    public var soul: String? { if case .link(let soul) = self { soul } else { nil } }

    init(_ value: GunValue) {
        switch value {
        case .null: self = .null
        case .bool(let bool): self = .bool(bool)
        case .number(let number): self = .number(number.value)
        case .text(let text): self = .text(text.string)
        case .link(let soul): self = .link(soul.text.string)
        }
    }

    /// The value as the graph has it; `nil` for numbers that are not finite and a link to the empty soul.
    var gun: GunValue? {
        switch self {
        case .null: .null
        case .bool(let bool): .bool(bool)
        case .number(let number): FiniteNumber(number).map { .number($0) }
        case .text(let text): .string(text)
        case .link(let soul): Soul(soul).map { .link($0) }
        }
    }
}

extension GraphValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .number(Double(value)) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .text(value) }
}
