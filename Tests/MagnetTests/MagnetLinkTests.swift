import Foundation
import Magnet
import SwarmBase
import Testing

private let hash = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
private let base = "magnet:?xt=urn:btih:" + hash

@Suite struct MagnetLinkTests {
    @Test func prints() throws {
        var link = MagnetLink(infoHash: try #require(InfoHash(hash)))
        #expect(link.description == base)
        link.displayName = "My+File & 中"
        link.trackers = ["wss://tracker.example/a?b=1&c=2"]
        link.gunRelays = ["wss://relay.example/gun"]
        link.webSeeds = ["http://a/"]
        link.exactSources = ["https://a/t.torrent"]
        link.peers = [try #require(.init("[2001:db8::1]:6881")), try #require(.init("peer.example:1"))]
        link.dhtNodes = [try #require(.init("127.0.0.1:43"))]
        link.selectedFiles = [0, 2, 4, 6, 7, 8]
        link.exactLength = 12345
        link.others = [.init("x.foo", "a b")]
        #expect(
            link.description
                == base + "&dn=My%2BFile%20%26%20%E4%B8%AD&xl=12345&tr=wss%3A%2F%2Ftracker.example%2Fa%3Fb%3D1%26c%3D2"
                + "&x.gun=wss%3A%2F%2Frelay.example%2Fgun&ws=http%3A%2F%2Fa%2F&xs=https%3A%2F%2Fa%2Ft.torrent"
                + "&x.pe=[2001:db8::1]:6881&x.pe=peer.example:1&dht=127.0.0.1:43&so=0,2,4,6-8&x.foo=a%20b")
        #expect(try MagnetLink(parsing: link.description) == link)
    }

    @Test func gunRelaysAreKeptOnceAndOnlyIfUsable() throws {
        let link = try MagnetLink(
            parsing: base
                + "&x.gun=wss%3A%2F%2Fr%2Fgun&X.GUN=http://r/gun&x.gun.2=wss://r/gun&x.gun=udp://r&x.gun=r&x.gun=wss://"
        )
        #expect(link.gunRelays == ["wss://r/gun", "http://r/gun"])
    }

    @Test func unknownParametersAreKept() throws {
        let link = try MagnetLink(parsing: base + "&foo=b%20r&foo=2&kt=hey+hey2&=&&a&xt=urn:sha1:YNCK")
        #expect(
            link.others == [
                .init("foo", "b r"), .init("foo", "2"), .init("kt", "hey+hey2"), .init("a", ""),
                .init("xt", "urn:sha1:YNCK"),
            ])
        #expect(try MagnetLink(parsing: link.description) == link)
    }

    @Test func errorsAreTold() {
        func error(_ text: String) -> MagnetError? {
            do throws(MagnetError) {
                _ = try MagnetLink(parsing: text)
                return nil
            } catch { return error }
        }
        #expect(error("http://x/?xt=urn:btih:" + hash) == .notMagnet)
        #expect(error("magnet:?dn=x") == .missingTarget)
        #expect(error("magnet:?xt=urn:btih:00") == .invalidInfoHash)
        #expect(error(base + "&xt=urn:btmh:1220") == .invalidInfoHash)
        let key = "magnet:?xs=urn:btpk:" + String(repeating: "ab", count: 32)
        #expect(error(key) == nil)
        #expect(error(key + "&s=zz") == .invalidSalt)
        #expect(error(key + "&s=" + String(repeating: "00", count: 64)) == nil)
        #expect(error(key + "&s=" + String(repeating: "00", count: 65)) == .invalidSalt)
        #expect(error(key + "0") == .missingTarget)
        let room = MagnetLink.maximumByteCount - base.utf8.count - 4
        #expect(error(base + "&dn=" + String(repeating: "x", count: room)) == nil)
        #expect(error(base + "&dn=" + String(repeating: "x", count: room + 1)) == .tooLong)
    }

    @Test func besideAHashABep46KeyIsOneMoreSource() throws {
        let source = "urn:btpk:" + String(repeating: "ab", count: 32)
        let link = try MagnetLink(parsing: "magnet:?xs=\(source)&s=6e&xt=urn:btih:\(hash)")
        #expect(link.target == .v1(try #require(InfoHash(hash))))
        #expect(link.exactSources == [source])
        #expect(link.others == [.init("s", "6e")])
        #expect(try MagnetLink(parsing: link.description) == link)
    }

    @Test func listsAreCapped() throws {
        let many = (0..<300).map { "&x.pe=1.2.3.4:\($0 + 1)&tr=udp://a:\($0 + 1)&p\($0)=1" }.joined()
        let link = try MagnetLink(parsing: base + many)
        #expect(link.peers.count == MagnetLink.maximumEntries)
        #expect(link.trackers.count == MagnetLink.maximumEntries)
        #expect(link.others.count == MagnetLink.maximumEntries)
    }

    @Test func fileSelectionIsBounded() throws {
        #expect(try MagnetLink(parsing: base + "&so=65535").selectedFiles == [65535])
        #expect(try MagnetLink(parsing: base + "&so=65536").selectedFiles == nil)
        #expect(try MagnetLink(parsing: base + "&so=0-65536").selectedFiles == nil)
        let overlapping = Array(repeating: "0-65535", count: 8000).joined(separator: ",")
        #expect(try MagnetLink(parsing: base + "&so=" + overlapping).selectedFiles?.count == 65536)
        #expect(try MagnetLink(parsing: base + "&so=5,1-2,9-9").description.hasSuffix("&so=1-2,5,9"))
    }

    @Test(
        arguments: [
            ("../../etc/passwd", "etc_passwd"), ("a\0b", "a_b"), ("..", nil), ("", nil), ("C:\\x\\y", "C:_x_y"),
            ("plain.mkv", "plain.mkv"),
            (".", nil), ("...", "..."),
        ] as [(String, String?)])
    func fileNamesAreSafe(_ name: String, _ expected: String?) throws {
        var link = try MagnetLink(parsing: base)
        link.displayName = name
        #expect(link.fileName == expected)
        link.displayName = String(repeating: "é", count: 300)
        #expect(link.fileName?.utf8.count == 200)
    }

    @Test(arguments: [
        "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:+1", ":1", "[]:1", "[1.2.3.4:1", "a b:1",
        "1.2.3:1",
        "1.2.3.400:1", "::1:5", "a..b:1", "x:1:2", "[::1]x:1", "1.2.3.4:000001",
    ])
    func badEndpointsAreRefused(_ text: String) { #expect(MagnetLink.Endpoint(text) == nil) }

    @Test func endpointsKnowTheirAddress() throws {
        let endpoint = try #require(MagnetLink.Endpoint("[::1]:65535"))
        #expect(endpoint.transportAddress == TransportAddress("[::1]:65535"))
        #expect(MagnetLink.Endpoint("[1.2.3.4]:1")?.description == "1.2.3.4:1")
        #expect(MagnetLink.Endpoint("a-b.example:1")?.transportAddress == nil)
    }

    /// Whatever comes in: no trap, and what is read prints to a link that reads the same.
    @Test(arguments: 0..<4 as Range<UInt64>) func mutatedLinksNeverTrap(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let seeds = try Vectors.load().cases.map { Array($0.uri.utf8) }
        let alphabet = Array("&=%#+.;:/?-,[]019afxtsdnpe\0é".utf8)
        for _ in 0..<1500 {
            var bytes = seeds[Int.random(in: 0..<seeds.count, using: &generator)]
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let position = Int.random(in: 0...bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes.insert(alphabet.randomElement(using: &generator) ?? 0, at: position)
                case 1: if position < bytes.count { bytes[position] = UInt8.random(in: 0...255, using: &generator) }
                case 2: if position < bytes.count { bytes.remove(at: position) }
                default: bytes += [0x26] + (seeds.randomElement(using: &generator) ?? []).dropFirst(8).prefix(60)
                }
            }
            guard let link = MagnetLink(String(decoding: bytes, as: UTF8.self)) else { continue }
            let again = MagnetLink(link.description)
            #expect(again == link, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
        }
    }
}

/// What libtorrent and our own rules make of each link.
private struct Vectors: Decodable {
    struct Result: Decodable {
        var ok: Bool
        var v1: String?
        var v2: String?
        var name: String?
        var trackers: [String]?
        var url_seeds: [String]?
        var exact_sources: [String]?
        var peers: [Peer]?
        var dht_nodes: [Peer]?
        var selected_files: [Int]?
        var length: UInt64?
        var public_key: String?
        var salt: String?
    }
    struct Peer: Decodable {
        var text: String
        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            let host = try container.decode(String.self)
            let port = try container.decode(Int.self)
            text = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }
    struct Case: Decodable {
        var name: String
        var uri: String
        var libtorrent: Result
        var ours: Result?
    }
    var cases: [Case]

