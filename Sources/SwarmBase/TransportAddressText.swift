extension IPAddress: LosslessStringConvertible {
    /// Reads dotted-quad IPv4 or RFC 4291 IPv6 text (`::`, an embedded IPv4 tail; no zone, no brackets).
    ///
    /// - Returns: `nil` for anything else, host names included.
    public init?(_ description: String) {
        let text = Array(description.utf8)
        if let value = Self.ipv4(text[...]) {
            self = .v4(value)
            return
        }
        guard let groups = Self.ipv6Groups(text) else { return nil }
        let high = groups[0..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = groups[4..<8].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        self.init(high: high, low: low)
    }

    /// The canonical text of RFC 5952 (lower case, longest run of zeros compressed).
    public var description: String {
        switch self {
        case .v4(let value):
            return (0..<4).map { String(value >> (24 - 8 * UInt32($0)) & 0xff) }.joined(separator: ".")
        case .v6(let high, let low):
            let groups = [high, low].flatMap { half in
                (0..<4).map { UInt16(truncatingIfNeeded: half >> (48 - 16 * $0)) }
            }
            return Self.compressed(groups)
        }
    }

    private static func compressed(_ groups: [UInt16]) -> String {
        var best = 0..<0
        var start = 0
        while start < groups.count {
            var end = start
            while end < groups.count, groups[end] == 0 { end += 1 }
            if end - start >= 2, end - start > best.count { best = start..<end }
            start = max(end, start + 1)
        }
        func hex(_ part: ArraySlice<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        if best.isEmpty { return hex(groups[...]) }
        return hex(groups[..<best.lowerBound]) + "::" + hex(groups[best.upperBound...])
    }

    private static func ipv4(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            var number: UInt32 = 0
            for digit in part {
                guard (0x30...0x39).contains(digit) else { return nil }
                number = number * 10 + UInt32(digit - 0x30)
            }
            guard number < 256 else { return nil }
            value = value << 8 | number
        }
        return value
    }

    private static func ipv6Groups(_ text: [UInt8]) -> [UInt16]? {
        let colon = UInt8(ascii: ":")
        guard text.count >= 2, text.count <= 45 else { return nil }
        var head: [UInt16] = []
        var tail: [UInt16]? = nil
        var index = 0
        if text[0] == colon {
            guard text[1] == colon else { return nil }
            tail = []
            index = 2
        }
        while index < text.count {
            let end = text[index...].firstIndex(of: colon) ?? text.count
            let part = text[index..<end]
            if end == text.count, part.contains(UInt8(ascii: ".")) {
                guard let value = ipv4(part) else { return nil }
                let two = [UInt16(truncatingIfNeeded: value >> 16), UInt16(truncatingIfNeeded: value)]
                if tail == nil { head += two } else { tail? += two }
                index = end
                break
            }
            guard let group = hexGroup(part) else { return nil }
            if tail == nil { head.append(group) } else { tail?.append(group) }
            index = end
            guard index < text.count else { break }
            index += 1
            guard index < text.count else { return nil }
            if text[index] == colon {
                guard tail == nil else { return nil }
                tail = []
                index += 1
            }
        }
        guard let tail else { return head.count == 8 ? head : nil }
        let zeros = 8 - head.count - tail.count
        guard zeros >= 1 else { return nil }
        return head + Array(repeating: 0, count: zeros) + tail
    }

    private static func hexGroup(_ text: ArraySlice<UInt8>) -> UInt16? {
        guard (1...4).contains(text.count) else { return nil }
        var value: UInt16 = 0
        for byte in text {
            guard let digit = hexDigitValue(byte) else { return nil }
            value = value << 4 | UInt16(digit)
        }
        return value
    }
}

extension TransportAddress: LosslessStringConvertible {
    /// Reads `a.b.c.d:port` or `[ipv6]:port`; the port is 0…65535 in decimal.
    public init?(_ description: String) {
        guard let colon = description.lastIndex(of: ":") else { return nil }
        var host = description[..<colon]
        let digits = description[description.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else { return nil }
        let bracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if bracketed { host = host.dropFirst().dropLast() }
        guard let address = IPAddress(String(host)), bracketed || !host.contains(":") else { return nil }
        self.init(address, port: port)
    }

    /// `a.b.c.d:port` or `[ipv6]:port`.
    public var description: String {
        address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
}
