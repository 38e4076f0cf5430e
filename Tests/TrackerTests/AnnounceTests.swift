import Foundation
import JSON
import Magnet
import SwarmBase
import Testing

@testable import Tracker

/// Announces over UDP (BEP 15) and HTTP (BEP 3), against exchanges recorded with a real tracker.
@Suite struct AnnounceTests {
    private static let infoHash = InfoHash(bytes: (0..<20).map { UInt8(0xec + $0) })

    private static func recorded(_ kind: String) throws -> [JSONValue] {
        let url = try #require(Bundle.module.url(forResource: "Resources/tracker-http-udp", withExtension: "json"))
        let json = try JSONValue(parsing: Array(Data(contentsOf: url)), limits: .init(bytes: 1 << 20))
        return try #require(json[JSONText(kind)]?.array)
    }

    private static func exchange(_ kind: String, _ name: String) throws -> JSONValue {
        try #require(try recorded(kind).first { $0["name"]?.string?.hasPrefix(name) == true })
    }

    private static func bytes(_ value: JSONValue?) throws -> [UInt8] {
        try #require((value?.string).flatMap { [UInt8](hexadecimal: $0) })
    }

    private func announce(_ event: Announce.Event) throws -> Announce {
        Announce(
            infoHash: try #require(Self.infoHash),
            peerID: try #require(TrackerPeerID(bytes: Array("-XX0001-aaaaaaaaaaaa".utf8))), port: 7001, event: event,
            key: 0xabcd_ef01, numberWanted: -1, left: event == .started ? 100 : 0)
    }

