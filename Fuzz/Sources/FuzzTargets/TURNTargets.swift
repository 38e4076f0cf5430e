import Crypto
import ICE
import SwarmBase

private let server = TransportAddress(.v4(0xc633_6407), port: 3478)
private let streamServer = TransportAddress(.v4(0xc633_6409), port: 443)
private let relayed = TransportAddress(.v4(0xc633_6408), port: 50_000)
private let user = TURNUser(1)

/// A client with a server over UDP and one over a connection. The script is what the servers say: answers to what was asked,
/// signed as they should be, and anything else.
func fuzzTURNClient(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    guard let credentials = TURNCredentials(username: "u", password: "p") else { return }
    let key = STUNIntegrityKey(Array(Insecure.MD5.hash(data: Array("u:r:p".utf8))))
    let newKey = STUNIntegrityKey(Array(SHA256.hash(data: Array("u:r:p".utf8))))
    var configuration = TURNClientConfiguration()
    configuration.maximumPeers = 8
    var client = TURNClient(configuration: configuration, entropy: .seed(4))
    var now = Instant(nanoseconds: 1_000_000_000)
    let families: TURNAddressFamilies = [.ipv4, .ipv6, .both][script.choice(3)]
    guard
        let datagrams = client.addServer(TURNServer(address: server, credentials: credentials, families: families)),
        let stream = client.addServer(
            TURNServer(address: streamServer, transport: .stream, credentials: credentials, families: families))
    else { return }
    client.retain(datagrams, by: user, now: now)
    client.retain(stream, by: user, now: now)
    client.streamOpened(stream, now: now)
    /// The last requests of each server that nobody has answered.
    var asked: [[UInt8]] = []
    var askedOverStream: [[UInt8]] = []
    /// Where the client sends its datagrams now: servers may have sent it elsewhere.
    var place = server
    for _ in 0..<64 {
        var count = 0
        while let transmit = client.pollTransmit() {
            count += 1
            place = transmit.destination
            if STUNMessage.messageClass(of: transmit.payload) == .request { asked.append(transmit.payload) }
        }
        while let (_, bytes) = client.pollStream() {
            count += 1
            if STUNMessage.messageClass(of: bytes) == .request { askedOverStream.append(bytes) }
        }
        while client.pollReceived() != nil { count += 1 }
        while let event = client.pollEvent() {
            count += 1
            if case .connect(let id, _) = event { client.streamOpened(id, now: now) }
        }
        try expect(count < 1_000, "one input causes few outputs")
        if asked.count > 16 { asked.removeFirst(asked.count - 16) }
        if askedOverStream.count > 16 { askedOverStream.removeFirst(askedOverStream.count - 16) }
        guard !script.isAtEnd else { break }
        let isStream = script.byte() & 1 == 1
        func deliver(_ frame: [UInt8]) {
            if isStream {
                client.handle(stream: frame, from: stream, now: now)
            } else {
                _ = client.handle(datagram: frame, from: place, now: now)
            }
        }
        switch script.choice(10) {
        case 0, 1: deliver(script.piece())
        case 2...5:
            guard let request = isStream ? askedOverStream.popLast() : asked.popLast(),
                let received = try? ReceivedSTUNMessage(parsing: request)
            else { break }
            let message = received.message
            let id = message.transactionID
            let answer: STUNMessage
            var signature: STUNIntegrityKey? = key
            switch script.choice(4) {
            case 0:
                let codes: [UInt16] = [401, 438, 300, 437, 486, 508, 403, 400]
                answer = STUNMessage(
                    .error, method: message.method, transactionID: id,
                    attributes: [
                        .errorCode(codes[script.choice(8)], reason: ""), .realm(Array("r".utf8)),
                        .nonce([script.byte()]),
                    ] + attributes(script.piece(), id))
                signature = nil
            case 1:
                answer = STUNMessage(
                    .success, method: message.method, transactionID: id,
                    attributes: [
                        .xorRelayedAddress(relayed), .xorMappedAddress(TransportAddress(.v4(1), port: 1)),
                        .lifetime(UInt32(script.byte()) * 10),
                    ])
            default:
                answer = STUNMessage(
                    script.choice(2) == 0 ? .success : .error, method: message.method, transactionID: id,
                    attributes: attributes(script.piece(), id))
            }
            if script.choice(8) == 7 {
                deliver(answer.encoded(key: newKey, integrity: .sha256))
            } else {
                deliver(answer.encoded(key: signature))
            }
        case 6:
            var random = SeededGenerator(seed: UInt64(script.byte()))
            let id = STUNTransactionID.random(using: &random)
            let method = STUNMethod(rawValue: script.choice(2) == 0 ? 7 : UInt16(script.byte()))
            deliver(
                STUNMessage(.indication, method: method, transactionID: id, attributes: attributes(script.piece(), id))
                    .encoded())
        case 7:
            let peer = TransportAddress(.v4(0x0a00_0000 | UInt32(script.byte() & 15)), port: 9)
            client.send(Transmit(to: peer, payload: script.piece(), via: relayed), for: user, now: now)
        case 8:
            now += script.duration()
            client.handleTimeout(now: now)
        default:
            switch script.choice(5) {
            case 0: client.streamClosed(stream, now: now)
            case 1: client.networkChanged(now: now)
            case 2: client.forget(user, now: now)
            case 3: client.release(datagrams, by: user, now: now)
            default:
                client.retain(datagrams, by: user, now: now)
                client.retain(stream, by: user, now: now)
            }
        }
    }
}
