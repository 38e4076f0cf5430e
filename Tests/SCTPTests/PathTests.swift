import SwarmBase
import Testing

@testable import SCTP

/// The chunks of a packet.
private func types(_ packet: [UInt8]) -> [UInt8] {
    var walker = ChunkWalker(packet: packet)
    var types: [UInt8] = []
    while let chunk = walker.next() { types.append(chunk.type) }
    return types
}

@Suite struct PathMTUTests {
    private func configuration(_ maximum: Int? = 1400) -> SCTPConfiguration {
        var configuration = SCTPConfiguration()
        configuration.maxProbedPacketSize = maximum
        return configuration
    }

    /// Whatever the path carries between the base and the maximum, the search comes within sixteen bytes of it.
    @Test(arguments: [1000, 1188, 1192, 1204, 1300, 1364, 1396, 1400, 1500])
    func search(pathMTU: Int) {
        var mtu = PathMTU(configuration())
        expectTrue(mtu.isEnabled)
        var probes = 0
        while let probe = mtu.nextProbe() {
            probes += 1
            #expect(probe.size > 1188 && probe.size <= 1400)
            if probe.size <= pathMTU {
                let isKnown = mtu.answered(nonce: probe.nonce)
                #expect(isKnown)
            } else {
                mtu.expired()
            }
        }
        let expected = min(max(pathMTU, 1188), 1400)
        #expect(mtu.size <= expected && mtu.size > expected - 20)
        #expect(probes <= 20)
        #expect((mtu.raiseDelay == nil) == (mtu.size == 1400))
    }

    @Test func answersToOtherProbesDoNotCount() throws {
        var mtu = PathMTU(configuration())
        let first = try required(mtu.nextProbe())
        let isStale = mtu.answered(nonce: first.nonce &+ 1)
        #expect(!isStale && mtu.size == 1188)
        mtu.expired()
        let second = try required(mtu.nextProbe())
        #expect(second.size == first.size)
        let isLate = mtu.answered(nonce: first.nonce)
        #expect(!isLate)
    }

    @Test func blackHoleAndNewPath() throws {
        var mtu = PathMTU(configuration())
        let probe = try required(mtu.nextProbe())
        expectTrue(mtu.answered(nonce: probe.nonce))
        #expect(mtu.size == 1400)
        expectTrue(!mtu.dataExpired())
        mtu.dataArrived()
        expectTrue(!mtu.dataExpired())
        expectTrue(mtu.dataExpired())
        #expect(mtu.size == 1188)
        mtu.reset()
        #expect(try required(mtu.nextProbe()).size == 1400)
    }

    /// Off unless the owner says so: no packet is ever larger than the base.
    @Test(arguments: [nil, 1400] as [Int?])
    func larger(maximum: Int?) throws {
        let pair = ChannelPair(seed: 1, configuration: configuration(maximum))
        var largest = 0
        pair.filter = { _, packet in
            largest = max(largest, packet.count)
            return true
        }
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(1))
        for _ in 0..<10 { try pair.a.send([UInt8](repeating: 1, count: 20_000), kind: .binary, on: id, now: pair.now) }
        let done = pair.run(for: .seconds(10)) { $0.receivedByB.count == 10 }
        #expect(done && largest == maximum ?? 1188)
        #expect(pair.a.association.packetSize == maximum ?? 1188)
    }

    /// The path narrows under the data: back to the base, and what was cut for the wider path is said to need
    /// fragmentation, which then lets it through.
    @Test func narrowerPath() throws {
        let pair = ChannelPair(seed: 2, configuration: configuration())
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(2))
        #expect(pair.a.association.packetSize == 1400 && pair.a.association.exceedsPacketSize == false)
        pair.impair { $0.maxPacketSize = 1300 }
        for _ in 0..<10 { try pair.a.send([UInt8](repeating: 1, count: 20_000), kind: .binary, on: id, now: pair.now) }
        pair.run(for: .seconds(5))
        #expect(pair.a.association.packetSize == 1188 && pair.a.association.exceedsPacketSize == true)
        pair.impair { $0.maxPacketSize = .max }
        let done = pair.run(for: .seconds(60)) { $0.receivedByB.count == 10 }
        #expect(done && pair.a.association.exceedsPacketSize == false)
    }
}

