import SwarmBase

/// Looks for what may not be seen: in what servers and third members carry nobody's message may be readable, nor anybody's private key.
struct Secrecy {
    /// What every message of a run holds, so that it can be told wherever it shows.
    static let mark = "confidential"

    private var secrets: [[UInt8]] = []
    /// What was seen, each kind once.
    private(set) var problems: [String] = []

    init() { watch(Self.mark) }

    /// Looks for a text from now on, as it is and as base64 has it.
    mutating func watch(_ text: String) {
        let bytes = Array(text.utf8)
        secrets.append(bytes)
        // Of base64 there are three, as the text may begin at any place of a group; the ends depend on what is beside them.
        for shift in 0..<3 {
            let encoded = Array(([UInt8](repeating: 0, count: shift) + bytes).base64URL.utf8)
            secrets.append(Array(encoded.dropFirst(shift == 0 ? 0 : 4).dropLast(4)))
        }
    }

    /// Takes what somebody else than sender and receiver sees.
    mutating func inspect(_ bytes: [UInt8], seenBy witness: @autoclosure () -> String) {
        guard problems.count < 10 else { return }
        for secret in secrets where Self.contains(bytes, secret) {
            problems.append(
                "\(witness()) can read what is not for it: \(String(decoding: secret.prefix(12), as: UTF8.self))")
        }
    }

    /// Takes what passes the network.
    mutating func inspect(datagram: [UInt8]) {
        guard problems.count < 10, let mark = secrets.first, Self.contains(datagram, mark) else { return }
        problems.append("a datagram holds a message that everybody on its way can read")
    }

    /// Whether a text is in there.
    static func contains(_ bytes: [UInt8], _ text: [UInt8]) -> Bool {
        guard let first = text.first, bytes.count >= text.count else { return false }
        let last = bytes.count - text.count
        return unsafe bytes.withUnsafeBufferPointer { bytes in
            var index = 0
            while index <= last {
                if unsafe bytes[index] == first {
                    var length = 1
                    while length < text.count, unsafe bytes[index + length] == text[length] { length += 1 }
                    if length == text.count { return true }
                }
                index += 1
            }
            return false
        }
    }
}
