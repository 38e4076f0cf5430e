import Glibc

/// How text looks: in colours on a terminal, plain anywhere else.
struct TerminalStyle: Sendable {
    enum Colour: Int, Sendable { case red = 31, green = 32, yellow = 33, blue = 34, magenta = 35, cyan = 36, grey = 90 }

    let isTerminal: Bool
    let hasColours: Bool

    /// Of standard output, as `NO_COLOR` (no-color.org) and `TERM` allow.
    static var standardOutput: TerminalStyle {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        let isPlain = unsafe getenv("NO_COLOR") != nil || getenv("TERM").map { unsafe String(cString: $0) } == "dumb"
        return TerminalStyle(isTerminal: isTerminal, hasColours: isTerminal && !isPlain)
    }

    func callAsFunction(_ text: String, _ colour: Colour) -> String {
        hasColours && !text.isEmpty ? "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m" : text
    }

    func bold(_ text: String) -> String { hasColours ? "\u{1b}[1m\(text)\u{1b}[0m" : text }
}

/// What others wrote, made fit for a terminal: nothing that moves the cursor, changes colours or turns text around.
func printable(_ text: String) -> String {
    String(
        String.UnicodeScalarView(
            text.unicodeScalars.map { scalar in
                switch scalar.value {
                case 0x09: " "
                case 0..<0x20, 0x7f..<0xa0, 0x202a...0x202e, 0x2066...0x2069, 0x200e, 0x200f, 0x2028, 0x2029: "\u{fffd}"
                default: scalar
                }
            }))
}