@Suite struct HeartbeatTests {
    private func connected(interval: Duration?, limit: Int?) throws -> (ChannelPair, DataChannelID) {
        var configuration = SCTPConfiguration()
        configuration.heartbeatInterval = interval
        configuration.maxRetransmissions = limit
        let pair = ChannelPair(seed: 3, configuration: configuration)
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(1))
        return (pair, id)
    }

    /// As a rule there are none: ICE watches the path.
    @Test(arguments: [nil, Duration.seconds(5)])
    func onlyWhenAskedFor(interval: Duration?) throws {
        let (pair, _) = try connected(interval: interval, limit: nil)
        var heartbeats = 0
        pair.filter = { _, packet in
            heartbeats += types(packet).filter { $0 == 4 }.count
            return true
        }
        pair.run(for: .seconds(61))
        #expect(interval == nil ? heartbeats == 0 : (10...30).contains(heartbeats))
        #expect(interval != nil || pair.a.nextTimeout == nil)
    }

    /// A path that swallows everything ends the association after so many heartbeats, and not before.
    @Test func silenceIsNoticed() throws {
        let (pair, _) = try connected(interval: .seconds(1), limit: 3)
        pair.impair { $0.isCut = true }
        let started = pair.now
        pair.run(for: .seconds(3))
        #expect(pair.eventsOfA.last != .disconnected(.unanswered))
        let done = pair.run(for: .seconds(60)) { $0.eventsOfA.last == .disconnected(.unanswered) }
        #expect(done && pair.now - started < .seconds(10))
    }

    /// RFC 9260 §8.1: so many expiries in a row are survived, one more is not.
    @Test(arguments: [(2, false), (3, true)])
    func retransmissionsAreBounded(expiries: Int, isOver: Bool) throws {
        let (pair, id) = try connected(interval: nil, limit: 2)
        pair.impair { $0.isCut = true }
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        pair.run(for: .seconds(120)) { $0.a.association.expiriesInARow >= expiries || $0.a.association.isEnded }
        #expect(pair.a.association.isEnded == isOver)
        pair.impair { $0.isCut = false }
        pair.a.pathChanged(now: pair.now)
        let arrives = pair.run(for: .seconds(30)) { $0.receivedByB == [[1]] }
        #expect(arrives == !isOver)
    }

    /// Without a limit nothing ends it.
    @Test func unboundedByDefault() throws {
        let (pair, id) = try connected(interval: nil, limit: nil)
        pair.impair { $0.isCut = true }
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        pair.run(for: .seconds(3600))
        pair.impair { $0.isCut = false }
        let done = pair.run(for: .seconds(30)) { $0.receivedByB == [[1]] }
        #expect(done)
    }
}

@Suite struct ZeroChecksumTests {
    /// Only when both say so, never in INIT and COOKIE ECHO (RFC 9653 §5.2).
    @Test(arguments: [(true, true), (true, false), (false, true), (false, false)])
    func negotiated(a: Bool, b: Bool) throws {
        var first = SCTPConfiguration()
        first.isOverDTLS = a
        var second = SCTPConfiguration()
        second.isOverDTLS = b
        let pair = ChannelPair(seed: 4, configuration: first, configurationOfB: second)
        var without = 0
        pair.filter = { _, packet in
            let isZero = packet.checksumField == 0
            if isZero { without += 1 }
            if !Set(types(packet)).isDisjoint(with: [1, 2, 6, 10]) { #expect(!isZero) }
            return true
        }
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        try pair.a.send([1], kind: .binary, on: id, now: pair.now)
        let done = pair.run(for: .seconds(2)) { $0.receivedByB == [[1]] }
        #expect(done && (without > 0) == (a && b))
        #expect(pair.a.association.omitsChecksum == (a && b))
    }
}
