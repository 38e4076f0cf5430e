import JSON
import SwarmBase
import Testing

@testable import Gun

/// What strangers send, recorded, hostile and random.
@Suite struct RelayInputTests {
    private let a: LinkID = 1
    private let b: LinkID = 2

    /// Every recorded hostile input: the relay lives, stays silent or complains, and serves the next put.
    @Test func hostileInputs() throws {
        let cases = try #require(try Vectors.load("hostile")["cases"]?.array)
        #expect(cases.count == 117)
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("watch", "witness"), on: b)
        for (number, item) in cases.enumerated() {
            let name = item["name"]?.string ?? ""
            for frame in item["frames"]?.array?.compactMap(\.string) ?? [] { net.send(frame, on: a) }
            _ = (net.take(a), net.take(b))
            net.send(putFrame("w\(number)", "witness", "k", .number(FiniteNumber(number)), Double(number + 1)), on: a)
            #expect(
                net.take(a).contains { $0.answered == MessageID(JSONText("w\(number)")) && $0.ok != nil }, "\(name)")
            #expect(net.take(b).contains { $0.id == MessageID(JSONText("w\(number)")) }, "\(name)")
        }
        #expect(net.closed.isEmpty)
        #expect(net.disk["constructor"]?["a"] != nil && net.disk["__proto__"]?["polluted"] != nil, "plain names")
        #expect(net.disk["inj"] == nil && net.disk["#"] != nil)
    }

    @Test func deepAndLargeInputs() {
        var net = RelayHarness(links: [a])
        let frames = [
            "{\"#\":\"dp1\",\"put\":" + String(repeating: "{\"a\":", count: 100_000),
            String(repeating: "[", count: 100_000), "{\"x\":" + String(repeating: "[", count: 100_000),
            "{\"#\":\"v\",\"put\":{\"s\":{\"_\":{\"#\":\"s\",\">\":{\"v\":1}},\"v\":\""
                + String(repeating: "v", count: 1 << 20) + "\"}}}",
        ]
        for frame in frames { net.send(frame, on: a) }
        net.send("[" + String(repeating: " ", count: 5 << 20) + "]", on: a)
        let keys = (0..<20_000).map { "\"k\($0)\":1" }.joined(separator: ",")
        net.send("{\"#\":\"many\",\"put\":{\"s\":{\"_\":{\"#\":\"s\",\">\":{\(keys)}},\(keys)}}}", on: a)
        let answers = net.take(a)
        #expect(answers.count { $0.dam == "!" } == 4 && answers.count { $0.err != nil && $0.answered != nil } == 2)
        #expect(net.disk.isEmpty && net.relay.linkCount == 1)
    }

    @Test func recordedClientsAreServed() throws {
        let scenarios = try Vectors.scenarios()
        for name in [
            "put", "get_hit", "get_miss", "on_live", "on_live_node", "set", "nested", "delete", "reconnect",
            "get_hit_disk", "lex_api", "browser_localstorage", "user",
        ] {
            let frames = try #require(scenarios[name])
            var net = RelayHarness()
            net.wall = 1_795_500_000_000
            var links: [String: LinkID] = [:]
            var expected: [LinkID: Set<MessageID>] = [:]
            for frame in frames where frame.isToRelay {
                let link = links[frame.connection] ?? LinkID(UInt64(links.count + 1))
                if links[frame.connection] == nil {
                    links[frame.connection] = link
                    net.open(link)
                }
                for message in messages(frame.bytes) where message.dam == nil && message.answered == nil {
                    if let id = message.id { expected[link, default: []].insert(id) }
                }
                net.send(frame.bytes, on: link)
            }
            for (link, ids) in expected {
                let answered = Set(net.take(link).compactMap(\.answered))
                #expect(answered.isSuperset(of: ids), "\(name) \(link)")
            }
        }
    }

    @Test func randomScriptsKeepTheBooks() throws {
        let seed: UInt64 = 99
        var random = SeededGenerator(seed: seed)
        let samples = try Vectors.scenarios().sorted { $0.key < $1.key }.flatMap(\.value).map(\.bytes)
        var configuration = GunRelayConfiguration()
        configuration.memoryBytes = 50_000
        configuration.brokenFrames = 5
        var net = RelayHarness(configuration)
        net.wall = 1_795_346_700_000
        for step in 0..<4_000 {
            let link = LinkID(UInt64.random(in: 1...5, using: &random))
            switch Int.random(in: 0..<12, using: &random) {
            case 0: net.open(link, peer: Bool.random(using: &random) ? Int(link.number) : nil)
            case 1: if step % 3 == 0 { net.close(link) }
            case 2: net.advance(.milliseconds(Int.random(in: 0...4_000, using: &random)))
            case 3: net.diskIsSlow = true
            case 4: net.wakeDisk()
            case 5: net.relay.linkWritabilityChanged(link, isWritable: Bool.random(using: &random))
            default:
                var bytes = samples[Int.random(in: 0..<samples.count, using: &random)]
                if Bool.random(using: &random), !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 32...126, using: &random)
                }
                net.send(bytes, on: link)
            }
        }
        net.wakeDisk()
        net.advance(.seconds(24 * 3600 + 60))
        #expect(net.relay.jobs.isEmpty && net.relay.storage.waitingCount == 0, "seed \(seed)")
        #expect(net.relay.storage.unstoredBytes == 0 && net.relay.deferredBytes == 0, "seed \(seed)")
        for link in 1...5 { net.close(LinkID(UInt64(link))) }
        net.advance(.seconds(20))
        #expect(net.relay.subscribedSoulCount == 0 && net.relay.nextTimeout == nil, "seed \(seed)")
    }
}
