import CVirtualClock
import DTLS
import SwarmBase

/// Made once: two self-signed certificates.
private let certificates = try? (DTLSCertificate(), DTLSCertificate())

/// Two ends of a session. The script says what becomes of their datagrams; what arrives as a record was sent as one.
func fuzzDTLS(_ bytes: [UInt8]) throws {
    guard let (one, two) = certificates else { throw FuzzFinding(description: "no certificates") }
    var script = FuzzInput(bytes)
    let options = script.byte()
    var configuration = DTLSConfiguration()
    configuration.maximumTransmissionUnit = options & 1 == 0 ? 1200 : 320
    configuration.maximumReceivedRecords = 16
    configuration.maximumQueuedDatagrams = 32
    var client = try DTLSTransport(
        role: .client, certificate: one, expected: options & 2 == 0 ? [two.fingerprint] : [],
        configuration: configuration)
    var server = try DTLSTransport(
        role: .server, certificate: two, expected: options & 4 == 0 ? [one.fingerprint] : [],
        configuration: configuration)
    var now = Instant(nanoseconds: 0)
    let epoch: Int64 = 1_700_000_000_000_000
    swarm_virtual_clock_set(epoch)
    defer { swarm_virtual_clock_set(-1) }
    var toClient: [[UInt8]] = []
    var toServer: [[UInt8]] = []
    var sent: Set<[UInt8]> = []
    server.start(now: now)
    client.start(now: now)
    for _ in 0..<64 {
        while let datagram = client.pollTransmit() { if toServer.count < 64 { toServer.append(datagram) } }
        while let datagram = server.pollTransmit() { if toClient.count < 64 { toClient.append(datagram) } }
        while let record = client.pollReceived() { try expect(sent.contains(record), "the client got what was sent") }
        while let record = server.pollReceived() { try expect(sent.contains(record), "the server got what was sent") }
        while client.pollEvent() != nil {}
        while server.pollEvent() != nil {}
        guard !script.isAtEnd else { break }
        let isForClient = script.byte() & 1 == 0
        func deliver(_ datagram: [UInt8]) {
            if isForClient {
                client.handle(datagram: datagram, now: now)
            } else {
                server.handle(datagram: datagram, now: now)
            }
        }
        func next() -> [UInt8]? {
            if isForClient { return toClient.isEmpty ? nil : toClient.removeFirst() }
            return toServer.isEmpty ? nil : toServer.removeFirst()
        }
        switch script.choice(12) {
        case 0, 1:
            // Everything arrives, in both directions.
            for datagram in toServer { server.handle(datagram: datagram, now: now) }
            for datagram in toClient { client.handle(datagram: datagram, now: now) }
            toServer = []
            toClient = []
        case 2, 3:
            guard var datagram = next(), !datagram.isEmpty else { break }
            for _ in 0..<1 + script.choice(4) { datagram[Int(script.word()) % datagram.count] = script.byte() }
            deliver(datagram)
        case 4:
            guard let datagram = next() else { break }
            deliver(Array(datagram.prefix(Int(script.word()) % (datagram.count + 1))))
        case 5:
            guard let datagram = next() else { break }
            if script.choice(2) == 0, let second = next() {
                deliver(datagram + second)
            } else {
                for _ in 0..<script.choice(3) { deliver(datagram) }
            }
        case 6, 7: deliver(script.piece())
        case 8:
            // A record of the handshake with the header that the place it stands at asks for.
            let body = script.piece()
            let type = 20 + script.byte() % 6
            let head: [UInt8] = [
                type, 0xfe, script.choice(2) == 0 ? 0xfd : 0xff, 0, script.byte() & 1, 0, 0, 0, 0, 0, script.byte(),
            ]
            deliver(head + [UInt8(truncatingIfNeeded: body.count >> 8), UInt8(truncatingIfNeeded: body.count)] + body)
        case 9:
            now += script.duration()
            swarm_virtual_clock_set(epoch + now.nanoseconds / 1000)
            client.handleTimeout(now: now)
            server.handleTimeout(now: now)
        case 10:
            let record = Array(script.piece().prefix(DTLSTransport.maximumRecordLength))
            sent.insert(record)
            if isForClient { try? server.send(record) } else { try? client.send(record) }
        default:
            switch script.choice(4) {
            case 0: if isForClient { server.close() } else { client.close() }
            case 1: client.setExpected([two.fingerprint], now: now)
            case 2: server.setExpected([one.fingerprint], now: now)
            default: server.setExpected([two.fingerprint], now: now)
            }
        }
    }
}
