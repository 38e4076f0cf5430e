import JSON
import SwarmBase
import Testing

@testable import Gun

/// How a relay greets, hands on and answers.
@Suite struct RelayTests {
    private let a: LinkID = 1
    private let b: LinkID = 2
    private let c: LinkID = 3

    @Test func greetsAndShakesHands() {
        var net = RelayHarness(links: [a])
        let greeting = net.take(a)
        #expect(greeting.count == 1 && greeting[0].dam == "?" && greeting[0].pid?.byteCount == 12)
        net.send(##"{"dam":"hi","#":"LaEFUnyal"}"##, on: a)
        net.send(##"{"dam":"?","pid":"sLnnFu4cV","@":"KkKe7qVCD","#":"yWUodBQsT"}"##, on: a)
        #expect(net.take(a).isEmpty)
        net.send(##"{"dam":"?","pid":"sLnnFu4cV","#":"q"}"##, on: a)
        let reply = net.take(a)
        #expect(reply.count == 1 && reply[0].answered == "q" && reply[0].pid == greeting[0].pid)
        let own = greeting[0].pid?.string ?? ""
        net.send(##"{"dam":"?","pid":"\##(own)","#":"r"}"##, on: a)
        #expect(net.closed[a] == .ourselves)
    }

    @Test func heartbeatEveryTwentySeconds() {
        var net = RelayHarness(links: [a])
        let before = net.frames[a]
        net.advance(.milliseconds(19_999))
        #expect(net.frames[a] == before)
        net.advance(.milliseconds(1))
        #expect(net.frames[a] == 2)
        net.advance(.seconds(60))
        #expect(net.frames[a] == 5)
        net.close(a)
        #expect(net.relay.nextTimeout == nil)
    }

    @Test func tellsSubscribersAndNobodyElse() {
        var net = RelayHarness(links: [1, 2, 3, 4, 5])
        net.send(getFrame("g1", "r1"), on: 1)
        net.send(getFrame("g2", "r1", "k"), on: 2)
        net.send(getFrame("g3", "r1", "other"), on: 3)
        net.send(getFrame("g5", "r1"), on: 5)
        for link in 1...5 { _ = net.take(LinkID(UInt64(link))) }
        net.send(putFrame("p1", "r1", "k", 1, 10), on: 5)
        net.send(putFrame("p2", "r1", "z", 2, 10), on: 5)
        let pushed = net.take(1)
        #expect(pushed.map(\.id) == ["p1", "p2"])
        #expect(pushed.first?.records == [GunRecord(soul: "r1", key: "k", value: 1, state: 10)])
        #expect(net.take(2).map(\.id) == ["p1"])
        #expect(net.take(3).isEmpty && net.take(4).isEmpty)
        // The writer is subscribed too, and gets acknowledgements only.
        #expect(net.take(5).map(\.answered) == ["p1", "p2"])
        // What changes nothing is not passed on.
        net.send(putFrame("p3", "r1", "k", 1, 10), on: 5)
        net.send(putFrame("p4", "r1", "k", 9, 9), on: 5)
        #expect(net.take(1).isEmpty)
        // Gone is gone, and whoever comes after the last subscriber hears again.
        for link in [1, 2, 3] { net.close(LinkID(UInt64(link))) }
        net.send(putFrame("p5", "r1", "k", 5, 20), on: 5)
        net.send(putFrame("p6", "r1", "k", 6, 21), on: 5)
        net.open(6)
        net.send(getFrame("g6", "r1", "k"), on: 6)
        _ = net.take(6)
        net.send(putFrame("p7", "r1", "k", 7, 22), on: 5)
        #expect(net.take(6).map(\.id) == ["p7"])
    }

    @Test func aPartOfAMessageTravelsUnderAnotherID() throws {
        var net = RelayHarness(links: [a, b, c])
        net.send(getFrame("g1", "s", "x"), on: b)
        net.send(getFrame("g2", "s"), on: c)
        _ = (net.take(a), net.take(b), net.take(c))
        net.send(##"{"#":"m","put":{"s":{"_":{"#":"s",">":{"x":1,"y":1}},"x":1,"y":2}}}"##, on: a)
        let part = try #require(net.take(b).first)
        #expect(part.id != "m" && part.records.map(\.key) == ["x"])
        #expect(net.take(c).first?.id == "m")
        _ = net.take(a)
        // An answer to the part comes back as an answer to the whole.
        net.send(##"{"#":"ans","@":"\##(part.id?.description ?? "")","ok":{"rtc":{"id":"b"}}}"##, on: b)
        let answer = net.take(a)
        #expect(answer.map(\.id) == ["ans"] && answer[0].answered == "m")
        #expect(answer[0].ok == ["rtc": ["id": "b"]])
    }

    @Test func answersFindTheirWayForThirtySeconds() {
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("g", "s"), on: b)
        net.send(putFrame("p", "s", "k", 1, 1), on: a)
        _ = (net.take(a), net.take(b))
        net.advance(.milliseconds(29_999))
        net.send(##"{"#":"a1","@":"p","ok":1}"##, on: b)
        #expect(net.take(a).contains { $0.id == "a1" && $0.answered == "p" })
        // Each answer of the dialogue can be answered in turn.
        net.send(##"{"#":"a2","@":"a1","ok":1}"##, on: a)
        #expect(net.take(b).contains { $0.id == "a2" })
        net.advance(.seconds(31))
        net.send(##"{"#":"a3","@":"p","ok":1}"##, on: b)
        net.send(##"{"#":"a4","@":"never","ok":1}"##, on: b)
        #expect(!net.take(a).contains { $0.id == "a3" || $0.id == "a4" })
    }

    @Test func answersQueries() {
        var net = RelayHarness(links: [a])
        net.disk["s"] = ["k": GunEntry("from disk", state: 5), "j": GunEntry(.null, state: 6)]
        _ = net.take(a)
        net.send(getFrame("g1", "s", "k"), on: a)
        var answer = net.take(a)
        #expect(answer.count == 1 && answer[0].answered == "g1" && answer[0].records.map(\.key) == ["k"])
        net.send(getFrame("g2", "s"), on: a)
        answer = net.take(a)
        #expect(answer.count == 1 && answer[0].records.map(\.key) == ["j", "k"] && net.loads == 2)
        let hash = answer[0].hash
        net.send(getFrame("g3", "s"), on: a)
        #expect(net.take(a).count == 1 && net.loads == 2, "the second time from memory")
        net.send(###"{"#":"g4","##":\###(hash ?? 0),"get":{"#":"s"}}"###, on: a)
        #expect(net.take(a).isEmpty, "the asker has it")
        net.send(getFrame("g5", "s", "none"), on: a)
        net.send(getFrame("g6", "nothing"), on: a)
        net.send(##"{"#":"g7","get":{"#":5}}"##, on: a)
        net.send(##"{"#":"g8","get":{"#":"s",".":{"*":"k"}}}"##, on: a)
        answer = net.take(a)
        #expect(answer.map(\.answered) == ["g5", "g6", "g7", "g8"])
        #expect(answer.prefix(3).allSatisfy { $0.put == nil && $0.err == nil } && answer[3].records.count == 1)
    }

    @Test func longAnswersComeInParts() {
        var configuration = GunRelayConfiguration()
        configuration.answerBytes = 1_000
        var net = RelayHarness(configuration, links: [a])
        for number in 0..<25 {
            net.disk["s", default: [:]][Key(stringLiteral: "k\(number)")] = GunEntry(
                .string(String(repeating: "v", count: 200)), state: 1)
        }
        _ = net.take(a)
        net.send(getFrame("g", "s"), on: a)
        let parts = net.take(a)
        #expect(parts.count > 5)
        #expect(Set(parts.flatMap(\.records).map(\.key)).count == 25)
        for (part, next) in zip(parts, parts.dropFirst()) { #expect(part.hasMore && part.nextPart == next.id) }
        #expect(parts.last?.hasMore == false && parts.allSatisfy { $0.answered == "g" })
    }

    @Test func whatIsMissingIsAskedOfThoseWhoMayHaveIt() {
        var net = RelayHarness(links: [a, b, c])
        net.open(9, peer: 0)
        net.send(getFrame("gb", "s"), on: b)
        for link in [a, b, c, 9] { _ = net.take(link) }
        net.send(getFrame("g", "s", "k"), on: a)
        #expect(net.take(a).map(\.answered) == ["g"], "not found, for the time being")
        #expect(net.take(b).map(\.id) == ["g"] && net.take(9).map(\.id) == ["g"])
        #expect(net.take(c).isEmpty)
        net.send(##"{"#":"ab","@":"g","put":{"s":{"_":{"#":"s",">":{"k":5}},"k":"from b"}}}"##, on: b)
        let answer = net.take(a)
        #expect(answer.map(\.id) == ["ab"] && answer[0].records.count == 1)
        #expect(net.disk["s"]?["k"] == GunEntry("from b", state: 5))
        #expect(net.take(b).isEmpty, "an answer is not acknowledged")
    }
}
