import DataChannels
import JSON

/// How a person or a program talks to `pair`.
protocol PairConsole: Sendable {
    /// Says what is expected.
    func begin(isAnswering: Bool)
    /// Understands a line of input.
    func instruction(_ line: ConsoleInput.Line) throws(PairInputError) -> PairInstruction
    /// Says what has happened.
    func report(_ report: PairReport)
}

/// One JSON object a line.
struct JSONPairConsole: PairConsole {
    let output: ConsoleOutput

    func begin(isAnswering: Bool) {}

    func instruction(_ line: ConsoleInput.Line) throws(PairInputError) -> PairInstruction {
        switch line {
        case .bytes(let bytes): try PairInstruction(json: bytes)
        case .tooLong: throw PairInputError(message: "a line of more than \(PairInstruction.maximumLineLength) bytes")
        }
    }

    func report(_ report: PairReport) { output.line(report.json.serialized()) }
}

/// For people: descriptions as one short word each, then a conversation.
struct TextPairConsole: PairConsole {
    let output: ConsoleOutput

    func begin(isAnswering: Bool) {
        output.note(isAnswering ? "Paste the offer of the other side:" : "Gathering addresses…")
    }

    func instruction(_ line: ConsoleInput.Line) throws(PairInputError) -> PairInstruction {
        guard case .bytes(let bytes) = line else { throw PairInputError(message: "that line is too long") }
        let text = String(decoding: bytes, as: UTF8.self)
        let word = text.trimmingWhitespace()
        if let description = SessionDescription(compact: word) { return .description(description) }
        if word.hasPrefix("{"), let instruction = try? PairInstruction(json: bytes) { return instruction }
        if word == "/quit" { return .disconnect }
        return .send(label: "main", .text(text))
    }

    func report(_ report: PairReport) {
        switch report {
        case .description(let description):
            output.note(
                description.kind == .offer
                    ? "Give this offer to the other side (swarm-space pair --answer), then paste its answer:"
                    : "Give this answer to the other side:")
            if let compact = description.compact { output.line(compact) }
        case .state(let state): output.note("[\(state.rawValue)]")
        case .open(let channel): output.note("[channel \(channel.label) is open: type to talk, /quit to end]")
        case .message(_, .text(let text)): output.line(text)
        case .message(_, .binary(let bytes)): output.note("[\(bytes.count) bytes]")
        case .channelClosed(let channel): output.note("[channel \(channel.label) is closed]")
        case .closed: break
        case .error(let message): output.note("[\(message)]")
        }
    }
}

extension String {
    /// The text without white space at its ends.
    fileprivate func trimmingWhitespace() -> String {
        var text = self[...]
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}
