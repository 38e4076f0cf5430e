import JSON
public import Magnet

/// Asks a WebTorrent tracker how many it knows in a swarm.
public enum WebSocketScrape {
    /// The message that asks.
    public static func request(_ infoHash: InfoHash) -> [UInt8] {
        JSONValue.object(["action": "scrape", "info_hash": .bytes(infoHash.bytes)]).serialized()
    }

    /// Reads a message.
    ///
    /// - Returns: `nil` for one that is no answer; a swarm of which the answer says nothing has nobody.
    /// - Throws: ``AnnounceError/refused(_:)`` when the tracker does not tell.
    public static func parse(_ frame: [UInt8], _ infoHash: InfoHash) throws(AnnounceError) -> ScrapeReply? {
        guard let message = JSONValue.trackerMessage(frame, maximumByteCount: 1 << 16) else { return nil }
        if let reason = message["failure reason"]?.string {
            throw .refused(String(reason.unicodeScalars.prefix(200)))
        }
        guard message["action"]?.string == "scrape", let files = message["files"]?.object else { return nil }
        let counts = files[JSONText(latin1: infoHash.bytes)]?.object
        func count(_ name: JSONText) -> Int64? { counts?[name]?.number.flatMap { Int64(exactly: $0.rounded(.down)) } }
        return ScrapeReply(
            complete: count("complete"), incomplete: count("incomplete"), downloaded: count("downloaded"))
    }
}
