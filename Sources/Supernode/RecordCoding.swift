import Gun
import JSON
import SwarmTransport

/// How the graph's records are written to the store.
enum RecordCoding {
    /// A text as bytes, one to one: UTF-8, or 0xff (which no UTF-8 has) and UTF-16 when there are lone surrogates.
    static func bytes(of text: JSONText) -> [UInt8] {
        guard text.hasLoneSurrogate else { return text.utf8 }
        return [0xff] + text.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
    }

    /// The text of ``bytes(of:)``.
    static func text(of bytes: [UInt8]) -> JSONText {
        guard bytes.first == 0xff else { return JSONText(utf8: bytes) }
        let units = stride(from: 1, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        return JSONText(utf16: units)
    }

    /// A record for the store.
    static func record(_ record: GunRecord) -> GraphRecord {
        GraphRecord(
            soul: bytes(of: record.soul.text), key: bytes(of: record.key.text), value: record.value.json.serialized(),
            state: record.state)
    }

    /// A record from the store; `nil` when it is not one of ours.
    static func entry(_ record: GraphRecord) -> (Key, GunEntry)? {
        guard let key = Key(text(of: record.key)), record.state.isFinite,
            let json = try? JSONValue(parsing: record.value, limits: JSONLimits(bytes: 16 << 20)),
            let value = GunValue(json)
        else { return nil }
        return (key, GunEntry(value, state: record.state))
    }
}
