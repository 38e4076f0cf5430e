import Bencode
import SwarmBase

/// What a node keeps on disk: its ids, and nodes that answered. A bencoded dictionary: `id4`, `id6`, `nodes`, `nodes6`.
struct SavedTable: Sendable {
    /// So many nodes of each family.
    static let mostNodes = 200

    var ids = PerFamily<NodeID>()
    var nodes = PerFamily<[NodeContact]>()

    init() {}

    /// Reads what was kept; nothing when it is no such dictionary.
    init(_ bytes: [UInt8]) {
        guard let root = try? BencodeDocument(decoding: bytes, limits: .datagram).root else { return }
        ids[.ipv4] = root["id4"]?.bytes.flatMap { NodeID(bytes: $0) }
        ids[.ipv6] = root["id6"]?.bytes.flatMap { NodeID(bytes: $0) }
        nodes[.ipv4] = CompactForm.contacts(root["nodes"]?.bytes ?? [], family: .ipv4, limit: Self.mostNodes)
        nodes[.ipv6] = CompactForm.contacts(root["nodes6"]?.bytes ?? [], family: .ipv6, limit: Self.mostNodes)
    }

    var bytes: [UInt8] {
        var entries: [[UInt8]: BencodeValue] = [:]
        for (name, family) in [("id4", AddressFamily.ipv4), ("id6", .ipv6)] {
            if let id = ids[family] { entries[Array(name.utf8)] = .bytes(id.bytes) }
        }
        for (name, family) in [("nodes", AddressFamily.ipv4), ("nodes6", .ipv6)] {
            let kept = (nodes[family] ?? []).prefix(Self.mostNodes)
            if !kept.isEmpty { entries[Array(name.utf8)] = .bytes(CompactForm.contacts(Array(kept))) }
        }
        return BencodeValue.dictionary(entries).encoded
    }
}
