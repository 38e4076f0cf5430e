import Bencode
import Crypto
import Foundation
import SwarmBase
import Testing

@testable import DHT

/// BEP 44.
@Suite struct ItemTests {
    private func item(_ entry: [String: Any]) throws -> MutableItem {
        MutableItem(
            key: try Recorded.bytes(entry, "public_key"), salt: try Recorded.bytes(entry, "salt"),
            sequence: try #require((entry["seq"] as? String).flatMap { Int64($0) }),
            value: try Recorded.bytes(entry, "v_bencoded"), signature: try Recorded.bytes(entry, "signature"))
    }

    @Test func recordedItems() throws {
        let recorded = try Recorded.load("bep44")
        var count = 0
        for (_, value) in recorded {
            for entry in value as? [[String: Any]] ?? [] where entry["target"] != nil && entry["signed_bytes"] != nil {
                let item = try item(entry)
                #expect(item.isAuthentic)
                #expect(
                    MutableItem.signed(salt: item.salt, sequence: item.sequence, value: item.value)
                        == (try Recorded.bytes(entry, "signed_bytes")))
                #expect(DHTItem.mutable(item).target.bytes == (try Recorded.bytes(entry, "target")))
                if let seed = entry["seed"] as? String, let bytes = [UInt8](hexadecimal: seed), bytes.count == 32 {
                    let key = try Curve25519.Signing.PrivateKey(rawRepresentation: bytes)
                    let value = try BencodeDocument(decoding: item.value).root.value
                    let ours = try #require(
                        MutableItem(value, sequence: item.sequence, salt: item.salt, signedBy: key))
                    #expect(ours.key == item.key && ours.value == item.value && ours.isAuthentic)
                }
                count += 1
            }
        }
        for entry in try #require(recorded["immutable"] as? [[String: Any]]) {
            let value = try Recorded.bytes(entry, "v_bencoded")
            #expect(DHTItem.immutable(value).target.bytes == (try Recorded.bytes(entry, "target")))
            count += 1
        }
        #expect(count > 10)
    }

    /// What is to be refused is, with the code that BEP 44 gives it.
    @Test func recordedRefusals() throws {
        let entries = try #require(try Recorded.load("bep44")["refused"] as? [[String: Any]])
        var conversation = Conversation()
        // Laxer in libtorrent: a signature that is not canonical, a key of small order, another value with the same number.
        let stricter = [
            "S plus L (non-canonical)": 206, "small order public key, signature of zeros": 206,
            "seq 5 again, other value (value must not change)": 302,
        ]
        for entry in entries {
            let name = entry["case"] as? String ?? ""
            let key = try Recorded.bytes(entry, "public_key")
            let salt = try Recorded.bytes(entry, "salt")
            let target = MutableItem.target(key: key, salt: salt)
            let token = try #require(try conversation.response(.get(target, newerThan: nil)).token)
            var writer = BencodeWriter()
            writer.encoded(Array("d1:ad".utf8))
            if let cas = entry["cas"] as? Int {
                writer.key("cas")
                writer.integer(Int64(cas))
            }
            writer.key("id")
            writer.string(Array("abcdefghijklmnopqrst".utf8))
            writer.key("k")
            writer.string(key)
            if !salt.isEmpty {
                writer.key("salt")
                writer.string(salt)
            }
            writer.key("seq")
            writer.integer(try #require((entry["seq"] as? String).flatMap { Int64($0) }))
            writer.key("sig")
            writer.string(try Recorded.bytes(entry, "signature"))
            writer.key("token")
            writer.string(token)
            writer.key("v")
            writer.encoded(try Recorded.bytes(entry, "v_bencoded"))
            writer.encoded(Array("e1:q3:put1:t2:aa1:y1:qe".utf8))
            conversation.now += .seconds(1)
            guard let first = conversation.exchange(writer.bytes, from: .stranger(1)).first else {
                // No bencoding at all to us: not answered.
                #expect(name == "leading zero integer as value")
                continue
            }
            let answer = try KRPCMessage(decoding: first)
            let theirs = entry["libtorrent_put"] as? [String: Any]
            let expected = stricter[name] ?? theirs?["code"] as? Int
            switch answer.body {
            case .error(let error): #expect(error.code == expected.map(Int64.init), "\(name)")
            case .response: #expect(expected == nil, "\(name)")
            case .query: Issue.record("a query")
            }
        }
        #expect(entries.count > 10)
    }

    @Test func tokens() throws {
        var conversation = Conversation()
        let item = try #require(DHTItem.immutable("hello"))
        let token = try #require(try conversation.response(.get(item.target, newerThan: nil)).token)
        #expect(try conversation.error(.put(item, cas: nil, token: [1, 2, 3, 4, 5, 6, 7, 8])) == 203)
        #expect(try conversation.error(.put(item, cas: nil, token: [])) == 203)
        #expect(try conversation.error(.put(item, cas: nil, token: token), from: .stranger(2)) == 203)
        let other = try #require(DHTItem.immutable("another"))
        #expect(try conversation.error(.put(other, cas: nil, token: token)) == 203)
        #expect(conversation.node.stored.items == 0)
        // Good for one change of the secret, not for two.
        conversation.now += .seconds(301)
        conversation.node.handleTimeout(now: conversation.now)
        _ = try conversation.response(.put(item, cas: nil, token: token))
        #expect(conversation.node.stored.items == 1)
        conversation.now += .seconds(301)
        conversation.node.handleTimeout(now: conversation.now)
        #expect(try conversation.error(.put(item, cas: nil, token: token)) == 203)
        #expect(try conversation.response(.get(item.target, newerThan: nil)).value == item.value)
        // And it is let go after two hours.
        conversation.now += .seconds(7200)
        conversation.node.handleTimeout(now: conversation.now)
        #expect(conversation.node.stored.items == 0)
    }

    @Test func onlyWhatIsNewerIsSent() throws {
        var conversation = Conversation()
        let key = Curve25519.Signing.PrivateKey()
        let item = try #require(MutableItem("five", sequence: 5, salt: [1], signedBy: key))
        let target = DHTItem.mutable(item).target
        let token = try #require(try conversation.response(.get(target, newerThan: nil)).token)
        _ = try conversation.response(.put(.mutable(item), cas: nil, token: token))
        #expect(try conversation.response(.get(target, newerThan: 4)).value == item.value)
        let known = try conversation.response(.get(target, newerThan: 5))
        #expect(known.value == nil && known.sequence == 5 && known.signature == nil)
    }
}
