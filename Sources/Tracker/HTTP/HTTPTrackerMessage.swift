import Bencode
import Magnet
import SwarmBase

/// The requests and replies of an HTTP tracker (BEP 3, BEP 23, BEP 7), as a client writes and reads them.
enum HTTPTrackerMessage {
    /// The largest reply that is read, in bytes: some thousand peers.
    static let largestReply = 1 << 17

    /// The URL of one announce: the tracker's, with the announce as its query.
    static func url(_ tracker: String, _ announce: Announce, trackerID: [UInt8]?) -> String {
        var query = "info_hash=\(escaped(announce.infoHash.bytes))&peer_id=\(escaped(announce.peerID.bytes))"
        query += "&port=\(announce.port)&uploaded=0&downloaded=0&left=\(announce.left)&compact=1"
        query += "&numwant=\(announce.numberWanted)&key=\(String(announce.key, radix: 16))"
        switch announce.event {
        case .none: break
        case .completed: query += "&event=completed"
        case .started: query += "&event=started"
        case .stopped: query += "&event=stopped"
        }
        if let trackerID { query += "&trackerid=\(escaped(trackerID))" }
        let base = tracker.prefix { $0 != "#" }
        return base + (base.contains("?") ? (base.hasSuffix("?") || base.hasSuffix("&") ? "" : "&") : "?") + query
    }

    /// Every byte but the unreserved ones of RFC 3986 §2.3 as `%XX`.
    static func escaped(_ bytes: [UInt8]) -> String {
        var text = ""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                text += "%" + [byte].hexadecimal.uppercased()
            }
        }
        return text
    }

    /// Reads the body of a reply, compact or not.
    static func parse(_ body: [UInt8]) throws(AnnounceError) -> AnnounceReply {
        let root = try document(body)
        guard let interval = root["interval"]?.integer, interval >= 0 else { throw .malformed }
        var peers: [TransportAddress] = []
        if let compact = root["peers"]?.bytes {
            peers += TransportAddress.compactList(Array(compact), size: 6, limit: AnnounceReply.mostPeers)
        } else if let list = root["peers"]?.list {
            peers += list.prefix(AnnounceReply.mostPeers).compactMap(peer)
        }
        if let compact = root["peers6"]?.bytes {
            peers += TransportAddress.compactList(
                Array(compact), size: 18, limit: AnnounceReply.mostPeers - peers.count)
        }
        return AnnounceReply(
            interval: seconds(interval), minimumInterval: root["min interval"]?.integer.map(seconds),
            seeders: count(root["complete"]), leechers: count(root["incomplete"]), peers: peers,
            trackerID: root["tracker id"]?.bytes.flatMap { $0.count <= 256 ? Array($0) : nil },
            warning: root["warning message"].flatMap(shortened))
    }

    /// Reads the body of any reply.
    static func document(_ body: [UInt8]) throws(AnnounceError) -> BencodeNode {
        guard body.count <= largestReply,
            let root = try? BencodeDocument(
                decodingPrefixOf: body, as: .lenient, limits: BencodeLimits(depth: 6, items: 8_000, bytes: largestReply)
            ).root, root.kind == .dictionary
        else { throw .malformed }
        if let reason = root["failure reason"] { throw .refused(shortened(reason) ?? "unspecified") }
        return root
    }

    /// One peer of a reply that is not compact. Names are passed over: nobody resolves what strangers say.
    private static func peer(_ entry: BencodeNode) -> TransportAddress? {
        guard let text = entry["ip"]?.text, let address = IPAddress(text),
            let port = entry["port"]?.integer.flatMap({ UInt16(exactly: $0) })
        else { return nil }
        return TransportAddress(address, port: port)
    }

    private static func seconds(_ value: Int64) -> Duration { .seconds(min(max(value, 0), 86_400)) }

    private static func count(_ node: BencodeNode?) -> Int {
        Int(min(max(node?.integer ?? 0, 0), 1_000_000_000))
    }

    private static func shortened(_ node: BencodeNode) -> String? {
        node.bytes.map { String(String(decoding: $0.prefix(800), as: UTF8.self).unicodeScalars.prefix(200)) }
    }
}
