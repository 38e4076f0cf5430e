extension Collection<UInt8> {
    /// The bytes in base64url without padding (RFC 4648 §5).
    public var base64URL: String {
        withContiguousStorageIfAvailable { unsafe Base64URL.text(of: $0) } ?? Array(self).base64URL
    }
}

extension [UInt8] {
    /// Reads base64url without padding (RFC 4648 §5).
    ///
    /// - Returns: `nil` for any other character, an impossible length, or stray bits that are not zero: every byte
    ///   string has exactly one spelling.
    public init?(base64URL text: some StringProtocol) {
        guard let bytes = Base64URL.bytes(of: text.utf8) else { return nil }
        self = bytes
    }

    /// The same of a text's UTF-8.
    public init?(base64URL text: [UInt8]) {
        guard let bytes = Base64URL.bytes(of: text) else { return nil }
        self = bytes
    }
}

/// Whatever goes through a relay takes this way, so it works on memory and not through iterators.
private enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    /// The value of each character; 0xff for those that have none.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xff, count: 256)
        for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()

    static func text(of bytes: UnsafeBufferPointer<UInt8>) -> String {
        let alphabet = alphabet
        let length = (bytes.count * 4 + 2) / 3
        return unsafe String(unsafeUninitializedCapacity: length) { text in
            var (group, bits, at) = (UInt32(0), 0, 0)
            for index in 0..<bytes.count {
                let byte = unsafe bytes[index]
                group = group << 8 | UInt32(byte)
                bits += 8
                while bits >= 6 {
                    bits -= 6
                    unsafe text[at] = alphabet[Int(group >> UInt32(bits) & 63)]
                    at += 1
                }
            }
            if bits > 0 {
                unsafe text[at] = alphabet[Int(group << UInt32(6 - bits) & 63)]
                at += 1
            }
            return at
        }
    }

    static func bytes(of text: some Collection<UInt8>) -> [UInt8]? {
        if let bytes = text.withContiguousStorageIfAvailable({ unsafe bytes(ofContiguous: $0) }) { return bytes }
        return unsafe Array(text).withUnsafeBufferPointer { unsafe bytes(ofContiguous: $0) }
    }

    private static func bytes(ofContiguous text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        let values = values
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count * 3 / 4)
        var (group, bits) = (UInt32(0), 0)
        for index in 0..<text.count {
            let value = unsafe values[Int(text[index])]
            guard value < 64 else { return nil }
            group = group << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
            }
        }
        return bits < 6 && group & (1 << UInt32(bits) - 1) == 0 ? bytes : nil
    }
}
