import CVirtualClock
import SwarmBase
import Testing

@testable import DTLS

/// The way of records, and what a session costs that has none.
@Suite struct RecordPathTests {
    @Test func sealGivesTheDatagramItself() throws {
        var pair = try LossyPair()
        #expect(throws: DTLSError.notConnected) { try pair.client.seal([1]) }
        pair.start()
        pair.run()
        // What was queued before stays queued, in its order.
        try pair.client.send([1])
        let sealed = try pair.client.seal([2, 2])
        try pair.client.send([3])
        #expect(sealed.count == 39)
        pair.server.handle(datagram: sealed, now: pair.now)
        #expect(pair.server.pollReceived() == [2, 2])
        pair.run()
        #expect(pair.serverReceived == [[1], [3]])
        #expect(throws: DTLSError.invalidRecordLength(0)) { try pair.client.seal([]) }
    }

    @Test func severalRecordsInOneDatagram() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        // Peers may put records together (RFC 6347 §4.1.1).
        var datagram: [UInt8] = []
        for size in [1, 700, 2, 300] { datagram += try pair.client.seal([UInt8](repeating: 7, count: size)) }
        pair.server.handle(datagram: datagram, now: pair.now)
        pair.drain()
        #expect(pair.serverReceived.map(\.count) == [1, 700, 2, 300])
        // And the last of them may be the end.
        datagram = try pair.client.seal([8])
        pair.client.close()
        while let bytes = pair.client.pollTransmit() { datagram += bytes }
        pair.server.handle(datagram: datagram, now: pair.now)
        pair.drain()
        #expect(pair.serverReceived.last == [8])
        #expect(pair.serverEvents == [.connected, .closed])
    }

    @Test func recordsThatOvertakeTheHandshakeAreReadInFull() throws {
        // The client's last flight is followed at once by data, which comes first.
        var pair = try LossyPair()
        pair.server.start(now: pair.now)
        pair.client.start(now: pair.now)
        var held: [[UInt8]] = []
        for _ in 0..<6 where !pair.client.isConnected {
            while let bytes = pair.server.pollTransmit() { pair.client.handle(datagram: bytes, now: pair.now) }
            if pair.client.isConnected { break }
            held = []
            while let bytes = pair.client.pollTransmit() { held.append(bytes) }
            for bytes in held { pair.server.handle(datagram: bytes, now: pair.now) }
        }
        let isConnected = pair.client.isConnected
        #expect(isConnected)
        var other = try LossyPair()
        other.server.start(now: other.now)
        other.client.start(now: other.now)
        // Once more, and this time the server finishes only after the data has come.
        while let bytes = other.client.pollTransmit() { other.server.handle(datagram: bytes, now: other.now) }
        while let bytes = other.server.pollTransmit() { other.client.handle(datagram: bytes, now: other.now) }
        var flight: [[UInt8]] = []
        while let bytes = other.client.pollTransmit() { flight.append(bytes) }
        let last = flight.popLast() ?? []
        for bytes in flight { other.server.handle(datagram: bytes, now: other.now) }
        other.server.handle(datagram: last, now: other.now)
        while let bytes = other.server.pollTransmit() { other.client.handle(datagram: bytes, now: other.now) }
        let record = [UInt8](repeating: 9, count: 1400)
        let early = try other.client.seal(record)
        other.server.handle(datagram: early, now: other.now)
        #expect(other.server.pollReceived() == record)
    }

    @Test func anIdleSessionGivesItsBuffersBackAndGoesOn() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        // The timers of both are over: nothing is left to be done for an idle session.
        #expect(pair.client.nextTimeout == nil && pair.server.nextTimeout == nil)
        for round in UInt8(0)..<5 {
            try pair.client.send([round])
            try pair.server.send([round, round])
            pair.run()
            #expect(pair.client.nextTimeout == nil && pair.server.nextTimeout == nil)
        }
        #expect(pair.serverReceived == (0..<5).map { [$0] })
        #expect(pair.clientReceived == (0..<5).map { [$0, $0] })
        // Garbage, a repeated flight and the farewell find buffers too.
        pair.server.handle(datagram: [23, 254, 253, 0, 1], now: pair.now)
        pair.run()
        for bytes in pair.datagrams.prefix(8) { pair.client.handle(datagram: bytes, now: pair.now) }
        pair.run()
        pair.client.close()
        pair.run()
        #expect(pair.serverEvents == [.connected, .closed])
    }

    @Test func aBusySessionKeepsItsBuffers() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run(for: .milliseconds(100))
        for _ in 0..<50 {
            try pair.client.send([1])
            pair.run(for: .milliseconds(500))
            #expect(pair.server.nextTimeout != nil)
        }
        #expect(pair.serverReceived.count == 50)
    }

    /// Every flight in fragments of at most 256 bytes, in any order, some twice: both roles have to put them together.
    @Test(arguments: 1...20) func flightsInPiecesInAnyOrder(seed: UInt64) throws {
        var small = DTLSConfiguration()
        small.maximumTransmissionUnit = 256
        var pair = try LossyPair(seed: seed, configuration: small)
        var random = SeededGenerator(seed: seed)
        var now = pair.now
        pair.server.start(now: now)
        pair.client.start(now: now)
        for _ in 0..<60 {
            var toServer: [[UInt8]] = []
            var toClient: [[UInt8]] = []
            while let bytes = pair.client.pollTransmit() { toServer.append(bytes) }
            while let bytes = pair.server.pollTransmit() { toClient.append(bytes) }
            for bytes in toServer + toClient { #expect(bytes.count <= 256, "seed \(seed)") }
            toServer += toServer.filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
            toServer.shuffle(using: &random)
            toClient.shuffle(using: &random)
            for bytes in toServer { pair.server.handle(datagram: bytes, now: now) }
            for bytes in toClient { pair.client.handle(datagram: bytes, now: now) }
            if toServer.isEmpty, toClient.isEmpty {
                if pair.client.isConnected, pair.server.isConnected { break }
                now += .seconds(1)
                swarm_virtual_clock_set(1_000_000_000_000 + now.nanoseconds / 1000)
                pair.client.handleTimeout(now: now)
                pair.server.handleTimeout(now: now)
            }
        }
        let (client, server) = (pair.client.isConnected, pair.server.isConnected)
        #expect(client && server, "seed \(seed)")
    }

    /// Hellos of many clients at one server: one handshake is all that they get.
    @Test func aFloodOfClientHellosMakesOneHandshake() throws {
        var pair = try LossyPair()
        var hellos: [[UInt8]] = []
        let certificate = try DTLSCertificate()
        for _ in 0..<50 {
            var client = try DTLSTransport(role: .client, certificate: certificate, expected: [])
            client.start(now: .zero)
            while let bytes = client.pollTransmit() { hellos.append(bytes) }
        }
        pair.server.start(now: pair.now)
        var sent = 0
        for round in 0..<2000 {
            pair.server.handle(datagram: hellos[round % hellos.count], now: pair.now)
            while let bytes = pair.server.pollTransmit() { sent += bytes.count }
        }
        #expect(sent > 0 && sent < 4000, "\(sent) bytes")
        #expect(pair.server.pollEvent() == nil)
    }

    /// A stranger's bytes in every phase of both roles: no trap, and where the session is up no harm.
    @Test(arguments: 0..<8) func garbageInEveryState(phase: Int) throws {
        var random = SeededGenerator(seed: UInt64(phase))
        let expected: [DTLSFingerprint]? = phase == 5 ? [] : nil
        var pair = try LossyPair(seed: 1, serverExpects: expected)
        let fingerprint = pair.client.localFingerprint
        func throwGarbage(_ pair: inout LossyPair) {
            for round in 0..<300 {
                var bytes = random.bytes(Int.random(in: 1...64, using: &random))
                bytes[0] = UInt8.random(in: 20...63, using: &random)
                // Every other one has a header that fits: version 1.2, an epoch, a length.
                if round.isMultiple(of: 2), bytes.count > 13 {
                    let body = bytes.count - 13
                    bytes.replaceSubrange(
                        1..<13, with: [254, 253, 0, UInt8(round / 2 % 2), 0, 0, 0, 0, 0, 0, 0, UInt8(body)])
                }
                pair.client.handle(datagram: bytes, now: pair.now)
                pair.server.handle(datagram: bytes, now: pair.now)
            }
            while pair.client.pollTransmit() != nil {}
            while pair.server.pollTransmit() != nil {}
        }
        if phase == 0 { throwGarbage(&pair) }
        pair.server.start(now: pair.now)
        pair.client.start(now: pair.now)
        if phase == 1 { throwGarbage(&pair) }
        while let bytes = pair.client.pollTransmit() { pair.server.handle(datagram: bytes, now: pair.now) }
        if phase == 2 { throwGarbage(&pair) }
        while let bytes = pair.server.pollTransmit() { pair.client.handle(datagram: bytes, now: pair.now) }
        if phase == 3 { throwGarbage(&pair) }
        pair.run()
        if phase == 4 || phase == 5 {
            throwGarbage(&pair)
            if phase == 5 {
                #expect(pair.server.isConnected == false)
                #expect(pair.server.pollReceived() == nil)
                pair.server.setExpected([fingerprint], now: pair.now)
            }
            pair.run()
            try pair.client.send([4])
            pair.run()
            #expect(pair.serverReceived == [[4]])
            #expect(pair.serverEvents == [.connected] && pair.clientEvents == [.connected])
        }
        if phase == 0 { #expect(pair.serverEvents == [.connected], "nothing is taken before the start") }
        if phase == 6 {
            pair.client.close()
            throwGarbage(&pair)
            #expect(pair.client.pollTransmit() == nil)
        }
        if phase == 7 {
            pair.run()
            pair.client.close()
            pair.run()
            throwGarbage(&pair)
            #expect(pair.serverEvents == [.connected, .closed])
        }
    }
}
