import Bencode
import Foundation
import SwarmBase
import Testing

@testable import DHT

@Suite struct KRPCTests {
    /// What libtorrent and aria2 say is understood; what is said again means the same.
    @Test func recordedMessages() throws {
        let recorded = try Recorded.load("dht-krpc")
        var count = 0
        for key in ["libtorrent_node", "aria2_node"] {
            for entry in try #require(recorded[key] as? [[String: Any]]) {
                for datagram in try Recorded.datagrams(entry["log"]) where datagram.isAnswer {
                    let message = try KRPCMessage(decoding: datagram.bytes)
                    #expect(try KRPCMessage(decoding: message.encoded) == message)
                    _ = try BencodeDocument(decoding: message.encoded)
                    count += 1
                }
            }
        }
        for datagram in try Recorded.datagrams(recorded["libtorrent_queries"]) {
            let message = try KRPCMessage(decoding: datagram.bytes)
            #expect(try KRPCMessage(decoding: message.encoded) == message)
            count += 1
        }
        #expect(count > 150)
    }

    /// Our node answers every recorded query that libtorrent's has answered, with a response or an error like it.
    @Test func recordedQueriesAreAnswered() throws {
        let recorded = try Recorded.load("dht-krpc")
        var compared = 0
        for entry in try #require(recorded["libtorrent_node"] as? [[String: Any]]) {
            let name = entry["case"] as? String ?? ""
            // A token of theirs is none of ours, an id that is ours none of theirs; and what is not one message is noise to us.
            if ["token", "put", "announce", "trailing", "two messages", "no t", "BEP 44", "item", "seq", "cas"]
                .contains(where: name.contains)
            {
                continue
            }
            var conversation = Conversation()
            let log = try Recorded.datagrams(entry["log"])
            for (index, query) in log.enumerated() where !query.isAnswer {
                guard index + 1 < log.count, log[index + 1].isAnswer else { continue }
                let theirs = try KRPCMessage(decoding: log[index + 1].bytes)
                // A token of theirs is none of ours.
                if case .query(let asked)? = try? KRPCMessage(decoding: query.bytes).body {
                    switch asked.method {
                    case .announcePeer, .put: continue
                    default: break
                    }
                }
                let answers = conversation.exchange(query.bytes, from: .stranger(UInt32(index)))
                guard let first = answers.first else {
                    Issue.record("\(name): no answer to \(query.bytes.hexadecimal)")
                    continue
                }
                let ours = try KRPCMessage(decoding: first)
                #expect(ours.transaction == theirs.transaction, "\(name)")
                switch (ours.body, theirs.body) {
                case (.response(let a), .response(let b)):
                    #expect((a.token == nil) == (b.token == nil), "\(name)")
                    #expect(a.hasNodes == b.hasNodes, "\(name)")
                case (.error, .error): break
                default:
                    // They say 203 to a method they do not know, and we to a port they cut.
                    Issue.record("\(name): \(ours.body) for \(theirs.body)")
                }
                compared += 1
            }
        }
        #expect(compared > 30)
    }

    @Test func theAnswerSaysWhereItSeesUs() throws {
        var conversation = Conversation()
        #expect(try conversation.ask(.ping, from: .stranger(7)).observed == .stranger(7))
    }

    @Test func unknownMethods() throws {
        var conversation = Conversation()
        let led = conversation.exchange(
            Array("d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa6:target20:bbbbbbbbbbbbbbbbbbbbe1:q5:shout1:t2:aa1:y1:qe".utf8),
            from: .stranger(1))
        guard case .response(let response) = try KRPCMessage(decoding: try #require(led.first)).body else {
            Issue.record("no response")
            return
        }
        #expect(response.hasNodes)
        let refused = conversation.exchange(
            Array("d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q5:shout1:t2:aa1:y1:qe".utf8), from: .stranger(1))
        #expect(try KRPCMessage(decoding: try #require(refused.first)).body == .error(KRPCError(204, "unknown method")))
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func randomInput(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let recorded = try Recorded.load("dht-krpc")
        var seeds: [[UInt8]] = []
        for entry in try #require(recorded["libtorrent_node"] as? [[String: Any]]) {
            seeds += try Recorded.datagrams(entry["log"]).map(\.bytes)
        }
        var conversation = Conversation(seed: seed)
        for turn in 0..<5_000 {
            var input = seeds.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 0...4, using: &random) where input.count > 1 {
                let at = Int.random(in: 0..<input.count, using: &random)
                if Bool.random(using: &random) {
                    input[at] = UInt8.random(in: 0...255, using: &random)
                } else {
                    input.remove(at: at)
                }
            }
            conversation.now += .milliseconds(10)
            for answer in conversation.exchange(input, from: .stranger(UInt32(turn % 3000))) {
                _ = try KRPCMessage(decoding: answer)
                #expect(answer.count <= 1_500, "seed \(seed)")
            }
            conversation.node.handleTimeout(now: conversation.now)
            while conversation.node.pollTransmit() != nil {}
        }
    }
}
