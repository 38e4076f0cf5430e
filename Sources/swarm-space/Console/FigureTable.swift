/// Names with figures in columns behind them.
struct FigureTable {
    /// Of the names, in characters.
    let width: Int
    /// Of a column.
    let column: Int
    let columns: Int
    let style: TerminalStyle

    func row(_ name: String, _ values: [String]) -> String {
        "  " + name + String(repeating: " ", count: max(0, width - name.count))
            + values.map { String(repeating: " ", count: max(0, column - $0.count)) + $0 }.joined()
    }

    var line: String { "  " + String(repeating: "─", count: width + column * columns) }
}

/// A number with a comma between thousands.
func grouped(_ number: Int) -> String {
    let digits = Array(String(number))
    var result = ""
    for (index, digit) in digits.enumerated() {
        if index > 0, (digits.count - index).isMultiple(of: 3), digits[index - 1] != "-" { result.append(",") }
        result.append(digit)
    }
    return result
}
