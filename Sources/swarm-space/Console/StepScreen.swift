import SwarmBase

/// Shows how far a longer job is: a line for each step when it is done, and on a terminal what is under way.
actor StepScreen {
    nonisolated let style = TerminalStyle.standardOutput
    private let output: ConsoleOutput
    private let isSilent: Bool
    private let start = ContinuousClock.now
    private var current: String?
    private var frame = 0
    private var spinner: Task<Void, Never>?

    init(output: ConsoleOutput, isSilent: Bool) {
        self.output = output
        self.isSilent = isSilent
    }

    /// A step begins.
    func begin(_ text: String) {
        guard !isSilent, style.isTerminal else { return }
        current = text
        draw()
        guard spinner == nil else { return }
        spinner = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(100))
                turn()
            }
        }
    }

    /// The step is done.
    func done(_ text: String) {
        current = nil
        guard !isSilent else { return }
        let erase = style.isTerminal ? "\r\u{1b}[K" : ""
        output.line("\(erase)\(style(time, .grey))  \(style("✓", .green)) \(text)")
    }

    /// Nothing more comes.
    func end() {
        spinner?.cancel()
        spinner = nil
        if current != nil { output.text("\r\u{1b}[K") }
        current = nil
    }

    private func turn() {
        frame += 1
        draw()
    }

    private func draw() {
        guard let current else { return }
        let frames = Array("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
        output.text("\r\u{1b}[K\(style(time, .grey))  \(style(String(frames[frame % frames.count]), .cyan)) \(current)")
    }

    private var time: String {
        let tenths = Int(((ContinuousClock.now - start).milliseconds / 100).rounded())
        let text = "\(tenths / 10).\(tenths % 10) s"
        return String(repeating: " ", count: max(0, 7 - text.count)) + text
    }
}