    @Test func datagramsAreThoseThatWereRecorded() throws {
        let connect = try Self.exchange("udp", "connect")
        #expect(UDPTrackerMessage.connect(transaction: 0x1234) == (try Self.bytes(connect["request_hex"])))
        let connected = try #require(
            UDPTrackerMessage.parse(try Self.bytes(connect["reply_hex"]), isIPv6: false))
        #expect(connected.transaction == 0x1234 && connected.reply == .connected(0x417_2710_1980))
        let started = try Self.exchange("udp", "announce started")
        let request = UDPTrackerMessage.announce(
            try announce(.started), connection: 0x417_2710_1980, transaction: 0x5678)
        #expect(request == (try Self.bytes(started["request_hex"])))
        let stopped = try Self.exchange("udp", "announce stopped")
        let goodBye = UDPTrackerMessage.announce(
            try announce(.stopped), connection: 0x417_2710_1980, transaction: 0x5678)
        #expect(goodBye == (try Self.bytes(stopped["request_hex"])))
    }

    @Test func datagramRepliesAreRead() throws {
        let reply = try #require(
            UDPTrackerMessage.parse(
                try Self.bytes(try Self.exchange("udp", "announce second peer")["reply_hex"]), isIPv6: false))
        guard case .announced(let announced) = reply.reply else { return #expect(Bool(false), "no announce") }
        #expect(announced.interval == .seconds(600) && announced.leechers == 1 && announced.seeders == 2)
        #expect(announced.peers.map(\.port) == [7002, 7001, 6882])
        #expect(announced.peers.allSatisfy { $0.address == .v4(0x7f00_0001) })
        // An error, and what is too short.
        let error: [UInt8] = [0, 0, 0, 3, 0, 0, 0, 7] + Array("no".utf8)
        #expect(UDPTrackerMessage.parse(error, isIPv6: false)?.reply == .error("no"))
        for count in 0..<20 {
            let cut = Array(
                [0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1].prefix(count) as ArraySlice<UInt8>)
            #expect(UDPTrackerMessage.parse(cut, isIPv6: false) == nil)
        }
    }

    @Test func aDatagramClientConnectsAnnouncesAndStops() throws {
        let tracker = TransportAddress(.v4(0x0a00_0001), port: 6969)
        var client = UDPTrackerClient(
            address: tracker, infoHash: try #require(Self.infoHash), port: 7000, entropy: .seed(1), now: .zero)
        var now = Instant.zero
        client.handleTimeout(now: now)
        let first = client.pollTransmit()
        let connect = try #require(first)
        #expect(connect.destination == tracker && connect.payload.count == 16)
        // It is lost: the same again.
        now = try #require(client.nextTimeout)
        #expect(now == .zero + .seconds(2))
        client.handleTimeout(now: now)
        let second = client.pollTransmit()
        #expect(second == connect)
        let transaction = Array(connect.payload[12..<16])
        // Others do not count: another source, another transaction.
        let connected: [UInt8] = [0, 0, 0, 0] + transaction + [1, 2, 3, 4, 5, 6, 7, 8]
        let others = [
            client.handle(connected, from: TransportAddress(.v4(9), port: 9), now: now),
            client.handle([0, 0, 0, 0, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8], from: tracker, now: now),
        ]
        #expect(others == [false, false])
        let isTaken = client.handle(connected, from: tracker, now: now)
        #expect(isTaken)
        let third = client.pollTransmit()
        let request = try #require(third).payload
        #expect(request.count == 98 && Array(request[..<8]) == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(Array(request[80..<84]) == [0, 0, 0, 2], "started")
        let reply: [UInt8] =
            [0, 0, 0, 1] + Array(request[12..<16]) + [0, 0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 9, 0x1b, 0x5a]
        let isRead = client.handle(reply, from: tracker, now: now)
        #expect(isRead)
        guard case .announced(let announced) = client.pollEvent() else { return #expect(Bool(false)) }
        #expect(announced.peers == [TransportAddress(.v4(0x0a00_0009), port: 7002)])
        let next = try #require(client.nextTimeout) - now
        #expect(next >= .seconds(1620) && next <= .seconds(1980), "the tracker's 1,800 s, give or take a tenth")
        client.stop(now: now + .seconds(10))
        let last = client.pollTransmit()
        let goodBye = try #require(last).payload
        #expect(Array(goodBye[80..<84]) == [0, 0, 0, 3])
    }

    @Test func aTrackerThatIsSilentIsAskedEverLater() throws {
        var client = UDPTrackerClient(
            address: TransportAddress(.v4(1), port: 1), infoHash: try #require(Self.infoHash), port: 7000,
            entropy: .seed(2), now: .zero)
        var sends = 0
        var failures: [Instant] = []
        var now = Instant.zero
        while now < .zero + .seconds(7200), let next = client.nextTimeout {
            now = next
            client.handleTimeout(now: now)
            while client.pollTransmit() != nil { sends += 1 }
            while let event = client.pollEvent() { if case .failed = event { failures.append(now) } }
        }
        #expect((8...24).contains(failures.count), "\(failures.count) rounds in two hours")
        #expect((failures.count * 4...failures.count * 4 + 4).contains(sends), "four datagrams a round")
        #expect(try #require(failures.last) - failures[failures.count - 2] > .seconds(400))
    }

    @Test func repliesOverHTTPAreRead() throws {
        for name in ["announce second peer", "compact=0", "no compact"] {
            let reply = try HTTPTrackerMessage.parse(try Self.bytes(try Self.exchange("http", name)["body_hex"]))
            #expect(reply.interval == .seconds(600))
            #expect(Set(reply.peers.map(\.port)) == [6881, 6882], "\(name)")
        }
        for name in ["missing info_hash", "bad port"] {
            let body = try Self.bytes(try Self.exchange("http", name)["body_hex"])
            #expect(throws: AnnounceError.self) { try HTTPTrackerMessage.parse(body) }
        }
        #expect(throws: AnnounceError.malformed) { try HTTPTrackerMessage.parse(Array("<html>".utf8)) }
        #expect(throws: AnnounceError.malformed) { try HTTPTrackerMessage.parse([]) }
    }

    @Test func theQueryIsThatOfTheRecordedRequests() throws {
        let url = HTTPTrackerMessage.url("http://t.example/announce", try announce(.started), trackerID: nil)
        let path = try #require(try Self.exchange("http", "announce started")["request_path"]?.string)
        let hash = try #require(path.split(separator: "&").first?.split(separator: "?").last)
        #expect(url.hasPrefix("http://t.example/announce?\(hash)&peer_id=-XX0001-aaaaaaaaaaaa&port=7001&"))
        #expect(url.contains("&compact=1") && url.hasSuffix("&event=started"))
        let more = HTTPTrackerMessage.url("http://t/a?k=1", try announce(.none), trackerID: [0, 0x41])
        #expect(more.hasPrefix("http://t/a?k=1&info_hash=") && more.hasSuffix("&trackerid=%00A"))
    }

    @Test func anHTTPClientFetchesAndRecovers() throws {
        var client = HTTPTrackerClient(
            url: "http://t.example/announce", infoHash: try #require(Self.infoHash), port: 0, entropy: .seed(3),
            now: .zero)
        #expect(client.nextTimeout == nil, "nobody could reach a port that is not known")
        client.port = 7000
        client.handleTimeout(now: .zero)
        let first = client.pollFetch()
        #expect(first?.contains("port=7000") == true)
        client.failed("refused", now: .zero + .seconds(1))
        let failure = client.pollEvent()
        #expect(failure == .failed("refused"))
        let again = try #require(client.nextTimeout)
        #expect(again <= .zero + .seconds(6))
        client.handleTimeout(now: again)
        let second = client.pollFetch()
        #expect(second?.contains("event=started") == true)
        client.handle(body: Array("d8:intervali1800e5:peers6:".utf8) + [10, 0, 0, 9, 0x1b, 0x5a, 0x65], now: again)
        guard case .announced(let reply) = client.pollEvent() else { return #expect(Bool(false)) }
        #expect(reply.peers == [TransportAddress(.v4(0x0a00_0009), port: 7002)])
        client.stop()
        let third = client.pollFetch()
        #expect(third?.contains("event=stopped") == true)
    }

    @Test func noReplyTraps() throws {
        var random = SeededGenerator(seed: 7)
        let good = try Self.recorded("http").compactMap { try? Self.bytes($0["body_hex"]) }
        for _ in 0..<2000 {
            var body = try #require(good.randomElement(using: &random))
            for _ in 0..<Int.random(in: 1...4, using: &random) where !body.isEmpty {
                body[Int.random(in: 0..<body.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            _ = try? HTTPTrackerMessage.parse(body)
            _ = UDPTrackerMessage.parse(body, isIPv6: Bool.random(using: &random))
        }
    }
}
