/// What an application sends: text or bytes.
public enum MessageContent: Equatable, Sendable {
    case text(String)
    case binary([UInt8])

    var bytes: [UInt8] {
        switch self {
        case .text(let text): Array(text.utf8)
        case .binary(let bytes): bytes
        }
    }

    var isText: Bool {
        if case .text = self { true } else { false }
    }
}
