/// A text as JavaScript sees it: any sequence of UTF-16 code units, lone surrogates included.
///
/// Held as WTF-8, that is UTF-8 in which a surrogate without its partner is written as three bytes. Two texts are
/// equal when their code units are (never by canonical equivalence), and `<` is the order of UTF-16 code units, which
/// is the order JavaScript sorts by.
public struct JSONText: Hashable, Comparable, Sendable {
    /// Well-formed WTF-8: a high surrogate is never directly followed by a low one.
    let wtf8: [UInt8]

    init(wtf8: [UInt8]) { self.wtf8 = wtf8 }

    /// The text of a Swift string, scalar for scalar.
    public init(_ string: String) { wtf8 = Array(string.utf8) }

    /// A text in which each byte is the code point of the same number (U+0000…U+00FF): a tracker's "binary string".
    public init(latin1 bytes: some Sequence<UInt8>) {
        var wtf8: [UInt8] = []
        wtf8.reserveCapacity(bytes.underestimatedCount)
        for byte in bytes {
            if byte < 0x80 {
                wtf8.append(byte)
            } else {
                wtf8.append(0xc0 | byte >> 6)
                wtf8.append(0x80 | byte & 0x3f)
            }
        }
        self.wtf8 = wtf8
    }

    /// The text of UTF-8 bytes; whatever is not UTF-8 becomes U+FFFD.
    public init(utf8 bytes: some Sequence<UInt8>) {
        self.init(String(decoding: Array(bytes), as: UTF8.self))
    }

    /// The text of UTF-16 code units, lone surrogates included.
    public init(utf16 units: some Sequence<UInt16>) {
        var wtf8: [UInt8] = []
        var high: UInt16?
        for unit in units {
            if let first = high {
                if 0xdc00...0xdfff ~= unit {
                    wtf8.append(codePoint: surrogatePair(first, unit))
                    high = nil
                    continue
                }
                wtf8.append(codePoint: UInt32(first))
                high = nil
            }
            if 0xd800...0xdbff ~= unit { high = unit } else { wtf8.append(codePoint: UInt32(unit)) }
        }
        if let high { wtf8.append(codePoint: UInt32(high)) }
        self.wtf8 = wtf8
    }

