import SwarmBase

/// What untrusted JSON may cost.
public struct JSONLimits: Sendable {
    /// The deepest nesting of arrays and objects, 0…256 (what is above counts as 256); `[]` alone is 1 deep.
    public var depth: Int
    /// The longest text in bytes.
    public var bytes: Int
    /// The most values, all arrays and objects and what is in them counted.
    public var elements: Int

    public init(depth: Int = 32, bytes: Int = 1 << 20, elements: Int = 100_000) {
        self.depth = depth
        self.bytes = bytes
        self.elements = elements
    }
}

/// Why a text is not the JSON that was asked for; offsets count bytes from the start.
public enum JSONError: Error, Equatable, Sendable {
    /// The text stops before the value is complete.
    case unexpectedEnd
    /// A byte that cannot stand here (RFC 8259 §2), data after the value included.
    case unexpectedByte(offset: Int)
    /// An unknown escape or one that is cut off (§7).
    case invalidEscape(offset: Int)
    /// A control character below U+0020 in a text (§7).
    case controlCharacter(offset: Int)
    /// A text that is not UTF-8 (§8.1).
    case invalidUTF8(offset: Int)
    /// A number outside the grammar of §6, or one of more than 2,000 characters.
    case invalidNumber(offset: Int)
    /// Deeper than ``JSONLimits/depth``.
    case tooDeep(offset: Int)
    /// Longer than ``JSONLimits/bytes``.
    case tooLong
    /// More values than ``JSONLimits/elements``.
    case tooManyElements(offset: Int)
}

extension JSONValue {
    /// Parses one value as RFC 8259 has it, nothing looser: no byte order mark, comments, trailing commas, leading zeros.
    ///
    /// Of several members with one name the last value counts. Lone surrogates written as `\ud800` are kept.
    ///
    /// - Throws: the first fault found.
    public init(parsing bytes: some Collection<UInt8>, limits: JSONLimits = JSONLimits()) throws(JSONError) {
        guard bytes.count <= limits.bytes else { throw .tooLong }
        var parser = JSONParser(bytes: Array(bytes), limits: limits)
        self = try parser.document()
    }

    /// Parses the UTF-8 of a string; see ``init(parsing:limits:)-(Collection<UInt8>,_)``.
    public init(parsing string: String, limits: JSONLimits = JSONLimits()) throws(JSONError) {
        try self.init(parsing: Array(string.utf8), limits: limits)
    }
}

/// One pass over the bytes; recursion is bounded by the depth limit.
struct JSONParser {
    let bytes: [UInt8]
    private(set) var index = 0
    private var depth: Int
    private var elements: Int

    init(bytes: [UInt8], limits: JSONLimits) {
        self.bytes = bytes
        // A stack frame of `value()` is small, but the caller's stack may be too (512 KiB for a thread).
        depth = min(limits.depth, 256)
        elements = limits.elements
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try value()
        skipSpace()
        guard index == bytes.count else { throw .unexpectedByte(offset: index) }
        return value
    }

    private mutating func skipSpace() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x0a, 0x0d, 0x09: index += 1
            default: return
            }
        }
    }

    /// The next byte that is not white space.
    mutating func token() throws(JSONError) -> UInt8 {
        skipSpace()
        guard index < bytes.count else { throw .unexpectedEnd }
        return bytes[index]
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        let first = try token()
        try count()
        switch first {
        case UInt8(ascii: "\""): return .text(try text())
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        default: throw .unexpectedByte(offset: index)
        }
    }

    private mutating func literal(_ name: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        for byte in name.description.utf8 {
            guard index < bytes.count else { throw .unexpectedEnd }
            guard bytes[index] == byte else { throw .unexpectedByte(offset: index) }
            index += 1
        }
        return value
    }

    private mutating func descend() throws(JSONError) {
        depth -= 1
        guard depth >= 0 else { throw .tooDeep(offset: index) }
        index += 1
    }

    /// Counts one value.
    private mutating func count() throws(JSONError) {
        elements -= 1
        guard elements >= 0 else { throw .tooManyElements(offset: index) }
    }

    private mutating func array() throws(JSONError) -> [JSONValue] {
        try descend()
        defer { depth += 1 }
        var array: [JSONValue] = []
        if try token() == UInt8(ascii: "]") {
            index += 1
            return array
        }
        while true {
            array.append(try value())
            switch try token() {
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "]"):
                index += 1
                return array
            default: throw .unexpectedByte(offset: index)
            }
        }
    }

    private mutating func object() throws(JSONError) -> JSONObject {
        try descend()
        defer { depth += 1 }
        var object = JSONObject()
        if try token() == UInt8(ascii: "}") {
            index += 1
            return object
        }
        while true {
            guard try token() == UInt8(ascii: "\"") else { throw .unexpectedByte(offset: index) }
            let key = try text()
            guard try token() == UInt8(ascii: ":") else { throw .unexpectedByte(offset: index) }
            index += 1
            object[key] = try value()
            switch try token() {
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "}"):
                index += 1
                return object
            default: throw .unexpectedByte(offset: index)
            }
        }
    }
}

