import SwarmTransport

/// The DHT's routing table from one run of a supernode to the next. To lose it costs a start from the bootstrap nodes, so failures
/// are nobody's concern.
enum KeptDHTTable {
    private static let namespace = "dht"
    private static let key = Array("table".utf8)

    /// The table of the run before; empty when there is none.
    static func load(from store: SQLiteStore?) async -> [UInt8] {
        let entries = try? await store?.load(namespace: namespace)
        return entries?.first { $0.key == key }?.value ?? []
    }

    static func keep(_ table: [UInt8], in store: SQLiteStore?) {
        store?.apply([StateChange(namespace: namespace, key: key, value: table)]) { _ in }
    }
}
