import SwarmBase

/// Undoes RFC 3986 §2.1 escapes; a broken escape stays as it is.
func percentDecoded(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(text.count)
    var index = text.startIndex
    while index < text.endIndex {
        if text[index] == UInt8(ascii: "%"), text.endIndex - index > 2,
            let high = hexDigitValue(text[index + 1]), let low = hexDigitValue(text[index + 2])
        {
            decoded.append(high << 4 | low)
            index += 3
        } else {
            decoded.append(text[index])
            index += 1
        }
    }
    return decoded
}

/// Escapes every byte of the UTF-8 form but RFC 3986 §2.3's unreserved characters.
func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var encoded: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            encoded.append(byte)
        default:
            encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: encoded, as: UTF8.self)
}

/// ASCII letters in lower case, everything else as it is.
func lowercased(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
}

/// ASCII white space, as URL parsers trim it.
func isWhiteSpace(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || (0x09...0x0d).contains(byte)
}

extension ArraySlice<UInt8> {
    /// What follows `prefix`, which is lower-case ASCII and matched in any case; `nil` without it.
    func droppingPrefix(_ prefix: String) -> ArraySlice<UInt8>? {
        let head = self.prefix(prefix.utf8.count)
        guard head.map(lowercased).elementsEqual(prefix.utf8) else { return nil }
        return dropFirst(prefix.utf8.count)
    }
}

extension String {
    /// The text of well-formed UTF-8; `nil` for any other bytes.
    init?(validating bytes: [UInt8]) {
        self.init(validating: bytes, as: UTF8.self)
    }
}
