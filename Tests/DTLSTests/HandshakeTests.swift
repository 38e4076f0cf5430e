import SwarmBase
import Testing

@testable import DTLS

@Suite struct HandshakeTests {
    @Test func connectsAndPassesRecordsBothWays() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        #expect(pair.clientEvents == [.connected])
        #expect(pair.serverEvents == [.connected])
        for size in [1, 2, 100, 1188, 1500, 8912, 8960] {
            try pair.client.send([UInt8](repeating: 7, count: size))
            try pair.server.send([UInt8](repeating: 8, count: size))
        }
        pair.run()
        #expect(pair.serverReceived.map(\.count) == [1, 2, 100, 1188, 1500, 8912, 8960])
        #expect(pair.clientReceived.map(\.count) == [1, 2, 100, 1188, 1500, 8912, 8960])
        #expect(pair.serverReceived.allSatisfy { $0.allSatisfy { $0 == 7 } })
    }

    @Test func recordCarriesOverheadOf37Bytes() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        try pair.client.send([UInt8](repeating: 1, count: 1188))
        let sealed = pair.client.pollTransmit()
        #expect(sealed?.count == 1225)
    }

    @Test func handshakeRespectsTheMTU() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        #expect(pair.datagrams.allSatisfy { $0.count <= 1200 })
        #expect(pair.datagrams.allSatisfy { (20...63).contains($0[0]) })
    }

    @Test func negotiatesAnSRTPProfile() throws {
        // Some peers end a session that has none, although only data channels are wanted (RFC 5764 §4.1.1).
        var pair = try LossyPair()
        pair.start()
        pair.run()
        let offered: [UInt8] = [0, 14, 0, 7, 0, 4, 0, 7, 0, 1, 0]
        let chosen: [UInt8] = [0, 14, 0, 5, 0, 2, 0, 7, 0]
        #expect(pair.datagrams[0].firstRange(of: offered) != nil)
        #expect(pair.datagrams[1].firstRange(of: chosen) != nil)
    }

    @Test func refusesLengthsOutsideTheBounds() throws {
        var pair = try LossyPair()
        #expect(throws: DTLSError.notConnected) { try pair.client.send([1]) }
        pair.start()
        pair.run()
        #expect(throws: DTLSError.invalidRecordLength(0)) { try pair.client.send([]) }
        #expect(throws: DTLSError.invalidRecordLength(8961)) {
            try pair.client.send([UInt8](repeating: 0, count: 8961))
        }
        #expect(pair.client.isConnected == true)
    }

    @Test(arguments: 1...40) func survivesLossDuplicationAndReordering(seed: UInt64) throws {
        var pair = try LossyPair(seed: seed)
        pair.loss = 20
        pair.duplication = 15
        pair.reordering = 30
        pair.start()
        pair.run(for: .seconds(120))
        #expect(pair.clientEvents == [.connected], "seed \(seed)")
        #expect(pair.serverEvents == [.connected], "seed \(seed)")
    }

    @Test func retransmitsSoonAndBacksOff() throws {
        var pair = try LossyPair()
        pair.loss = 100
        pair.start()
        var waits: [Duration] = []
        for _ in 0..<7 {
            guard let next = pair.client.nextTimeout else { break }
            waits.append(next - pair.now)
            pair.run(for: next - pair.now)
        }
        #expect(waits.map { Int($0.milliseconds.rounded()) } == [150, 300, 600, 1200, 2400, 4800, 5000])
    }

    @Test func givesUpWhenNobodyAnswers() throws {
        var pair = try LossyPair()
        pair.loss = 100
        pair.start()
        pair.run(for: .seconds(120))
        #expect(pair.clientEvents == [.failed(.timedOut)])
        #expect(pair.client.nextTimeout == nil)
        // The server heard nothing, so it waits without a timer.
        #expect(pair.serverEvents.isEmpty)
    }

    @Test func lostLastFlightIsRepeated() throws {
        var pair = try LossyPair()
        pair.server.start(now: pair.now)
        pair.client.start(now: pair.now)
        // Carry everything by hand; drop the server's last flight once.
        for _ in 0..<4 {
            while let bytes = pair.client.pollTransmit() { pair.server.handle(datagram: bytes, now: pair.now) }
            if pair.server.isConnected { break }
            while let bytes = pair.server.pollTransmit() { pair.client.handle(datagram: bytes, now: pair.now) }
        }
        let serverIsUp = pair.server.isConnected
        #expect(serverIsUp)
        while pair.server.pollTransmit() != nil {}
        #expect(pair.client.isConnected == false)
        pair.run()
        #expect(pair.clientEvents == [.connected])
    }

    @Test func fragmentedClientHelloInAnyOrder() throws {
        // The client splits its hello at 256 bytes; the server gets the pieces backwards.
        var small = DTLSConfiguration()
        small.maximumTransmissionUnit = 256
        let one = try DTLSCertificate()
        let two = try DTLSCertificate()
        var client = try DTLSTransport(
            role: .client, certificate: one, expected: [two.fingerprint], configuration: small)
        var server = try DTLSTransport(role: .server, certificate: two, expected: [one.fingerprint])
        server.start(now: .zero)
        client.start(now: .zero)
        var pieces: [[UInt8]] = []
        while let piece = client.pollTransmit() { pieces.append(contentsOf: splitHello(piece, at: 60)) }
        #expect(pieces.count > 2)
        for piece in pieces.reversed() { server.handle(datagram: piece, now: .zero) }
        for _ in 0..<6 {
            while let bytes = server.pollTransmit() { client.handle(datagram: bytes, now: .zero) }
            while let bytes = client.pollTransmit() { server.handle(datagram: bytes, now: .zero) }
        }
        let clientIsUp = client.isConnected
        let serverIsUp = server.isConnected
        #expect(clientIsUp && serverIsUp)
    }

    /// Cuts one handshake record (RFC 6347 §4.2.2) into records of fragments of at most `size` bytes.
    private func splitHello(_ record: [UInt8], at size: Int) -> [[UInt8]] {
        let header = Array(record[0..<13])
        let message = Array(record[13...])
        let offset = Int(message[6]) << 16 | Int(message[7]) << 8 | Int(message[8])
        let body = Array(message[12...])
        var result: [[UInt8]] = []
        for (number, start) in stride(from: 0, to: body.count, by: size).enumerated() {
            let part = body[start..<min(start + size, body.count)]
            var fragment = header
            // A sequence number of its own, ahead of the client's next ones but inside the replay window.
            fragment[10] = 40 + UInt8(number)
            let length = part.count + 12
            fragment[11] = UInt8(length >> 8)
            fragment[12] = UInt8(length & 0xff)
            fragment += message[0..<6]
            let at = offset + start
            fragment += [UInt8(at >> 16), UInt8(at >> 8 & 0xff), UInt8(at & 0xff)]
            fragment += [0, UInt8(part.count >> 8), UInt8(part.count & 0xff)]
            fragment += part
            result.append(fragment)
        }
        return result
    }
}
