import Foundation
import Magnet
import SwarmBase
import Testing

@Suite struct InfoHashTests {
    let bytes = [UInt8](hexadecimal: "c12fe1c06bba254a9dc9f519b335aa7c1367a88a") ?? []

    @Test func allFormsOfOneHashAreEqual() throws {
        let hash = try #require(InfoHash(bytes: bytes))
        #expect(hash.bytes == bytes)
        #expect(hash.description == "c12fe1c06bba254a9dc9f519b335aa7c1367a88a")
        #expect(InfoHash("C12FE1C06BBA254A9DC9f519b335aa7c1367a88a") == hash)
        #expect(InfoHash("YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK") == hash)
        #expect(InfoHash("yex6dqdlxisuvhoj6um3gnnkpqjwpkek") == hash)
        #expect(InfoHash(latin1: hash.latin1) == hash)
        #expect(hash.latin1.unicodeScalars.map(\.value) == bytes.map(UInt32.init))
    }

    @Test(arguments: ["", "00", String(repeating: "0", count: 39), String(repeating: "0", count: 41)])
    func otherLengthsAreRefused(_ text: String) { #expect(InfoHash(text) == nil) }

    @Test func otherDigitsAreRefused() {
        #expect(InfoHash(String(repeating: "0", count: 39) + "g") == nil)
        for character in "0189=-éé" {
            #expect(InfoHash(base32: String(repeating: "A", count: 31) + String(character)) == nil)
        }
        #expect(InfoHash(base32: String(repeating: "7", count: 32))?.description == String(repeating: "f", count: 40))
        #expect(InfoHash(hexadecimal: String(repeating: "é", count: 20)) == nil)
    }

    @Test func latin1NeedsTwentyBytes() {
        #expect(InfoHash(latin1: String(repeating: "\u{ff}", count: 20)) != nil)
        #expect(InfoHash(latin1: String(repeating: "\u{ff}", count: 19)) == nil)
        #expect(InfoHash(latin1: String(repeating: "\u{ff}", count: 21)) == nil)
        #expect(InfoHash(latin1: String(repeating: "\u{100}", count: 20)) == nil)
        // CR LF is one Character but two bytes.
        #expect(
            InfoHash(latin1: String(repeating: "\r\n", count: 10))?.bytes
                == Array("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n".utf8))
    }

    @Test func byteCountsAreExact() {
        for count in 0..<40 {
            #expect((InfoHash(bytes: [UInt8](repeating: 1, count: count)) != nil) == (count == 20))
            #expect((InfoHashV2(bytes: [UInt8](repeating: 1, count: count)) != nil) == (count == 32))
        }
    }

    @Test func orderIsBytewise() throws {
        for position in 0..<20 {
            var greater = [UInt8](repeating: 0x80, count: 20)
            let lesser = try #require(InfoHash(bytes: greater))
            greater[position] = 0x81
            for later in position + 1..<20 { greater[later] = 0 }
            let other = try #require(InfoHash(bytes: greater))
            #expect(lesser < other)
            #expect(!(other < lesser))
        }
    }

    private struct Recorded: Decodable {
        struct Torrent: Decodable {
            let name: String
            let sha1_of_info: String
            let sha256_of_info: String
        }
        let torrents: [Torrent]
    }

    @Test func recordedHashesSurvive() throws {
        let url = try #require(Bundle.module.url(forResource: "Resources/infohash", withExtension: "json"))
        let recorded = try JSONDecoder().decode(Recorded.self, from: Data(contentsOf: url))
        #expect(recorded.torrents.count == 15)
        for torrent in recorded.torrents {
            let v1 = try #require(InfoHash(torrent.sha1_of_info))
            #expect(v1.description == torrent.sha1_of_info)
            let v2 = try #require(InfoHashV2(multihash: "1220" + torrent.sha256_of_info))
            #expect(v2.description == torrent.sha256_of_info)
            #expect(v2.truncated.description == torrent.sha256_of_info.prefix(40))
            let link = MagnetLink(.hybrid(v1, v2))
            #expect(MagnetLink(link.description) == link)
        }
    }
}