// MARK: Steps over what is not wanted as a value
extension JSONParser {
    /// Enters an object or array.
    mutating func enter() throws(JSONError) {
        try count()
        try descend()
    }

    /// Leaves it.
    mutating func leave() {
        depth += 1
        index += 1
    }

    /// Steps over the byte that ``token()`` gave.
    mutating func step() { index += 1 }

    /// Steps over one value, as strictly as if it were parsed.
    mutating func skip() throws(JSONError) {
        switch try token() {
        case UInt8(ascii: "\""):
            try count()
            _ = try skipText()
        case UInt8(ascii: "{"): try skipAll(until: UInt8(ascii: "}"), named: true)
        case UInt8(ascii: "["): try skipAll(until: UInt8(ascii: "]"), named: false)
        default: _ = try value()
        }
    }

    private mutating func skipAll(until end: UInt8, named: Bool) throws(JSONError) {
        try enter()
        if try token() == end { return leave() }
        while true {
            if named { _ = try name() }
            try skip()
            switch try token() {
            case UInt8(ascii: ","): index += 1
            case end: return leave()
            default: throw .unexpectedByte(offset: index)
            }
        }
    }

    /// The name of a member and the colon behind it.
    mutating func name() throws(JSONError) -> (range: Range<Int>, hasEscapes: Bool) {
        guard try token() == UInt8(ascii: "\"") else { throw .unexpectedByte(offset: index) }
        let name = try skipText()
        guard try token() == UInt8(ascii: ":") else { throw .unexpectedByte(offset: index) }
        index += 1
        return name
    }

    /// A text that is a value: where it stands, without its quotes.
    mutating func textValue() throws(JSONError) -> (range: Range<Int>, hasEscapes: Bool) {
        try count()
        return try skipText()
    }

    private mutating func skipText() throws(JSONError) -> (range: Range<Int>, hasEscapes: Bool) {
        let start = index + 1
        var hasEscapes = false
        var place = start
        while true {
            place = endOfPlain(from: place)
            guard place < bytes.count else { throw .unexpectedEnd }
            let byte = bytes[place]
            index = place
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                return (start..<place, hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try skipEscape()
            case ..<0x20: throw .controlCharacter(offset: index)
            default: try multibyte(byte)
            }
            place = index
        }
    }

    /// The first place from `start` on with something else than a printable ASCII character that stands for itself, or the end.
    private func endOfPlain(from start: Int) -> Int {
        var place = start
        unsafe bytes.withUnsafeBytes { bytes in
            // Eight at a time; each word lies within the bytes.
            while place + 8 <= bytes.count {
                let word = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                let special = Self.specialBytes(in: word)
                if special != 0 {
                    place += special.trailingZeroBitCount >> 3
                    return
                }
                place += 8
            }
            while place < bytes.count, case let byte = unsafe bytes[place], byte >= 0x20, byte < 0x80,
                byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\")
            { place += 1 }
        }
        return place
    }

    /// Marks the highest bit of each byte that is not plain: a control character, a quote, a backslash, or above ASCII. A mark above
    /// the lowest may be false.
    private static func specialBytes(in word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        /// A byte becomes 0 where it is the wanted one; a borrow marks where a byte is 0, or below the bound.
        func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word }
        let quotes = zeros(word ^ (ones &* UInt64(UInt8(ascii: "\""))))
        let backslashes = zeros(word ^ (ones &* UInt64(UInt8(ascii: "\\"))))
        let controls = (word &- ones &* 0x20) & ~word
        return (quotes | backslashes | controls | word) & (ones &* 0x80)
    }

    private mutating func skipEscape() throws(JSONError) {
        guard index + 1 < bytes.count else { throw .unexpectedEnd }
        let offset = index
        index += 2
        switch bytes[offset + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            break
        case UInt8(ascii: "u"): _ = try hexUnit(escapeAt: offset)
        default: throw .invalidEscape(offset: offset)
        }
    }
}

