import Bencode
import SwarmBase

/// Why a datagram is no message.
public enum KRPCRefusal: Error, Equatable, Sendable {
    /// Nothing that is answered.
    case noise
    /// A query that cannot be understood: this is answered to it.
    case query(transaction: [UInt8], KRPCError)
}

extension KRPCMessage {
    /// Reads one datagram. Keys may come in any order, as other programs send them.
    public init(decoding datagram: [UInt8]) throws(KRPCRefusal) {
        guard datagram.first == UInt8(ascii: "d"), datagram.last == UInt8(ascii: "e"),
            let document = try? BencodeDocument(decoding: datagram, as: .lenient, limits: .datagram)
        else { throw .noise }
        let root = document.root
        guard let kind = root["y"]?.bytes, kind.count == 1, let first = kind.first else { throw .noise }
        let transaction = Array(root["t"]?.bytes ?? [])
        guard transaction.count <= Self.longestTransaction else { throw .noise }
        self.transaction = transaction
        isReadOnly = root["ro"]?.integer == 1
        observed = root["ip"]?.bytes.flatMap { CompactForm.endpoint($0) }
        switch first {
        case UInt8(ascii: "q"):
            do throws(KRPCError) {
                body = .query(try KRPCQuery(reading: root))
            } catch {
                throw .query(transaction: transaction, error)
            }
        case UInt8(ascii: "r"):
            guard let response = root["r"].flatMap({ KRPCResponse(reading: $0) }) else { throw .noise }
            body = .response(response)
        case UInt8(ascii: "e"):
            let list = root["e"]?.list ?? []
            body = .error(KRPCError(list.first?.integer ?? 201, list.dropFirst().first?.text ?? ""))
        default:
            throw .noise
        }
    }
}

extension KRPCQuery {
    init(reading root: BencodeNode) throws(KRPCError) {
        guard let name = root["q"]?.text else { throw .malformed("q") }
        guard let arguments = root["a"], arguments.kind == .dictionary else { throw .malformed("a") }
        guard let sender = arguments["id"]?.bytes.flatMap({ NodeID(bytes: $0) }) else { throw .malformed("id") }
        self.sender = sender
        wants = []
        for want in arguments["want"]?.list ?? [] {
            if want.text == "n4" { wants.insert(.ipv4) }
            if want.text == "n6" { wants.insert(.ipv6) }
        }
        method = try Self.method(name, arguments)
    }

    private static func method(_ name: String, _ arguments: BencodeNode) throws(KRPCError) -> Method {
        switch name {
        case "ping":
            return .ping
        case "find_node":
            return .findNode(try target(arguments, "target"))
        case "get_peers":
            return .getPeers(try target(arguments, "info_hash"))
        case "announce_peer":
            let infoHash = try target(arguments, "info_hash")
            guard let token = arguments["token"]?.bytes else { throw .malformed("token") }
            if let implied = arguments["implied_port"]?.integer, implied != 0 {
                return .announcePeer(infoHash, port: nil, token: Array(token))
            }
            guard let port = arguments["port"]?.integer.flatMap({ UInt16(exactly: $0) }), port != 0 else {
                throw .malformed("port")
            }
            return .announcePeer(infoHash, port: port, token: Array(token))
        case "get":
            return .get(try target(arguments, "target"), newerThan: arguments["seq"]?.integer)
        case "put":
            return try put(arguments)
        case "sample_infohashes":
            return .sampleInfoHashes(try target(arguments, "target"))
        default:
            // What speaks of a target can be led on (libtorrent does so).
            for key in ["target", "info_hash"] {
                if let target = try? target(arguments, key) { return .unknown(target) }
            }
            throw .unknownMethod
        }
    }

    private static func target(_ arguments: BencodeNode, _ key: String) throws(KRPCError) -> NodeID {
        guard let target = arguments[key]?.bytes.flatMap({ NodeID(bytes: $0) }) else { throw .malformed(key) }
        return target
    }

    private static func put(_ arguments: BencodeNode) throws(KRPCError) -> Method {
        guard let value = arguments["v"] else { throw .malformed("v") }
        guard let token = arguments["token"]?.bytes else { throw .malformed("token") }
        let encoded = Array(value.encoded)
        // Others would compute another target from what is not canonical.
        guard (try? BencodeDocument(decoding: encoded, limits: .datagram)) != nil else { throw .malformed("v") }
        guard let keyNode = arguments["k"] else { return .put(.immutable(encoded), cas: nil, token: Array(token)) }
        guard let key = keyNode.bytes, key.count == 32 else { throw .malformed("k") }
        guard let sequence = arguments["seq"]?.integer, sequence >= 0 else { throw .malformed("seq") }
        guard let signature = arguments["sig"]?.bytes, signature.count == 64 else { throw .malformed("sig") }
        let salt = arguments["salt"].map(\.bytes) ?? []
        guard let salt else { throw .malformed("salt") }
        let item = MutableItem(
            key: Array(key), salt: Array(salt), sequence: sequence, value: encoded, signature: Array(signature))
        return .put(.mutable(item), cas: arguments["cas"]?.integer, token: Array(token))
    }
}

extension KRPCResponse {
    /// More contacts in one response are left out (8 of each family are usual).
    private static let mostContacts = 16
    private static let mostPeers = 200

    init?(reading node: BencodeNode) {
        guard let sender = node["id"]?.bytes.flatMap({ NodeID(bytes: $0) }) else { return nil }
        self.init(sender: sender)
        if let bytes = node["nodes"]?.bytes {
            hasNodes = true
            nodes = CompactForm.contacts(bytes, family: .ipv4, limit: Self.mostContacts)
        }
        if let bytes = node["nodes6"]?.bytes {
            hasNodes = true
            nodes6 = CompactForm.contacts(bytes, family: .ipv6, limit: Self.mostContacts)
        }
        for value in (node["values"]?.list ?? []).prefix(Self.mostPeers) {
            if let peer = value.bytes.flatMap({ CompactForm.endpoint($0) }), peer.port != 0 { peers.append(peer) }
        }
        token = node["token"]?.bytes.flatMap { $0.count <= 64 ? Array($0) : nil }
        value = node["v"].map { Array($0.encoded) }
        key = node["k"]?.bytes.map(Array.init)
        sequence = node["seq"]?.integer
        signature = node["sig"]?.bytes.map(Array.init)
        if let bytes = node["samples"]?.bytes {
            samples = stride(from: 0, to: bytes.count - bytes.count % 20, by: 20).compactMap {
                NodeID(bytes: bytes.dropFirst($0).prefix(20))
            }
        }
        if let count = node["num"]?.integer, let interval = node["interval"]?.integer { sampled = (count, interval) }
    }
}
