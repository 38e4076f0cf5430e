/// Names with figures in columns behind them.
struct FigureTable {
    /// Of the names, in characters.
    let width: Int
    /// Of a column.
    let column: Int
    let columns: Int
    let style: TerminalStyle

    func row(_ name: String, _ values: [String]) -> String {
        "  " + pad(name, width) + values.map { right($0, column) }.joined()
    }

    var line: String { "  " + String(repeating: "─", count: width + column * columns) }
}

/// A text with spaces behind it, up to a width in characters.
func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

/// A text with spaces before it.
func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

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
