import ICE
import SCTP
import SwarmBase
import Testing

@testable import WebRTC

@Suite struct ClosingTests {
    private func connected(seed: UInt64 = 1) throws -> PeerPair {
        var pair = try PeerPair(seed: seed)
        _ = try pair.a.openChannel(DataChannelOptions(label: "x"), now: pair.now)
        try pair.connect()
        pair.run(for: .seconds(1))
        return pair
    }

    @Test func closeByTheOfferer() throws {
        var pair = try connected()
        pair.a.close(now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.eventsA.states == [.connecting, .connected, .closed])
        #expect(pair.eventsB.states == [.connecting, .connected, .closed])
        #expect(pair.a.closeReason == .local)
        #expect(pair.b.closeReason == .remote)
        #expect(pair.eventsA.closed == pair.eventsA.opened)
        #expect(pair.eventsB.closed == pair.eventsB.opened)
    }

    @Test func closeByTheAnswerer() throws {
        var pair = try connected()
        pair.b.close(now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.a.closeReason == .remote)
        #expect(pair.b.closeReason == .local)
        // Nothing is said or answered any more.
        let before = pair.datagrams
        pair.run(for: .seconds(60))
        #expect(pair.datagrams == before)
        #expect(pair.a.nextTimeout == nil && pair.b.nextTimeout == nil)
    }

    @Test func closeByBothAtOnce() throws {
        var pair = try connected()
        pair.a.close(now: pair.now)
        pair.b.close(now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.a.closeReason == .local)
        #expect(pair.b.closeReason == .local)
    }

    @Test func lingeringCloseDeliversWhatWasSent() throws {
        var pair = try connected()
        let channel = try #require(pair.eventsA.opened.first)
        pair.link.loss = 5
        let payload = [UInt8](repeating: 9, count: 100_000)
        try pair.a.send(payload, kind: .binary, on: channel, now: pair.now)
        pair.a.close(lingering: true, now: pair.now)
        #expect(throws: PeerConnectionError.closed) {
            try pair.a.send([1], kind: .binary, on: channel, now: pair.now)
        }
        pair.run(for: .seconds(5))
        #expect(pair.eventsB.messages == [payload])
        #expect(pair.a.closeReason == .local)
        #expect(pair.b.closeReason == .remote)
    }

    @Test func lingeringEndsWhenThePeerIsGone() throws {
        var pair = try connected()
        let channel = try #require(pair.eventsA.opened.first)
        pair.link.isCut = true
        try pair.a.send([1], kind: .binary, on: channel, now: pair.now)
        pair.a.close(lingering: true, now: pair.now)
        pair.run(for: .milliseconds(999))
        #expect(pair.a.state != .closed)
        pair.run(for: .milliseconds(2))
        #expect(pair.a.closeReason == .local)
    }

    @Test func channelCloseReachesBothSides() throws {
        var pair = try connected()
        let channel = try #require(pair.eventsA.opened.first)
        let far = try #require(pair.eventsB.opened.first)
        try pair.a.send([5], kind: .binary, on: channel, now: pair.now)
        pair.a.close(channel: channel, now: pair.now)
        pair.run(for: .seconds(2))
        #expect(pair.eventsB.messages == [[5]])
        #expect(pair.eventsA.closed == [channel])
        #expect(pair.eventsB.closed == [far])
        // The connection lives on, and so do new channels.
        let next = try pair.b.openChannel(DataChannelOptions(label: "y"), now: pair.now)
        try pair.b.send([6], kind: .binary, on: next, now: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.eventsA.messages == [[6]])
        #expect(next != far)
    }
}
