import JSON
import SwarmBase
import Testing

@testable import Gun

/// The bounds of a relay.
@Suite struct RelayBoundsTests {
    private let a: LinkID = 1
    private let b: LinkID = 2
    private let c: LinkID = 3

    @Test func futureWritesWait() {
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("g", "s"), on: b)
        _ = (net.take(a), net.take(b))
        net.send(putFrame("p", "s", "k", "later", net.wall + 600), on: a)
        #expect(net.take(a).isEmpty && net.take(b).isEmpty)
        net.advance(.milliseconds(599))
        #expect(net.take(b).isEmpty)
        net.advance(.milliseconds(1))
        #expect(net.take(b).count == 1 && net.take(a).map(\.answered) == ["p"])
        let day = 24 * 3600 * 1000.0
        net.send(putFrame("q", "s", "k", "too late", net.wall + day + 1), on: a)
        #expect(net.take(a).first?.err != nil)
        net.send(putFrame("r", "s", "k", "in a day", net.wall + day), on: a)
        #expect(net.take(a).isEmpty && net.relay.counters.deferredRecords == 2)
    }

    @Test func futureWritesAreBoundedPerLink() {
        var configuration = GunRelayConfiguration()
        configuration.deferredPerLink = 3
        var net = RelayHarness(configuration, links: [a, b])
        _ = (net.take(a), net.take(b))
        for number in 0..<4 { net.send(putFrame("p\(number)", "s", "k", 1, net.wall + 5_000 + Double(number)), on: a) }
        #expect(net.take(a).map(\.err).count { $0 != nil } == 1)
        net.send(putFrame("pb", "s", "k", 1, net.wall + 5_000), on: b)
        #expect(net.take(b).isEmpty)
        net.advance(.seconds(6))
        net.send(putFrame("p9", "s", "k", 1, net.wall + 5_000), on: a)
        #expect(net.take(a).allSatisfy { $0.err == nil })
    }

    @Test func aSlowReaderIsClosed() {
        var configuration = GunRelayConfiguration()
        configuration.queuedBytesPerLink = 10_000
        var net = RelayHarness(configuration, links: [a, b, c])
        net.send(getFrame("g1", "s"), on: b)
        net.send(getFrame("g2", "s"), on: c)
        _ = (net.take(b), net.take(c))
        net.relay.linkWritabilityChanged(b, isWritable: false)
        for number in 0..<30 {
            net.send(
                putFrame("p\(number)", "s", "k", .string(String(repeating: "x", count: 1_000)), Double(number)), on: a)
        }
        #expect(net.closed == [b: .slowReader])
        #expect(net.take(b).isEmpty && net.take(c).count == 30 && net.relay.linkCount == 2)
    }

    @Test func aFullSocketKeepsTheOrder() {
        var net = RelayHarness(links: [a, b])
        net.send(getFrame("g1", "s"), on: b)
        _ = net.take(b)
        net.relay.linkWritabilityChanged(b, isWritable: false)
        for number in 0..<5 { net.send(putFrame("p\(number)", "s", "k", 1, Double(number + 1)), on: a) }
        #expect(net.take(b).isEmpty)
        net.relay.linkWritabilityChanged(b, isWritable: true)
        net.drain()
        #expect(net.take(b).map(\.id) == ["p0", "p1", "p2", "p3", "p4"])
    }

    @Test func ratesAreLimited() {
        var configuration = GunRelayConfiguration()
        configuration.messagesPerSecond = 10
        configuration.messageBurst = 5
        var net = RelayHarness(configuration, links: [a])
        _ = net.take(a)
        for number in 0..<5 { net.send(putFrame("p\(number)", "s", "k", 1, Double(number)), on: a) }
        #expect(net.paused.isEmpty)
        // What comes faster is read later, and none of it is lost.
        net.send(putFrame("p5", "s", "k", 1, 5), on: a)
        #expect(net.paused == [a: .milliseconds(100)] && net.take(a).count == 6 && net.relay.counters.pauses == 1)
        net.paused = [:]
        net.advance(.seconds(1))
        net.send(putFrame("q", "s", "k", 1, 100), on: a)
        #expect(net.take(a).contains { $0.answered == "q" } && net.paused.isEmpty)
    }

    @Test func brokenFramesAreAnsweredAndThenEnough() {
        var configuration = GunRelayConfiguration()
        configuration.brokenFrames = 3
        var net = RelayHarness(configuration, links: [a])
        _ = net.take(a)
        for _ in 0..<3 { net.send("{\"get\":", on: a) }
        net.send("hello", on: a)
        let complaints = net.take(a)
        #expect(complaints.count == 3 && complaints.allSatisfy { $0.dam == "!" && $0.err != nil } && net.closed.isEmpty)
        net.send("[{\"get\":", on: a)
        #expect(net.closed == [a: .brokenFrames])
    }

    @Test func subscriptionsAreBounded() {
        var configuration = GunRelayConfiguration()
        configuration.subscriptionsPerLink = 2
        var net = RelayHarness(configuration, links: [a, b])
        for soul in ["s1", "s2", "s3"] { net.send(getFrame("g\(soul)", Soul(stringLiteral: soul)), on: a) }
        #expect(net.take(a).count == 4, "greeting and three answers")
        for soul in ["s1", "s2", "s3"] { net.send(putFrame("p\(soul)", Soul(stringLiteral: soul), "k", 1, 1), on: b) }
        #expect(net.take(a).map(\.id) == ["ps1", "ps2"] && net.relay.subscribedSoulCount == 2)
        net.close(a)
        #expect(net.relay.subscribedSoulCount == 0)
    }
}
