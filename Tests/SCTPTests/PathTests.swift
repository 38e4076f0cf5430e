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

    /// What Ethernet carries is tried first, then what jumbo frames carry, and nothing between: no link has such a size.
    @Test(arguments: [1188, 1300, 1400, 1500, 8911, 8912, 9000])
    func ladder(pathMTU: Int) {
        var mtu = PathMTU(configuration(SCTPConfiguration.largestUsefulPacketSize))
        var sizes: [Int] = []
        while let probe = mtu.nextProbe() {
            sizes.append(probe.size)
            if probe.size <= pathMTU {
                let isKnown = mtu.answered(nonce: probe.nonce)
                #expect(isKnown)
            } else {
                mtu.expired()
            }
        }
        #expect(sizes.first == 1400 && sizes.allSatisfy { $0 <= 1400 || $0 == 8912 })
        #expect(mtu.size <= pathMTU && mtu.size > min(pathMTU, 1400) - 20)
        #expect((mtu.size == 8912) == (pathMTU >= 8912))
        if pathMTU >= 1400, pathMTU < 8912 { #expect(mtu.size == 1400 && sizes == [1400, 8912, 8912, 8912]) }
        // Only what goes by a probe's answer must stay whole.
        #expect(mtu.forbidsFragmentation(of: mtu.size) == (mtu.size > 1188))
        #expect(mtu.forbidsFragmentation(of: mtu.size + 4) == false)
        // After a while the larger size is tried again.
        mtu.raise()
        #expect(mtu.nextProbe()?.size == (pathMTU < 1400 ? 1400 : (pathMTU < 8912 ? 8912 : nil)))
    }

    /// A probe has the question at its end, so that who gets only the beginning of it does not answer.
    @Test func aProbeEndsWithTheQuestion() throws {
        let pair = ChannelPair(seed: 5, configuration: configuration())
        var probes = 0
        pair.filter = { toB, packet in
            guard toB, packet.count > 1188 else { return true }
            probes += 1
            #expect(types(packet) == [132, 4] && pair.a.forbidsFragmentation == true)
            return true
        }
        pair.connect()
        pair.run(for: .seconds(1))
        #expect(probes == 1 && pair.a.packetSize == 1400)
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

    /// The path narrows under the data: back to the base, and what was cut for the wider path is fragmented on its way, so
    /// that everything arrives although it stays narrow.
    @Test(arguments: [1400, 8912]) func narrowerPath(maximum: Int) throws {
        let pair = ChannelPair(seed: 2, configuration: configuration(maximum))
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(2))
        #expect(pair.a.association.packetSize == maximum)
        pair.impair { $0.maxPacketSize = 1300 }
        for _ in 0..<10 { try pair.a.send([UInt8](repeating: 1, count: 20_000), kind: .binary, on: id, now: pair.now) }
        let done = pair.run(for: .seconds(20)) { $0.receivedByB.count == 10 }
        #expect(done && pair.a.association.packetSize == 1188)
        // Much later the search begins again, and finds what there is.
        pair.run(for: .seconds(700))
        let found = pair.a.association.packetSize
        #expect(found <= 1300 && found > 1280)
    }

    /// Another path may be narrower: nothing large leaves before it was probed.
    @Test func anotherPath() throws {
        let pair = ChannelPair(seed: 6, configuration: configuration(8912))
        pair.connect()
        let id = try pair.a.open(DataChannelOptions(label: "x"))
        pair.run(for: .seconds(2))
        #expect(pair.a.association.packetSize == 8912)
        pair.impair { $0.maxPacketSize = 1188 }
        pair.a.pathChanged(now: pair.now)
        #expect(pair.a.association.packetSize == 1188)
        pair.filter = { toB, packet in
            #expect(!toB || packet.count <= 1188 || types(packet) == [132, 4])
            return true
        }
        for _ in 0..<10 { try pair.a.send([UInt8](repeating: 1, count: 20_000), kind: .binary, on: id, now: pair.now) }
        let done = pair.run(for: .seconds(2)) { $0.receivedByB.count == 10 }
        #expect(done)
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
