/// One JSON value (RFC 8259 §3).
public enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// An IEEE double. A literal beyond its range is ±infinity, as in JavaScript; such a value serialises as `null`.
    case number(Double)
    case text(JSONText)
    case array([JSONValue])
    case object(JSONObject)

    /// A text from a Swift string.
    public static func string(_ string: String) -> JSONValue { .text(JSONText(string)) }

    /// A number from an integer; beyond ±2^53 it is rounded to a double.
    public static func integer(_ integer: Int) -> JSONValue { .number(Double(integer)) }

    /// The member of that name, if this is an object that has it.
    public subscript(key: JSONText) -> JSONValue? {
        if case .object(let object) = self { object[key] } else { nil }
    }

    /// Whether this is `null`.
    public var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// The text, if this is one.
    public var text: JSONText? {
        if case .text(let text) = self { text } else { nil }
    }

    /// The text as a Swift string, if this is a text.
    public var string: String? { text?.string }

    /// The number, if this is one.
    public var number: Double? {
        if case .number(let number) = self { number } else { nil }
    }

    /// The number as an integer, if this is a number without a fraction that `Int` holds.
    public var integer: Int? { number.flatMap { exactInteger($0) } }

    /// The truth value, if this is one.
    public var bool: Bool? {
        if case .bool(let bool) = self { bool } else { nil }
    }

    /// The elements, if this is an array.
    public var array: [JSONValue]? {
        if case .array(let array) = self { array } else { nil }
    }

    /// The object, if this is one.
    public var object: JSONObject? {
        if case .object(let object) = self { object } else { nil }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (JSONText, JSONValue)...) {
        self = .object(JSONObject(elements))
    }
}

/// The members of a JSON object in the order in which they were added.
///
/// A name occurs once: adding it again replaces the value and keeps the place, as in JavaScript. (JavaScript also moves
/// names that look like array indices to the front; this type does not.) Two objects are equal when they have the same
/// members in whatever order.
public struct JSONObject: Equatable, Sendable, ExpressibleByDictionaryLiteral {
    /// The members in order.
    public private(set) var members: [(key: JSONText, value: JSONValue)] = []
    /// Where each name is, once there are too many to search one by one.
    private var places: [JSONText: Int]?

    private static let searchableCount = 8

    /// No members.
    public init() {}

    /// These members; of several with one name the last value counts.
    public init(_ members: some Sequence<(JSONText, JSONValue)>) {
        self.members.reserveCapacity(members.underestimatedCount)
        for (key, value) in members { self[key] = value }
    }

    public init(dictionaryLiteral elements: (JSONText, JSONValue)...) { self.init(elements) }

    /// How many members there are.
    public var count: Int { members.count }

    /// Whether there is no member.
    public var isEmpty: Bool { members.isEmpty }

    private func place(of key: JSONText) -> Int? {
        if let places { return places[key] }
        return members.firstIndex { $0.key == key }
    }

    /// The member of that name. Setting `nil` removes it.
    public subscript(key: JSONText) -> JSONValue? {
        get { place(of: key).map { members[$0].value } }
        set {
            switch (place(of: key), newValue) {
            case (let place?, let value?):
                members[place].value = value
            case (let place?, nil):
                members.remove(at: place)
                places = nil
                indexIfLarge()
            case (nil, let value?):
                places?[key] = members.count
                members.append((key, value))
                indexIfLarge()
            case (nil, nil):
                break
            }
        }
    }

    private mutating func indexIfLarge() {
        guard places == nil, members.count > Self.searchableCount else { return }
        var places: [JSONText: Int] = [:]
        places.reserveCapacity(members.count * 2)
        for (place, member) in members.enumerated() { places[member.key] = place }
        self.places = places
    }

    public static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.count == b.count && a.members.allSatisfy { b[$0.key] == $0.value }
    }
}

/// The number as an integer, if it has no fraction and `Int` holds it.
func exactInteger(_ number: Double) -> Int? {
    guard number.magnitude < 9.2e18 else { return nil }
    let integer = Int(number)
    return Double(integer) == number ? integer : nil
}
