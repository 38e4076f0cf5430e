extension JSONValue {
    /// The text that JavaScript's `JSON.stringify` gives, in UTF-8: no spaces, members in their order.
    public func serialized() -> [UInt8] {
        var output: [UInt8] = []
        serialize(into: &output)
        return output
    }

    /// Appends the text of ``serialized()``.
    public func serialize(into output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let value): output.append(javaScriptNumber: value)
        case .text(let text): text.serialize(into: &output)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (place, element) in elements.enumerated() {
                if place > 0 { output.append(UInt8(ascii: ",")) }
                element.serialize(into: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let object): object.serialize(into: &output)
        }
    }
}

extension JSONObject {
    /// Appends the text that `JSON.stringify` gives, members in their order.
    public func serialize(into output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        for (place, member) in members.enumerated() {
            if place > 0 { output.append(UInt8(ascii: ",")) }
            member.key.serialize(into: &output)
            output.append(UInt8(ascii: ":"))
            member.value.serialize(into: &output)
        }
        output.append(UInt8(ascii: "}"))
    }
}

extension JSONText {
    /// Appends the text in quotes: `"`, `\` and what is below U+0020 escaped, lone surrogates as `\udxxx`, nothing else.
    public func serialize(into output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        var start = 0
        var index = 0
        while index < wtf8.count {
            let byte = wtf8[index]
            let isLoneSurrogate = byte == 0xed && index + 2 < wtf8.count && wtf8[index + 1] >= 0xa0
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || isLoneSurrogate else {
                index += 1
                continue
            }
            output.append(contentsOf: wtf8[start..<index])
            if isLoneSurrogate {
                let unit = 0xd000 | UInt16(wtf8[index + 1] & 0x3f) << 6 | UInt16(wtf8[index + 2] & 0x3f)
                output.append(unicodeEscape: unit)
                index += 3
            } else {
                output.append(escaped: byte)
                index += 1
            }
            start = index
        }
        output.append(contentsOf: wtf8[start...])
        output.append(UInt8(ascii: "\""))
    }
}

extension [UInt8] {
    fileprivate mutating func append(escaped byte: UInt8) {
        let letter: UInt8
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): letter = byte
        case 0x08: letter = UInt8(ascii: "b")
        case 0x09: letter = UInt8(ascii: "t")
        case 0x0a: letter = UInt8(ascii: "n")
        case 0x0c: letter = UInt8(ascii: "f")
        case 0x0d: letter = UInt8(ascii: "r")
        default: return append(unicodeEscape: UInt16(byte))
        }
        append(UInt8(ascii: "\\"))
        append(letter)
    }

    fileprivate mutating func append(unicodeEscape unit: UInt16) {
        append(UInt8(ascii: "\\"))
        append(UInt8(ascii: "u"))
        for shift: UInt16 in [12, 8, 4, 0] {
            let digit = UInt8(truncatingIfNeeded: unit >> shift & 0xf)
            append(digit < 10 ? 0x30 + digit : 0x57 + digit)
        }
    }

    /// Appends a number in JavaScript's spelling, `null` for what is not finite.
    public mutating func append(javaScriptNumber value: Double) {
        guard value.isFinite else { return append(contentsOf: "null".utf8) }
        if let integer = exactInteger(value), integer.magnitude <= 1 << 53 {
            return append(contentsOf: String(integer).utf8)
        }
        append(contentsOf: javaScriptNumber(value).utf8)
    }
}

/// A number as JavaScript's `String(value)` spells it (ECMA-262 §6.1.6.1.20): the shortest digits that read back as the
/// same double, exponents from 1e21 and below 1e-6, `-0` as `0`, `NaN`, `Infinity`.
public func javaScriptNumber(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value == 0 { return "0" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    let (digits, point) = shortestDigits(value.magnitude)
    let sign = value < 0 ? "-" : ""
    let count = digits.count
    func text(_ slice: some Sequence<UInt8>) -> String { String(decoding: Array(slice), as: UTF8.self) }
    func zeros(_ count: Int) -> String { String(repeating: "0", count: count) }
    switch point {
    case count...21 where count <= 21:
        return sign + text(digits) + zeros(point - count)
    case 1...21:
        return sign + text(digits[..<point]) + "." + text(digits[point...])
    case -5...0:
        return sign + "0." + zeros(-point) + text(digits)
    default:
        let exponent = point - 1
        let fraction = count > 1 ? "." + text(digits[1...]) : ""
        return sign + text(digits[..<1]) + fraction + (exponent < 0 ? "e-" : "e+") + String(exponent.magnitude)
    }
}

/// The shortest digits of a positive finite number and where the decimal point stands: the value is 0.d₁d₂… × 10^point.
private func shortestDigits(_ value: Double) -> (digits: [UInt8], point: Int) {
    var digits: [UInt8] = []
    var point: Int?
    var exponent = 0
    // The standard library prints shortest round-trip digits, as `123.45`, `1e-07` or `1.5e+300`.
    let text = Array(value.description.utf8)
    var index = 0
    while index < text.count {
        switch text[index] {
        case UInt8(ascii: "."): point = digits.count
        case UInt8(ascii: "e"):
            exponent = Int(String(decoding: text[(index + 1)...], as: UTF8.self)) ?? 0
            index = text.count
        default: digits.append(text[index])
        }
        index += 1
    }
    var place = (point ?? digits.count) + exponent
    let leadingZeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
    digits.removeFirst(leadingZeros)
    place -= leadingZeros
    while digits.count > 1, digits.last == UInt8(ascii: "0") { digits.removeLast() }
    return (digits, place)
}
