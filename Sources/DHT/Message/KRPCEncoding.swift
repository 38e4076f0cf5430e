import Bencode
import SwarmBase

extension KRPCMessage {
    /// What `v` says of us: two letters and a version (BEP 20).
    static let clientVersion: [UInt8] = [UInt8(ascii: "S"), UInt8(ascii: "S"), 0, 1]

    /// The datagram: canonical bencoding.
    public var encoded: [UInt8] {
        var writer = BencodeWriter(capacity: 320)
        writer.beginDictionary()
        switch body {
        case .query(let query):
            writer.key("a")
            query.write(to: &writer)
            writer.key("q")
            writer.string(query.method.name.utf8)
            if isReadOnly {
                writer.key("ro")
                writer.integer(1)
            }
        case .response(let response):
            write(observed, to: &writer)
            writer.key("r")
            response.write(to: &writer)
        case .error(let error):
            writer.key("e")
            writer.beginList()
            writer.integer(error.code)
            writer.string(error.text.utf8)
            writer.end()
            write(observed, to: &writer)
        }
        writer.key("t")
        writer.string(transaction)
        writer.key("v")
        writer.string(Self.clientVersion)
        writer.key("y")
        writer.string(kind.utf8)
        writer.end()
        return writer.bytes
    }

    private var kind: String {
        switch body {
        case .query: "q"
        case .response: "r"
        case .error: "e"
        }
    }

    private func write(_ endpoint: TransportAddress?, to writer: inout BencodeWriter) {
        guard let endpoint else { return }
        var bytes: [UInt8] = []
        CompactForm.append(endpoint, to: &bytes)
        writer.key("ip")
        writer.string(bytes)
    }
}

extension KRPCQuery.Method {
    var name: String {
        switch self {
        case .ping: "ping"
        case .findNode, .unknown: "find_node"
        case .getPeers: "get_peers"
        case .announcePeer: "announce_peer"
        case .get: "get"
        case .put: "put"
        case .sampleInfoHashes: "sample_infohashes"
        }
    }
}

extension KRPCQuery {
    /// The arguments, their keys in ascending order.
    func write(to writer: inout BencodeWriter) {
        writer.beginDictionary()
        if case .put(.mutable, let cas?, _) = method {
            writer.key("cas")
            writer.integer(cas)
        }
        writer.key("id")
        writer.string(sender.bytes)
        switch method {
        case .ping:
            break
        case .findNode(let target), .sampleInfoHashes(let target), .unknown(let target):
            writer.key("target")
            writer.string(target.bytes)
            writeWants(to: &writer)
        case .getPeers(let infoHash):
            writer.key("info_hash")
            writer.string(infoHash.bytes)
            writeWants(to: &writer)
        case .announcePeer(let infoHash, let port, let token):
            writer.key("implied_port")
            writer.integer(port == nil ? 1 : 0)
            writer.key("info_hash")
            writer.string(infoHash.bytes)
            writer.key("port")
            // Some want a port that is valid even when it is not used.
            writer.integer(Int64(port ?? 1))
            writer.key("token")
            writer.string(token)
        case .get(let target, let sequence):
            if let sequence {
                writer.key("seq")
                writer.integer(sequence)
            }
            writer.key("target")
            writer.string(target.bytes)
            writeWants(to: &writer)
        case .put(let item, _, let token):
            if case .mutable(let item) = item { item.writeHead(to: &writer) }
            writer.key("token")
            writer.string(token)
            writer.key("v")
            writer.encoded(item.value)
        }
        writer.end()
    }

    private func writeWants(to writer: inout BencodeWriter) {
        guard !wants.isEmpty else { return }
        writer.key("want")
        writer.beginList()
        if wants.contains(.ipv4) { writer.string("n4".utf8) }
        if wants.contains(.ipv6) { writer.string("n6".utf8) }
        writer.end()
    }
}

extension MutableItem {
    fileprivate func writeHead(to writer: inout BencodeWriter) {
        writer.key("k")
        writer.string(key)
        if !salt.isEmpty {
            writer.key("salt")
            writer.string(salt)
        }
        writer.key("seq")
        writer.integer(sequence)
        writer.key("sig")
        writer.string(signature)
    }
}

extension KRPCResponse {
    /// The values, their keys in ascending order.
    func write(to writer: inout BencodeWriter) {
        writer.beginDictionary()
        writer.key("id")
        writer.string(sender.bytes)
        if let sampled {
            writer.key("interval")
            writer.integer(sampled.interval)
        }
        if let key {
            writer.key("k")
            writer.string(key)
        }
        if hasNodes, nodes6.isEmpty || !nodes.isEmpty {
            writer.key("nodes")
            writer.string(CompactForm.contacts(nodes))
        }
        if !nodes6.isEmpty {
            writer.key("nodes6")
            writer.string(CompactForm.contacts(nodes6))
        }
        if let sampled {
            writer.key("num")
            writer.integer(sampled.count)
        }
        if let samples {
            writer.key("samples")
            writer.string(samples.flatMap(\.bytes))
        }
        if let sequence {
            writer.key("seq")
            writer.integer(sequence)
        }
        if let signature {
            writer.key("sig")
            writer.string(signature)
        }
        if let token {
            writer.key("token")
            writer.string(token)
        }
        if let value {
            writer.key("v")
            writer.encoded(value)
        }
        if !peers.isEmpty {
            writer.key("values")
            writer.beginList()
            for peer in peers {
                var bytes: [UInt8] = []
                CompactForm.append(peer, to: &bytes)
                writer.string(bytes)
            }
            writer.end()
        }
        writer.end()
    }
}
