internal import SwarmBase

/// The lines of a description, taken apart but not yet understood.
struct SDPText {
    struct Attribute {
        var name: Substring
        var value: Substring
    }

    struct Section {
        var media: Substring
        var port: Substring
        var transport: Substring
        var formats: Substring
        var attributes: [Attribute] = []

        /// The first value of an attribute; `""` for a flag.
        func value(_ name: String) -> Substring? { attributes.first { $0.name == name }?.value }
    }

    var origin: Substring?
    var attributes: [Attribute] = []
    var sections: [Section] = []

    init(_ text: String, limits: SDPLimits) throws(SDPError) {
        guard text.utf8.count <= limits.bytes else { throw .tooLong }
        // CR LF is one character to Swift, so the lines are cut in scalars.
        let lines = text.unicodeScalars.split { $0 == "\r" || $0 == "\n" }.map { Substring($0) }
        guard let first = lines.first, first.hasPrefix("v=0") else { throw .notSDP }
        for line in lines.dropFirst() {
            if line.hasPrefix("a=") {
                let body = line.dropFirst(2)
                let colon = body.firstIndex(of: ":")
                let attribute = Attribute(
                    name: colon.map { body[..<$0] } ?? Self.trimmed(body),
                    value: colon.map { Self.trimmed(body[body.index(after: $0)...]) } ?? "")
                if sections.isEmpty {
                    attributes.append(attribute)
                } else {
                    sections[sections.count - 1].attributes.append(attribute)
                }
            } else if line.hasPrefix("m=") {
                guard sections.count < limits.sections else { throw .tooLong }
                let words = line.dropFirst(2).split(separator: " ", maxSplits: 3)
                // A section without formats could not be given back in an answer.
                guard words.count == 4, case let formats = Self.trimmed(words[3]), !formats.isEmpty else {
                    throw .invalid("m=")
                }
                sections.append(Section(media: words[0], port: words[1], transport: words[2], formats: formats))
            } else if line.hasPrefix("o="), origin == nil {
                origin = line.dropFirst(2)
            }
        }
    }

    /// A value of the section, else of the session (RFC 8866 §6.13 lets the section win).
    func value(_ name: String, in section: Section) -> Substring? {
        section.value(name) ?? attributes.first { $0.name == name }?.value
    }

    /// All values of the section, else all of the session.
    func values(_ name: String, in section: Section) -> [Substring] {
        let own = section.attributes.filter { $0.name == name }
        return (own.isEmpty ? attributes.filter { $0.name == name } : own).map(\.value)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.last == " " { text.removeLast() }
        while text.first == " " { text.removeFirst() }
        return text
    }
}
