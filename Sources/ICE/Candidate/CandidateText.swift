internal import SwarmBase

extension Candidate {
    /// Reads a candidate line (RFC 8839 §5.1): `candidate:…`, with or without `a=` before it.
    ///
    /// - Returns: `nil` for every line that names no UDP address of component 1 that can be sent to: TCP, other
    ///   components, unknown types, port 0, names (mDNS ones as well: they are not resolved), zones, control characters, and lines that
    ///   are no candidates. None of those is an error of the description that holds it.
    public init?(sdp line: String) {
        // Real lines have about 200 characters.
        guard line.utf8.count <= 1024 else { return nil }
        var text = Substring(line)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        if text.hasPrefix("a=") { text = text.dropFirst(2) }
        // What is read here is written into descriptions: it must not smuggle in another line.
        guard text.hasPrefix("candidate:"), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { return nil }
        let words = text.dropFirst("candidate:".count).split(separator: " ")
        guard words.count >= 8, (1...32).contains(words[0].utf8.count), Self.isVisible(words[0]), words[1] == "1",
            words[2].lowercased() == "udp", let priority = Self.number(words[3], as: UInt32.self),
            let address = IPAddress(String(words[4])), let port = Self.number(words[5], as: UInt16.self), port != 0,
            words[6] == "typ", let kind = CandidateKind(rawValue: String(words[7]))
        else { return nil }
        var relatedAddress: IPAddress?
        var relatedPort: UInt16?
        var usernameFragment: String?
        var index = 8
        while index + 1 < words.count {
            let value = words[index + 1]
            switch words[index] {
            case "raddr": relatedAddress = IPAddress(String(value))
            case "rport": relatedPort = Self.number(value, as: UInt16.self)
            case "ufrag": usernameFragment = Self.isVisible(value) ? String(value) : nil
            default: break
            }
            index += 2
        }
        var related: TransportAddress?
        if let relatedAddress, let relatedPort, !relatedAddress.isUnspecified {
            related = TransportAddress(relatedAddress, port: relatedPort)
        }
        self.init(
            kind: kind, address: TransportAddress(address, port: port), relatedAddress: related, priority: priority,
            foundation: String(words[0]), usernameFragment: usernameFragment)
    }

    /// The line without `a=`. A hidden base of a reflexive candidate is written as 0.0.0.0 port 9 (RFC 8839 §5.1).
    public var sdp: String {
        var line = "candidate:\(foundation) 1 udp \(priority) \(address.address) \(address.port) typ \(kind.rawValue)"
        if kind != .host {
            let hidden = TransportAddress(address.address.isIPv6 ? .v6(0, 0) : .v4(0), port: 9)
            let related = relatedAddress ?? hidden
            line += " raddr \(related.address) rport \(related.port)"
        }
        if let usernameFragment { line += " ufrag \(usernameFragment)" }
        return line
    }

    private static func isVisible(_ text: Substring) -> Bool { text.utf8.allSatisfy { (0x21...0x7e).contains($0) } }

    /// Decimal digits only: `Int("+1")` would be taken otherwise.
    private static func number<T: FixedWidthInteger>(_ text: Substring, as _: T.Type) -> T? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? T(text) : nil
    }
}