    static func load() throws -> Vectors {
        let url = try #require(Bundle.module.url(forResource: "Resources/magnet", withExtension: "json"))
        return try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: url))
    }
}

@Suite struct MagnetVectorTests {
    @Test func everyRecordedLink() throws {
        let vectors = try Vectors.load()
        #expect(vectors.cases.count > 90)
        for vector in vectors.cases {
            let expected = vector.ours ?? vector.libtorrent
            let comment = Comment(rawValue: vector.name)
            guard let link = MagnetLink(vector.uri) else {
                #expect(!expected.ok, comment)
                continue
            }
            #expect(expected.ok, comment)
            #expect(link.infoHash?.description == expected.v1, comment)
            #expect(link.infoHashV2?.description == expected.v2, comment)
            #expect(link.displayName == expected.name, comment)
            #expect(link.trackers == expected.trackers ?? [], comment)
            #expect(link.webSeeds == expected.url_seeds ?? [], comment)
            #expect(link.exactSources == expected.exact_sources ?? [], comment)
            #expect(link.peers.map(\.description) == (expected.peers ?? []).map(\.text), comment)
            #expect(link.dhtNodes.map(\.description) == (expected.dht_nodes ?? []).map(\.text), comment)
            #expect(link.selectedFiles == expected.selected_files, comment)
            #expect(link.exactLength == expected.length, comment)
            if case .mutable(let item) = link.target {
                #expect(item.publicKey.hexadecimal == expected.public_key, comment)
                #expect(item.salt.hexadecimal == expected.salt ?? "", comment)
                #expect(link.swarmHash == nil, comment)
            } else {
                #expect(expected.public_key == nil, comment)
                #expect(link.swarmHash?.description == expected.v1 ?? String((expected.v2 ?? "").prefix(40)), comment)
            }
            #expect(MagnetLink(link.description) == link, comment)
        }
    }
}
