import JSON

/// What a benchmark measured: one line each, with the goal beside it.
struct BenchFigures: Sendable {
    struct Figure: Sendable {
        var name: String
        var key: JSONText
        var value: Double
        var unit: String
        /// What the project wants of itself on two cores; `nil` for what is shown to compare with.
        var goal: Double?
        /// Whether the goal is a floor; else it is a ceiling.
        var isMoreBetter: Bool

        var isReached: Bool {
            guard let goal else { return true }
            return isMoreBetter ? value >= goal : value <= goal
        }
    }

    private(set) var figures: [Figure] = []
    /// What explains the figures: processor time by datagram and by layer.
    private(set) var costs: [(name: String, key: JSONText, nanoseconds: Double)] = []

    /// The value of a figure that was added.
    subscript(key: JSONText) -> Double? { figures.last { $0.key == key }?.value }

    mutating func add(_ name: String, _ key: JSONText, _ value: Double, _ unit: String) {
        figures.append(Figure(name: name, key: key, value: value, unit: unit, goal: nil, isMoreBetter: true))
    }

    mutating func add(
        _ name: String, _ key: JSONText, _ value: Double, _ unit: String, atLeast goal: Double
    ) {
        figures.append(Figure(name: name, key: key, value: value, unit: unit, goal: goal, isMoreBetter: true))
    }

    mutating func add(
        _ name: String, _ key: JSONText, _ value: Double, _ unit: String, atMost goal: Double
    ) {
        figures.append(Figure(name: name, key: key, value: value, unit: unit, goal: goal, isMoreBetter: false))
    }

    mutating func addCost(_ name: String, _ key: JSONText, nanoseconds: Double) {
        costs.append((name, key, nanoseconds))
    }

    /// One object with all of it.
    var json: JSONValue {
        var members: [(JSONText, JSONValue)] = figures.map { figure in
            var member: JSONObject = ["value": .number(Self.rounded(figure.value)), "unit": .string(figure.unit)]
            if let goal = figure.goal { member["goal"] = .number(goal) }
            return (figure.key, .object(member))
        }
        members += costs.map { ($0.key, ["value": .number($0.nanoseconds.rounded()), "unit": "ns"]) }
        return .object(JSONObject(members))
    }

    /// The table for people.
    func table(style: TerminalStyle) -> String {
        let width = (figures.map(\.name.count) + costs.map(\.name.count)).max() ?? 0
        var lines = ["", "  \(pad("", width))   measured      goal"]
        for figure in figures {
            let value = right(Self.text(figure.value), 9)
            guard let target = figure.goal else {
                lines.append("  \(pad(figure.name, width))  \(value)\(right("", 10))    \(figure.unit)")
                continue
            }
            let mark = figure.isReached ? style("✓", .green) : style("✗", .yellow)
            let goal = right((figure.isMoreBetter ? "≥ " : "≤ ") + Self.text(target), 10)
            lines.append("  \(pad(figure.name, width))  \(value)\(goal)  \(mark) \(figure.unit)")
        }
        if !costs.isEmpty { lines.append("") }
        for cost in costs { lines.append("  \(pad(cost.name, width))  \(right(Self.text(cost.nanoseconds), 9))  ns") }
        return lines.joined(separator: "\n")
    }

    private static func rounded(_ value: Double) -> Double {
        value >= 100 ? value.rounded() : (value * 100).rounded() / 100
    }

    /// Three digits at least, thousands apart.
    private static func text(_ value: Double) -> String {
        guard value >= 100 else { return "\(rounded(value))" }
        var digits = Array(String(Int(value.rounded())))
        var index = digits.count - 3
        while index > 0 {
            digits.insert(",", at: index)
            index -= 3
        }
        return String(digits)
    }
}
