import Bencode
import Foundation
import SwarmBase
import Testing

private func resource(_ name: String) throws -> [String: Any] {
    let url = try #require(Bundle.module.url(forResource: "Resources/\(name)", withExtension: "json"))
    return try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The recorded form of a value: see the file's `about`.
private func recorded(_ value: BencodeValue) -> NSObject {
    switch value {
    case .integer(let value): ["i": String(value)] as NSDictionary
    case .bytes(let bytes): ["s": bytes.hexadecimal] as NSDictionary
    case .list(let values): ["l": values.map(recorded)] as NSDictionary
    case .dictionary(let entries):
        [
            "d": entries.sorted { $0.key.lexicographicallyPrecedes($1.key) }
                .map { [$0.key.hexadecimal as NSString, recorded($0.value)] as NSArray }
        ] as NSDictionary
    }
}

@Suite struct BencodeTests {
    @Test func recordedTable() throws {
        let cases = try #require(try resource("bencode")["cases"] as? [[String: Any]])
        var valid = 0
        var refused = 0
        for entry in cases {
            let name = try #require(entry["name"] as? String)
            let input = try #require((entry["hex"] as? String).flatMap { [UInt8](hexadecimal: $0) })
            let isOurs =
                entry["strict"] as? String == "valid" && entry["outside_int64"] == nil
                && (entry["depth"] as? Int ?? 0) < 100
            if isOurs {
                let document = try BencodeDocument(decoding: input)
                #expect(document.root.value.encoded == input, "\(name): canonical values encode to themselves")
                #expect(Array(document.root.encoded) == input, "\(name)")
                if let value = entry["value"] as? NSObject {
                    #expect(recorded(document.root.value) == value, "\(name)")
                }
                valid += 1
            } else {
                #expect(throws: BencodeError.self, "\(name)") { try BencodeDocument(decoding: input) }
                refused += 1
            }
        }
        #expect(valid >= 50)
        #expect(refused >= 100)
    }

    @Test func infoDictionariesAreFoundAsReceived() throws {
        let torrents = try #require(try resource("infohash")["torrents"] as? [[String: Any]])
        for torrent in torrents {
            let input = try #require((torrent["torrent_hex"] as? String).flatMap { [UInt8](hexadecimal: $0) })
            let info = try #require(try BencodeDocument(decoding: input, as: .lenient).root["info"])
            #expect(info.range.lowerBound == torrent["info_offset"] as? Int)
            #expect(info.range.count == torrent["info_length"] as? Int)
        }
        #expect(torrents.count >= 5)
    }

    @Test func prefix() throws {
        let document = try BencodeDocument(decodingPrefixOf: bytes("d8:msg_typei1ee\u{0}\u{1}raw"))
        #expect(document.byteCount == 15)
        #expect(document.root["msg_type"]?.integer == 1)
        #expect(throws: BencodeError.trailingBytes(at: 2)) { try BencodeDocument(decoding: bytes("leX")) }
    }

    @Test func lenientTakesAnyOrderAndTheLastOfEqualKeys() throws {
        let input = bytes("d1:bi1e1:ai2e1:bi3ee")
        let document = try BencodeDocument(decoding: input, as: .lenient)
        #expect(document.root["a"]?.integer == 2)
        #expect(document.root["b"]?.integer == 3)
        #expect(document.root.entries?.map(\.value.integer) == [1, 2, 3])
        #expect(document.root.value == ["a": 2, "b": 3])
        #expect(throws: BencodeError.keysNotAscending(at: 7)) { try BencodeDocument(decoding: input) }
        #expect(throws: BencodeError.malformedInteger(at: 1)) {
            try BencodeDocument(decoding: bytes("li03ee"), as: .lenient)
        }
    }

    @Test func limits() throws {
        func nested(_ count: Int) -> [UInt8] {
            bytes(String(repeating: "l", count: count) + String(repeating: "e", count: count))
        }
        _ = try BencodeDocument(decoding: nested(99))
        #expect(throws: BencodeError.tooDeep) { try BencodeDocument(decoding: nested(100)) }
        _ = try BencodeDocument(decoding: nested(10), limits: .datagram)
        #expect(throws: BencodeError.tooDeep) { try BencodeDocument(decoding: nested(11), limits: .datagram) }

        func list(_ count: Int) -> [UInt8] { bytes("l" + String(repeating: "0:", count: count) + "e") }
        _ = try BencodeDocument(decoding: list(499), limits: .datagram)
        #expect(throws: BencodeError.tooManyItems) { try BencodeDocument(decoding: list(500), limits: .datagram) }

        _ = try BencodeDocument(decoding: bytes("3:abc"), limits: BencodeLimits(bytes: 5))
        #expect(throws: BencodeError.tooManyBytes) {
            try BencodeDocument(decoding: bytes("3:abc"), limits: BencodeLimits(bytes: 4))
        }
        #expect(throws: BencodeError.malformedLength(at: 0)) {
            try BencodeDocument(decoding: bytes("99999999999999999999:"))
        }
        #expect(try BencodeDocument(decoding: bytes("i-9223372036854775808e")).root.integer == .min)
        #expect(throws: BencodeError.integerTooLarge(at: 0)) {
            try BencodeDocument(decoding: bytes("i9223372036854775808e"))
        }
    }

    @Test func gettersOfAnotherKind() throws {
        let root = try BencodeDocument(decoding: bytes("d1:ali1e1:xee")).root
        #expect(root.integer == nil && root.bytes == nil && root.list == nil)
        #expect(root["b"] == nil)
        let list = try #require(root["a"]?.list)
        #expect(list.map(\.integer) == [1, nil])
        #expect(list[1].text == "x")
        #expect(list[0]["a"] == nil && list[0].entries == nil)
        #expect(try BencodeDocument(decoding: [0x31, 0x3a, 0xff]).root.text == nil)
    }

    /// Mutated messages and plain noise are refused or read, never more; what is read as canonical encodes to itself.
    @Test(arguments: [1, 2, 3] as [UInt64]) func randomInput(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let seeds = [
            "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee", "lli-12eel3:abcdeee", "d0:i0ee",
        ].map(bytes)
        for _ in 0..<20_000 {
            var input = seeds.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<input.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: input[at] = UInt8.random(in: 0...255, using: &random)
                case 1: input.insert("ilde0123456789:-".utf8.randomElement(using: &random) ?? 0, at: at)
                default: if input.count > 1 { input.remove(at: at) }
                }
            }
            if let document = try? BencodeDocument(decoding: input) {
                #expect(document.root.value.encoded == input, "seed \(seed)")
            }
            if let document = try? BencodeDocument(decodingPrefixOf: input, as: .lenient, limits: .datagram) {
                #expect(document.byteCount <= input.count)
                let again = document.root.value.encoded
                #expect(try BencodeDocument(decoding: again).root.value == document.root.value, "seed \(seed)")
            }
        }
    }
}
