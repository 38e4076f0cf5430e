import SwarmBase
import Testing

@testable import DTLS

@Suite struct EndAndGarbageTests {
    @Test func closeNotifyReachesThePeerAfterTheData() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        try pair.client.send([1])
        pair.client.close()
        pair.run()
        #expect(pair.serverReceived == [[1]])
        #expect(pair.serverEvents == [.connected, .closed])
        #expect(pair.clientEvents == [.connected])
        #expect(throws: DTLSError.closed) { try pair.client.send([1]) }
        #expect(throws: DTLSError.closed) { try pair.server.send([1]) }
        #expect(pair.client.nextTimeout == nil)
    }

    @Test func closeDuringTheHandshakeIsSilent() throws {
        var pair = try LossyPair()
        pair.start()
        pair.client.close()
        #expect(pair.client.pollTransmit() == nil)
        #expect(pair.client.nextTimeout == nil)
        #expect(pair.client.isOver == true)
    }

    @Test func garbageDoesNotHurtAnEstablishedSession() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        var generator = SeededGenerator(seed: 7)
        let hello = pair.datagrams[0]
        for round in 0..<3000 {
            var bytes: [UInt8]
            switch round % 4 {
            case 0:
                bytes = generator.bytes(Int.random(in: 1...200, using: &generator))
                bytes[0] = UInt8.random(in: 20...63, using: &generator)
            case 1:
                bytes = pair.datagrams[Int.random(in: 0..<pair.datagrams.count, using: &generator)]
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^= UInt8.random(
                    in: 1...255, using: &generator)
            case 2:
                // A fatal alert in epoch 0, unprotected.
                bytes = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, UInt8(round & 0xff), 0, 2, 2, 40]
            default:
                bytes = hello
            }
            if round.isMultiple(of: 2) {
                pair.client.handle(datagram: bytes, now: pair.now)
            } else {
                pair.server.handle(datagram: bytes, now: pair.now)
            }
        }
        while pair.client.pollTransmit() != nil {}
        while pair.server.pollTransmit() != nil {}
        try pair.client.send([1, 2])
        try pair.server.send([3, 4])
        pair.run()
        #expect(pair.serverReceived == [[1, 2]])
        #expect(pair.clientReceived == [[3, 4]])
        #expect(pair.clientEvents == [.connected])
        #expect(pair.serverEvents == [.connected])
    }

    /// Shorter than what protection adds: nobody sealed it, and it harms nothing, alone or behind a record that counts.
    @Test func recordsTooShortToBeSealedAreDropped() throws {
        var pair = try LossyPair()
        pair.start()
        pair.run()
        for type in UInt8(20)...24 {
            for length in UInt8(0)...24 {
                let record =
                    [type, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 1, type, 0, length] + [UInt8](repeating: 7, count: Int(length))
                pair.server.handle(datagram: record, now: pair.now)
                pair.client.handle(datagram: record, now: pair.now)
                let sealed = try pair.client.seal([type, length])
                pair.server.handle(datagram: sealed + record, now: pair.now)
            }
        }
        pair.run()
        #expect(pair.serverReceived.count == 5 * 25 && pair.clientReceived.isEmpty)
        #expect(pair.clientEvents == [.connected] && pair.serverEvents == [.connected])
    }

    @Test func layoutOfRecords() {
        func record(epoch: UInt8, _ length: Int) -> [UInt8] {
            [23, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, UInt8(length >> 8), UInt8(length & 255)]
                + [UInt8](repeating: 0, count: length)
        }
        func plausible(_ bytes: [UInt8], _ overhead: Int = RecordLayout.galoisOverhead) -> Int {
            RecordLayout.plausibleLength(of: bytes) { overhead }
        }
        #expect(plausible(record(epoch: 1, 24)) == 37 && plausible(record(epoch: 1, 23)) == 0)
        #expect(plausible(record(epoch: 1, 23), 16) == 36 && plausible(record(epoch: 1, 15), 16) == 0)
        #expect(plausible(record(epoch: 0, 2)) == 15)
        #expect(plausible(record(epoch: 0, 300) + record(epoch: 1, 5)) == 313)
        // What is cut off, and what is no header, is for others to drop.
        #expect(plausible(Array(record(epoch: 1, 40).dropLast(30))) == 23)
        #expect(plausible([22, 1]) == 2 && plausible([]) == 0)
    }

    @Test(arguments: 1...60) func mutatedHandshakeNeverTraps(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var pair = try LossyPair(seed: seed)
        pair.server.start(now: pair.now)
        pair.client.start(now: pair.now)
        var queued = 0
        for _ in 0..<40 {
            while var bytes = pair.client.pollTransmit() {
                if Bool.random(using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
                        in: 0...255, using: &generator)
                }
                pair.server.handle(datagram: bytes, now: pair.now)
                queued += 1
            }
            while var bytes = pair.server.pollTransmit() {
                if Bool.random(using: &generator) {
                    bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
                }
                pair.client.handle(datagram: bytes, now: pair.now)
                queued += 1
            }
        }
        #expect(queued < 200, "seed \(seed)")
    }

    @Test func randomBytesBeforeTheHandshake() throws {
        let certificate = try DTLSCertificate()
        var server = try DTLSTransport(role: .server, certificate: certificate, expected: [])
        server.handle(datagram: [22, 1, 2], now: .zero)
        server.start(now: .zero)
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<2000 {
            var bytes = generator.bytes(Int.random(in: 0...1500, using: &generator))
            if !bytes.isEmpty { bytes[0] = UInt8.random(in: 20...63, using: &generator) }
            server.handle(datagram: bytes, now: .zero)
        }
        var sent = 0
        while server.pollTransmit() != nil { sent += 1 }
        #expect(sent <= 1)
        #expect(server.pollReceived() == nil)
    }

    @Test func queuesAreBounded() throws {
        var configuration = DTLSConfiguration()
        configuration.maximumQueuedDatagrams = 10
        configuration.maximumReceivedRecords = 5
        var pair = try LossyPair(configuration: configuration)
        pair.start()
        pair.run()
        for _ in 0..<20 { try pair.client.send([9]) }
        var sealed: [[UInt8]] = []
        while let bytes = pair.client.pollTransmit() { sealed.append(bytes) }
        #expect(sealed.count == 10)
        for bytes in sealed { pair.server.handle(datagram: bytes, now: pair.now) }
        var received = 0
        while pair.server.pollReceived() != nil { received += 1 }
        #expect(received == 5)
    }

    @Test func realTimeRetransmissionOfALostFlight() async throws {
        // The only test on the real clock: the first hello is lost.
        let one = try DTLSCertificate()
        let two = try DTLSCertificate()
        var configuration = DTLSConfiguration()
        configuration.initialRetransmission = .milliseconds(100)
        var client = try DTLSTransport(
            role: .client, certificate: one, expected: [two.fingerprint], configuration: configuration)
        let clock = ContinuousClock()
        let origin = clock.now
        func now() -> Instant { .zero + (clock.now - origin) }
        client.start(now: now())
        #expect(client.pollTransmit() != nil)
        var retransmitted = false
        while !retransmitted, now() < .zero + .seconds(20) {
            let wait = client.nextTimeout.map { $0 - now() } ?? .zero
            if wait > .zero { try await clock.sleep(for: wait) }
            client.handleTimeout(now: now())
            retransmitted = client.pollTransmit() != nil
        }
        #expect(retransmitted)
        #expect(now() >= .zero + .milliseconds(80))
    }
}