// MARK: Texts (RFC 8259 §7)
extension JSONParser {
    private mutating func text() throws(JSONError) -> JSONText {
        index += 1
        var start = index
        var wtf8: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\""):
                defer { index += 1 }
                if wtf8.isEmpty { return JSONText(wtf8: Array(bytes[start..<index])) }
                wtf8.append(contentsOf: bytes[start..<index])
                return JSONText(wtf8: wtf8)
            case UInt8(ascii: "\\"):
                wtf8.append(contentsOf: bytes[start..<index])
                try escape(into: &wtf8)
                start = index
            case ..<0x20:
                throw .controlCharacter(offset: index)
            case ..<0x80:
                index += 1
            default:
                try multibyte(byte)
            }
        }
        throw .unexpectedEnd
    }

    /// Steps over one well-formed UTF-8 sequence of two to four bytes (RFC 3629 §4).
    private mutating func multibyte(_ lead: UInt8) throws(JSONError) {
        let second: ClosedRange<UInt8>
        let count: Int
        switch lead {
        case 0xc2...0xdf: (second, count) = (0x80...0xbf, 2)
        case 0xe0: (second, count) = (0xa0...0xbf, 3)
        case 0xed: (second, count) = (0x80...0x9f, 3)
        case 0xe1...0xef: (second, count) = (0x80...0xbf, 3)
        case 0xf0: (second, count) = (0x90...0xbf, 4)
        case 0xf1...0xf3: (second, count) = (0x80...0xbf, 4)
        case 0xf4: (second, count) = (0x80...0x8f, 4)
        default: throw .invalidUTF8(offset: index)
        }
        guard index + count <= bytes.count, second.contains(bytes[index + 1]) else {
            throw .invalidUTF8(offset: index)
        }
        for offset in 2..<max(count, 2) where bytes[index + offset] & 0xc0 != 0x80 {
            throw .invalidUTF8(offset: index)
        }
        index += count
    }

    private mutating func escape(into wtf8: inout [UInt8]) throws(JSONError) {
        let offset = index
        index += 1
        guard index < bytes.count else { throw .unexpectedEnd }
        let kind = bytes[index]
        index += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): wtf8.append(kind)
        case UInt8(ascii: "b"): wtf8.append(0x08)
        case UInt8(ascii: "f"): wtf8.append(0x0c)
        case UInt8(ascii: "n"): wtf8.append(0x0a)
        case UInt8(ascii: "r"): wtf8.append(0x0d)
        case UInt8(ascii: "t"): wtf8.append(0x09)
        case UInt8(ascii: "u"):
            let unit = try hexUnit(escapeAt: offset)
            wtf8.append(codePoint: try completed(unit, escapeAt: offset, joining: &wtf8))
        default: throw .invalidEscape(offset: offset)
        }
    }

    /// The code point that starts with `unit`: with the low surrogate that follows, or by itself.
    private mutating func completed(
        _ unit: UInt16, escapeAt offset: Int, joining wtf8: inout [UInt8]
    ) throws(JSONError) -> UInt32 {
        guard 0xd800...0xdbff ~= unit, index + 1 < bytes.count,
            bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u")
        else { return UInt32(unit) }
        let second = index
        index += 2
        let next = try hexUnit(escapeAt: second)
        if 0xdc00...0xdfff ~= next { return surrogatePair(unit, next) }
        index = second
        return UInt32(unit)
    }

    private mutating func hexUnit(escapeAt offset: Int) throws(JSONError) -> UInt16 {
        guard index + 4 <= bytes.count else { throw .unexpectedEnd }
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = hexDigitValue(bytes[index]) else { throw .invalidEscape(offset: offset) }
            unit = unit << 4 | UInt16(digit)
            index += 1
        }
        return unit
    }
}

// MARK: Numbers (RFC 8259 §6)
extension JSONParser {
    private static let longestNumber = 2_000
    private static let powersOfTen: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ]

    private mutating func number() throws(JSONError) -> Double {
        let start = index
        let negative = bytes[index] == UInt8(ascii: "-")
        if negative { index += 1 }
        var mantissa: UInt64 = 0
        var digitCount = try digits(into: &mantissa, from: start)
        let integerStart = start + (negative ? 1 : 0)
        if digitCount > 1, bytes[integerStart] == UInt8(ascii: "0") { throw .invalidNumber(offset: start) }
        var fractionCount = 0
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            index += 1
            fractionCount = try digits(into: &mantissa, from: start)
            digitCount += fractionCount
        }
        var hasExponent = false
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            hasExponent = true
            index += 1
            if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") {
                index += 1
            }
            var exponent: UInt64 = 0
            _ = try digits(into: &exponent, from: start)
        }
        guard index - start <= Self.longestNumber else { throw .invalidNumber(offset: start) }
        // Exact when mantissa and power of ten are both doubles without rounding: one correctly rounded division.
        if !hasExponent, digitCount <= 15 || (digitCount <= 18 && mantissa <= 1 << 53), fractionCount <= 22 {
            let magnitude = Double(mantissa) / Self.powersOfTen[fractionCount]
            return negative ? -magnitude : magnitude
        }
        guard let value = Double(String(decoding: bytes[start..<index], as: UTF8.self)) else {
            throw .invalidNumber(offset: start)
        }
        return value
    }

    /// Steps over at least one digit; `mantissa` is right as long as there were at most 18 in all.
    private mutating func digits(into mantissa: inout UInt64, from start: Int) throws(JSONError) -> Int {
        let first = index
        while index < bytes.count, case let digit = bytes[index] &- 0x30, digit < 10 {
            mantissa = mantissa &* 10 &+ UInt64(digit)
            index += 1
        }
        guard index > first else {
            if index == bytes.count { throw .unexpectedEnd }
            throw .invalidNumber(offset: start)
        }
        return index - first
    }
}