    /// The text as a Swift string; lone surrogates become U+FFFD.
    public var string: String {
        guard hasLoneSurrogate else { return String(decoding: wtf8, as: UTF8.self) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(wtf8.count)
        var index = 0
        while index < wtf8.count {
            let byte = wtf8[index]
            if byte == 0xed, index + 2 < wtf8.count, wtf8[index + 1] >= 0xa0 {
                bytes += [0xef, 0xbf, 0xbd]
                index += 3
            } else {
                bytes.append(byte)
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The bytes whose code points this text holds; `nil` when one of them is above U+00FF.
    public var latin1Bytes: [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(wtf8.count)
        var index = 0
        while index < wtf8.count {
            let byte = wtf8[index]
            if byte < 0x80 {
                bytes.append(byte)
                index += 1
            } else if byte & 0xfc == 0xc0, index + 1 < wtf8.count {
                bytes.append(byte << 6 | wtf8[index + 1] & 0x3f)
                index += 2
            } else {
                return nil
            }
        }
        return bytes
    }

    /// The text as UTF-8; lone surrogates become U+FFFD.
    public var utf8: [UInt8] { hasLoneSurrogate ? Array(string.utf8) : wtf8 }

    /// Whether there is no code unit.
    public var isEmpty: Bool { wtf8.isEmpty }

    /// The length in bytes of WTF-8: what the text costs in memory and, escapes aside, on the wire.
    public var byteCount: Int { wtf8.count }

    /// Whether a surrogate without its partner occurs, so that the text has no exact UTF-8 form.
    public var hasLoneSurrogate: Bool {
        if isASCII { return false }
        var index = 0
        while index + 1 < wtf8.count {
            if wtf8[index] == 0xed, wtf8[index + 1] >= 0xa0 { return true }
            index += 1
        }
        return false
    }

    /// Whether this text begins with `prefix`, code unit for code unit.
    public func hasPrefix(_ prefix: JSONText) -> Bool {
        if wtf8.starts(with: prefix.wtf8) { return true }
        // A prefix may end with a high surrogate whose partner follows here.
        guard prefix.hasLoneSurrogate else { return false }
        return utf16.starts(with: prefix.utf16)
    }

    /// The UTF-16 code units in order.
    public var utf16: UTF16CodeUnits { UTF16CodeUnits(wtf8: wtf8, from: 0) }

    /// Feeds the bytes in one piece: hashing them one by one costs several times as much.
    public func hash(into hasher: inout Hasher) {
        unsafe wtf8.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        hasher.combine(0xff as UInt8)
    }

    public static func == (a: JSONText, b: JSONText) -> Bool {
        a.wtf8.count == b.wtf8.count && a.commonPrefix(with: b) == a.wtf8.count
    }

    /// How many bytes the two begin with are the same. Texts are compared eight bytes at a time: souls and keys are long, and
    /// sorted often.
    private func commonPrefix(with other: JSONText) -> Int {
        unsafe wtf8.withUnsafeBytes { a in
            unsafe other.wtf8.withUnsafeBytes { b in
                let shorter = min(a.count, b.count)
                var index = 0
                while index + 8 <= shorter {
                    let (x, y) = unsafe (
                        a.loadUnaligned(fromByteOffset: index, as: UInt64.self),
                        b.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                    )
                    if x != y { return index + (x ^ y).littleEndian.trailingZeroBitCount / 8 }
                    index += 8
                }
                while index < shorter, unsafe a[index] == b[index] { index += 1 }
                return index
            }
        }
    }

    private var isASCII: Bool {
        unsafe wtf8.withUnsafeBytes { bytes in
            var (index, all) = (0, UInt64(0))
            while index + 8 <= bytes.count {
                all |= unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                index += 8
            }
            while index < bytes.count {
                all |= unsafe UInt64(bytes[index])
                index += 1
            }
            return all & 0x8080_8080_8080_8080 == 0
        }
    }

    public static func < (a: JSONText, b: JSONText) -> Bool {
        let shorter = min(a.wtf8.count, b.wtf8.count)
        var index = a.commonPrefix(with: b)
        guard index < shorter else { return a.wtf8.count < b.wtf8.count }
        // Below U+D800 the order of the bytes is the order of the code units.
        if a.wtf8[index] < 0x80, b.wtf8[index] < 0x80 { return a.wtf8[index] < b.wtf8[index] }
        while index > 0, a.wtf8[index] & 0xc0 == 0x80 { index -= 1 }
        return UTF16CodeUnits(wtf8: a.wtf8, from: index)
            .lexicographicallyPrecedes(UTF16CodeUnits(wtf8: b.wtf8, from: index))
    }
}

extension JSONText: ExpressibleByStringLiteral, CustomStringConvertible {
    public init(stringLiteral value: String) { self.init(value) }

    /// The text itself, lone surrogates as U+FFFD.
    public var description: String { string }
}

/// The UTF-16 code units of a ``JSONText``.
public struct UTF16CodeUnits: Sequence, IteratorProtocol, Sendable {
    private let wtf8: [UInt8]
    private var index: Int
    private var low: UInt16?

    init(wtf8: [UInt8], from index: Int) {
        self.wtf8 = wtf8
        self.index = index
    }

    private mutating func continuation() -> UInt32 {
        guard index < wtf8.count else { return 0 }
        defer { index += 1 }
        return UInt32(wtf8[index] & 0x3f)
    }

    public mutating func next() -> UInt16? {
        if let second = low {
            low = nil
            return second
        }
        guard index < wtf8.count else { return nil }
        let lead = UInt32(wtf8[index])
        index += 1
        switch lead {
        case ..<0xc0:
            return UInt16(lead)
        case ..<0xe0:
            return UInt16(truncatingIfNeeded: (lead & 0x1f) << 6 | continuation())
        case ..<0xf0:
            let middle = continuation()
            return UInt16(truncatingIfNeeded: (lead & 0xf) << 12 | middle << 6 | continuation())
        default:
            let second = continuation()
            let third = continuation()
            let scalar = (lead & 7) << 18 | second << 12 | third << 6 | continuation()
            low = UInt16(truncatingIfNeeded: 0xdc00 | scalar & 0x3ff)
            return UInt16(truncatingIfNeeded: 0xd800 | (scalar &- 0x10000) >> 10)
        }
    }
}

/// The code point that a high and a low surrogate make together.
func surrogatePair(_ high: UInt16, _ low: UInt16) -> UInt32 {
    0x10000 + (UInt32(high & 0x3ff) << 10 | UInt32(low & 0x3ff))
}

extension [UInt8] {
    /// Appends one code point in (W)UTF-8; a surrogate takes three bytes.
    mutating func append(codePoint point: UInt32) {
        func tail(_ shift: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: 0x80 | point >> shift & 0x3f) }
        switch point {
        case ..<0x80:
            append(UInt8(truncatingIfNeeded: point))
        case ..<0x800:
            append(UInt8(truncatingIfNeeded: 0xc0 | point >> 6))
            append(tail(0))
        case ..<0x10000:
            append(UInt8(truncatingIfNeeded: 0xe0 | point >> 12))
            append(tail(6))
            append(tail(0))
        default:
            append(UInt8(truncatingIfNeeded: 0xf0 | point >> 18))
            append(tail(12))
            append(tail(6))
            append(tail(0))
        }
    }
}
