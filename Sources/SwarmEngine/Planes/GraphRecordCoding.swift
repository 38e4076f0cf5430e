import Gun
import JSON
import SwarmBase

/// How records of the shared graph are kept: under `graph/SOUL/KEY`, both the base64url of their JSON, as a byte (1 while
/// no relay has the record), the state and the value's JSON.
enum GraphRecordCoding {
    private static let kind = "graph"
    private static let limits = JSONLimits(bytes: 16 << 20)

    static func write(_ change: GunStorageChange) -> StorageWrite {
        switch change {
        case .keep(let record, let isPending):
            var writer = ByteWriter(capacity: 64)
            writer.integer(UInt8(isPending ? 1 : 0))
            writer.integer(record.state.bitPattern)
            writer.append(record.value.json.serialized())
            return StorageWrite(key: name(record.soul, record.key), value: writer.bytes)
        case .forget(let soul, let key):
            return StorageWrite(key: name(soul, key), value: nil)
        }
    }

    static func record(key name: String, value: [UInt8]) -> (record: GunRecord, isPending: Bool)? {
        let parts = name.split(separator: "/")
        var reader = ByteReader(value)
        guard parts.count == 3, parts[0] == kind, let soul = text(parts[1]).flatMap({ Soul($0) }),
            let key = text(parts[2]).flatMap({ Key($0) }), let pending: UInt8 = reader.integer(),
            let bits: UInt64 = reader.integer(), case let state = Double(bitPattern: bits), state.isFinite,
            let json = try? JSONValue(parsing: reader.rest(), limits: limits), let value = GunValue(json)
        else { return nil }
        return (GunRecord(soul: soul, key: key, value: value, state: state), pending == 1)
    }

    private static func name(_ soul: Soul, _ key: Key) -> String {
        let texts = [soul.text, key.text].map { JSONValue.text($0).serialized().base64URL }
        return "\(kind)/\(texts[0])/\(texts[1])"
    }

    private static func text(_ name: Substring) -> JSONText? {
        [UInt8](base64URL: name).flatMap { try? JSONValue(parsing: $0, limits: limits) }?.text
    }
}
