public import JSON

/// GUN's rule for comparing one text with a text or a lex, as certificates and clients use it.
public enum LexMatch {
    /// Whether `text` fits.
    ///
    /// - Parameter lex: a text (equal to it), or `{"=", "*", ">", "<"}`: `=` alone decides when it is there, then the
    ///   prefix `*`, and only without either the bounds, both inclusive and in UTF-16 order. An empty prefix and a lex
    ///   that says nothing fit no text.
    public static func fits(_ text: JSONText, _ lex: JSONValue) -> Bool {
        switch lex {
        case .text(let exact): return text == exact
        case .object(let object):
            if let exact = object["="] { return exact.text == text }
            if let prefix = object["*"] { return prefix.text.map { !$0.isEmpty && text.hasPrefix($0) } ?? false }
            switch (object[">"], object["<"]) {
            case (nil, nil): return false
            case (let lower?, nil): return lower.text.map { text >= $0 } ?? false
            case (nil, let upper?): return upper.text.map { text <= $0 } ?? false
            case (let lower?, let upper?):
                guard let lower = lower.text, let upper = upper.text else { return false }
                return text >= lower && text <= upper
            }
        case .null, .bool, .number, .array: return false
        }
    }
}
