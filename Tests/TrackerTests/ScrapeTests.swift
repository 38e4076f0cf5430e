import Foundation
import JSON
import Magnet
import SwarmBase
import Testing

@testable import Tracker

/// How many a tracker knows: over UDP (BEP 15), HTTP (BEP 48) and WebSocket, against exchanges recorded with a real tracker.
@Suite struct ScrapeTests {
    private static let infoHash = InfoHash(bytes: (0..<20).map { UInt8(0xec + $0) })
    private static let nobody = InfoHash(bytes: [UInt8](repeating: 0, count: 20))

    private static func exchange(_ kind: String, _ name: String) throws -> JSONValue {
        let url = try #require(Bundle.module.url(forResource: "Resources/tracker-http-udp", withExtension: "json"))
        let json = try JSONValue(parsing: Array(Data(contentsOf: url)), limits: .init(bytes: 1 << 20))
        return try #require(json[JSONText(kind)]?.array?.first { $0["name"]?.string == name })
    }

    private static func bytes(_ value: JSONValue?) throws -> [UInt8] {
        try #require((value?.string).flatMap { [UInt8](hexadecimal: $0) })
    }

    @Test func datagramsAreThoseThatWereRecorded() throws {
        let recorded = try Self.exchange("udp", "scrape two hashes")
        let hashes = [try #require(Self.infoHash), try #require(Self.nobody)]
        let request = UDPTrackerMessage.scrape(hashes, connection: 0x417_2710_1980, transaction: 0x9abc)
        #expect(request == (try Self.bytes(recorded["request_hex"])))
        let reply = try #require(UDPTrackerMessage.parse(try Self.bytes(recorded["reply_hex"]), isIPv6: false))
        #expect(reply.transaction == 0x9abc)
        #expect(
            reply.reply
                == .scraped([
                    ScrapeReply(complete: 3, incomplete: 0, downloaded: 3),
                    ScrapeReply(complete: 0, incomplete: 0, downloaded: 0),
                ]))
        let many = [InfoHash](repeating: hashes[0], count: 75)
        #expect(UDPTrackerMessage.scrape(many, connection: 1, transaction: 1).count == 16 + 20 * 74)
    }

    @Test func aClientConnectsAsksAndIsPatient() throws {
        let tracker = TransportAddress(.v4(0x0a00_0001), port: 6969)
        let infoHash = try #require(Self.infoHash)
        var scrape = UDPTrackerScrape(address: tracker, infoHash: infoHash, entropy: .seed(1), now: .zero)
        let first = scrape.pollTransmit()
        let connect = try #require(first?.payload)
        #expect(connect.count == 16)
        let again = try #require(scrape.nextTimeout)
        scrape.handleTimeout(now: again)
        let repeated = scrape.pollTransmit()?.payload
        #expect(repeated == connect, "a lost datagram is sent again")
        // Somebody else's word, and another's answer, do not count.
        let connected: [UInt8] = [0, 0, 0, 0] + connect[12..<16] + [0, 0, 0, 0, 0, 0, 0, 9]
        scrape.handle(connected, from: TransportAddress(.v4(0x0a00_0002), port: 6969), now: again)
        scrape.handle([0, 0, 0, 2] + connect[12..<16] + [UInt8](repeating: 1, count: 12), from: tracker, now: again)
        let caused = scrape.pollTransmit()
        #expect(caused == nil && scrape.result == nil)
        scrape.handle(connected, from: tracker, now: again)
        let second = scrape.pollTransmit()
        let request = try #require(second?.payload)
        #expect(Array(request[0..<8]) == [0, 0, 0, 0, 0, 0, 0, 9] && Array(request[16...]) == infoHash.bytes)
        let reply: [UInt8] = [0, 0, 0, 2] + request[12..<16] + [0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 2]
        scrape.handle(reply, from: tracker, now: again)
        #expect(try scrape.result?.get() == ScrapeReply(complete: 1, incomplete: 2, downloaded: 5))
        #expect(try scrape.result?.get().peers == 3)
        #expect(scrape.nextTimeout == nil)

        var silent = UDPTrackerScrape(address: tracker, infoHash: infoHash, entropy: .seed(2), now: .zero)
        var sent = 0
        while let due = silent.nextTimeout {
            while silent.pollTransmit() != nil { sent += 1 }
            silent.handleTimeout(now: due)
        }
        #expect(sent == UDPTrackerRequest.retransmissions.count)
        #expect(throws: AnnounceError.refused("it does not answer")) { try silent.result?.get() }
    }

