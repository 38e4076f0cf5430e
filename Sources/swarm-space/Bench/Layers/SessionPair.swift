import DTLS
import SwarmBase

/// Two DTLS sessions back to back, in memory.
struct SessionPair: ~Copyable {
    private var client: DTLSTransport
    private var server: DTLSTransport

    private init(client: consuming DTLSTransport, server: consuming DTLSTransport) {
        self.client = client
        self.server = server
    }

    /// Two sessions that have shaken hands.
    static func make() throws -> SessionPair {
        let (ours, theirs) = (try DTLSCertificate(), try DTLSCertificate())
        let client = try DTLSTransport(role: .client, certificate: ours, expected: [theirs.fingerprint])
        let server = try DTLSTransport(role: .server, certificate: theirs, expected: [ours.fingerprint])
        var pair = SessionPair(client: client, server: server)
        pair.server.start(now: .zero)
        pair.client.start(now: .zero)
        while pair.exchange() > 0 {}
        return pair
    }

    /// Seals and opens records of one size.
    mutating func transfer(records: Int, size: Int) throws -> LayerCost {
        let record = [UInt8](repeating: 0x5a, count: size)
        let start = ThreadTime.now
        var bytes = 0
        for _ in 0..<records {
            try client.send(record)
            bytes += exchange()
        }
        return LayerCost(name: "DTLS", packets: records, bytes: bytes, nanoseconds: ThreadTime.now - start)
    }

    /// - Returns: how many bytes of records, or datagrams of the handshake, moved.
    private mutating func exchange() -> Int {
        var moved = 0
        while let datagram = client.pollTransmit() {
            moved += server.handle(datagram: datagram, now: .zero) ? 0 : 1
        }
        while let record = server.pollReceived() { moved += record.count }
        while let datagram = server.pollTransmit() {
            moved += 1
            client.handle(datagram: datagram, now: .zero)
        }
        return moved
    }
}
