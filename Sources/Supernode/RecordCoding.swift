import Gun
import JSON
import SwarmTransport

/// How the graph's records are written to the store.
///
/// Souls and keys are CESU-8 (each UTF-16 code unit by itself, in one to three bytes): nothing is lost, lone surrogates
/// included, and the order of the bytes is the order of code units in which GUN asks for ranges.
enum RecordCoding {
    /// A text as bytes, one to one.
    static func bytes(of text: JSONText) -> [UInt8] {
        let utf8 = text.utf8
        // Up to U+FFFF, without surrogates, CESU-8 is UTF-8.
        guard utf8.contains(where: { $0 >= 0xf0 }) || text.hasLoneSurrogate else { return utf8 }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(utf8.count * 3 / 2)
        for unit in text.utf16 {
            switch unit {
            case ..<0x80: bytes.append(UInt8(unit))
            case ..<0x800: bytes += [0xc0 | UInt8(unit >> 6), 0x80 | UInt8(unit & 0x3f)]
            default: bytes += [0xe0 | UInt8(unit >> 12), 0x80 | UInt8(unit >> 6 & 0x3f), 0x80 | UInt8(unit & 0x3f)]
            }
        }
        return bytes
    }

    /// The text of ``bytes(of:)``; what is not of it becomes some other text.
    static func text(of bytes: [UInt8]) -> JSONText {
        guard bytes.contains(0xed) else { return JSONText(utf8: bytes) }
        var units: [UInt16] = []
        units.reserveCapacity(bytes.count)
        var index = 0
        func tail(_ offset: Int) -> UInt16 { index + offset < bytes.count ? UInt16(bytes[index + offset] & 0x3f) : 0 }
        while index < bytes.count {
            let lead = UInt16(bytes[index])
            switch lead {
            case ..<0xc0:
                units.append(lead)
                index += 1
            case ..<0xe0:
                units.append((lead & 0x1f) << 6 | tail(1))
                index += 2
            default:
                units.append((lead & 0xf) << 12 | tail(1) << 6 | tail(2))
                index += 3
            }
        }
        return JSONText(utf16: units)
    }

    /// A record for the store.
    static func record(_ record: GunRecord) -> GraphRecord {
        GraphRecord(
            soul: bytes(of: record.soul.text), key: bytes(of: record.key.text), value: record.value.json.serialized(),
            state: record.state, expires: record.soul.lifetime.map { record.state + $0 * 1000 })
    }

    /// A record from the store; `nil` when it is not one of ours.
    static func record(_ record: GraphRecord) -> GunRecord? {
        guard let soul = Soul(text(of: record.soul)), let key = Key(text(of: record.key)), record.state.isFinite,
            let json = try? JSONValue(parsing: record.value, limits: JSONLimits(bytes: 16 << 20)),
            let value = GunValue(json)
        else { return nil }
        return GunRecord(soul: soul, key: key, value: value, state: record.state)
    }

    // MARK: Ranges

    /// Where the store is to read; keys of several souls are left to the reader.
    static func range(_ range: RecordRange) -> GraphRange {
        let souls = bounds(range.souls)
        var from = GraphAddress(soul: souls.from)
        var to = souls.to.map { GraphAddress(soul: $0) }
        if range.souls.exact != nil {
            let keys = bounds(range.keys)
            from.key = keys.from
            if let end = keys.to { to = GraphAddress(soul: souls.from, key: end) }
        }
        if let after = range.after {
            let address = GraphAddress(soul: bytes(of: after.soul.text), key: bytes(of: after.key.text))
            if range.isReversed {
                to = address
            } else {
                from = GraphAddress(soul: address.soul, key: address.key + [0])
            }
        }
        return GraphRange(
            from: from, to: to, isReversed: range.isReversed, limit: range.records, byteLimit: range.bytes)
    }

    /// The first text that a lex may match, and the first behind those.
    private static func bounds(_ lex: Lex) -> (from: [UInt8], to: [UInt8]?) {
        var from: [UInt8] = []
        var ends: [[UInt8]] = []
        func start(_ bytes: [UInt8]) { if from.lexicographicallyPrecedes(bytes) { from = bytes } }
        if let exact = lex.exact.map({ bytes(of: $0) }) {
            start(exact)
            ends.append(exact + [0])
        }
        if let lower = lex.lowerBound { start(bytes(of: lower)) }
        if let upper = lex.upperBound { ends.append(bytes(of: upper) + [0]) }
        if let prefix = lex.prefix.map({ bytes(of: $0) }) {
            start(prefix)
            // The first text that does not begin so and comes behind those that do; 0xff is no byte of CESU-8.
            if !prefix.isEmpty { ends.append(prefix + [0xff]) }
        }
        return (from, ends.min { $0.lexicographicallyPrecedes($1) })
    }
}