    @Test func repliesOverHTTPAreRead() throws {
        let infoHash = try #require(Self.infoHash)
        let recorded = try Self.exchange("http", "scrape one")
        let path = try #require(recorded["request_path"]?.string)
        #expect(HTTPScrape.url("http://t.example/announce", infoHash) == "http://t.example" + path)
        // That server writes the hash as UTF-8.
        for name in ["scrape one", "scrape two"] {
            let body = try Self.bytes(try Self.exchange("http", name)["body_hex"])
            #expect(
                try HTTPScrape.parse(body, infoHash) == ScrapeReply(complete: 2, incomplete: 0, downloaded: 2),
                "\(name)")
        }
        let plain =
            Array("d5:filesd20:".utf8) + infoHash.bytes
            + Array("d8:completei1e10:downloadedi9e10:incompletei-4eeee".utf8)
        #expect(try HTTPScrape.parse(plain, infoHash) == ScrapeReply(complete: 1, incomplete: 0, downloaded: 9))
        let nobody = try #require(Self.nobody)
        #expect(try HTTPScrape.parse(plain, nobody).peers == 0)
        #expect(throws: AnnounceError.refused("no")) {
            try HTTPScrape.parse(Array("d14:failure reason2:noe".utf8), infoHash)
        }
        #expect(throws: AnnounceError.malformed) { try HTTPScrape.parse(Array("de".utf8), infoHash) }
    }

    /// BEP 48's own examples, and what stands around them.
    @Test(arguments: [
        ("http://example.com/announce", "http://example.com/scrape?"),
        ("http://example.com/x/announce", "http://example.com/x/scrape?"),
        ("http://example.com/announce.php", "http://example.com/scrape.php?"),
        ("http://example.com/announce?x2%0644", "http://example.com/scrape?x2%0644&"),
        ("http://example.com/announce#part", "http://example.com/scrape?"),
    ])
    func theURLIsMadeOfTheTrackers(announce: String, scrape: String) throws {
        let infoHash = try #require(Self.infoHash)
        let url = try #require(HTTPScrape.url(announce, infoHash))
        #expect(url.hasPrefix(scrape + "info_hash=%EC%ED"))
    }

    @Test(arguments: ["http://example.com/a", "http://example.com/x%064announce", "http://example.com", "announce"])
    func noScrapeIsInvented(announce: String) throws {
        let infoHash = try #require(Self.infoHash)
        #expect(HTTPScrape.url(announce, infoHash) == nil)
    }

    @Test func ourServerTells() throws {
        let infoHash = try #require(Self.infoHash)
        var server = TrackerServer(entropy: .seed(1))
        for number in UInt64(1)...3 {
            let isOpen = server.linkOpened(TrackerLinkID(number), from: nil, now: .zero)
            #expect(isOpen)
        }
        for number in UInt64(1)...2 {
            let announce: JSONValue = [
                "action": "announce", "info_hash": .bytes(infoHash.bytes),
                "peer_id": .bytes([UInt8](repeating: UInt8(number), count: 20)), "left": .integer(Int(number) - 1),
            ]
            server.receive(announce.serialized(), on: TrackerLinkID(number), now: .zero)
        }
        while server.pollTransmit() != nil {}
        server.receive(WebSocketScrape.request(infoHash), on: TrackerLinkID(3), now: .zero)
        let answer = server.pollTransmit()
        let frame = try #require(answer?.frame)
        #expect(try WebSocketScrape.parse(frame, infoHash) == ScrapeReply(complete: 1, incomplete: 1, downloaded: 1))
        #expect(try WebSocketScrape.parse(Array(#"{"action":"announce"}"#.utf8), infoHash) == nil)
        #expect(try WebSocketScrape.parse(Array("[".utf8), infoHash) == nil)
        #expect(throws: AnnounceError.refused("no")) {
            try WebSocketScrape.parse(Array(#"{"failure reason":"no"}"#.utf8), infoHash)
        }
    }
}
