import Bencode
public import Magnet
import SwarmBase

/// Asks an HTTP tracker how many it knows in a swarm (BEP 48).
public enum HTTPScrape {
    /// The URL to fetch: the tracker's with `announce` replaced where its path's last part begins.
    ///
    /// - Returns: `nil` when that part begins otherwise: such a tracker knows no scrape.
    public static func url(_ tracker: String, _ infoHash: InfoHash) -> String? {
        let whole = tracker.prefix { $0 != "#" }
        let path = whole.prefix { $0 != "?" }
        let query = whole.dropFirst(path.count)
        guard let slash = path.lastIndex(of: "/"), path[slash...].hasPrefix("/announce") else { return nil }
        let url = path[..<slash] + "/scrape" + path[slash...].dropFirst("/announce".count) + query
        return url + (query.isEmpty ? "?" : "&") + "info_hash=\(HTTPTrackerMessage.escaped(infoHash.bytes))"
    }

    /// Reads the body of an answer; a swarm of which it says nothing has nobody.
    public static func parse(_ body: [UInt8], _ infoHash: InfoHash) throws(AnnounceError) -> ScrapeReply {
        let root = try HTTPTrackerMessage.document(body)
        guard let files = root["files"]?.entries else { throw .malformed }
        // bittorrent-tracker with bencode 4 writes the hash as UTF-8 of its "binary string", so that bytes above 127 become two.
        let counts = files.first { entry in
            InfoHash(bytes: entry.key) == infoHash || InfoHash(latin1UTF8: entry.key) == infoHash
        }?.value
        return ScrapeReply(
            complete: counts?["complete"]?.integer, incomplete: counts?["incomplete"]?.integer,
            downloaded: counts?["downloaded"]?.integer)
    }
}
