import ICE
import SwarmBase

private let key = STUNIntegrityKey(password: "guessed guessed guessed")
private let password = "thePasswordOfThePeer0123"
private let source = TransportAddress(.v4(0xc000_0207), port: 50_000)

/// One datagram, to everything that looks at STUN before it knows whose it is.
func fuzzSTUN(_ datagram: [UInt8]) throws {
    let isSTUN = STUNMessage.isSTUN(datagram)
    try expect((STUNMessage.messageClass(of: datagram) != nil) == isSTUN, "the class of what is STUN")
    try expect((STUNMessage.transactionID(of: datagram) != nil) == isSTUN, "the transaction of what is STUN")
    if let range = STUNMessage.localUfragRange(of: datagram) {
        try expect(range.lowerBound >= 24 && range.upperBound < datagram.count, "the ufrag is inside")
    }
    if let answer = STUNBindingServer.respond(to: datagram, from: source) {
        try expect(answer.count <= datagram.count + 28, "the server is no amplifier")
        try expect((try? ReceivedSTUNMessage(parsing: answer)) != nil, "the server's answer can be read")
    }
    var client = STUNBindingClient(entropy: .seed(1))
    client.addServer(source, now: .zero)
    if let request = client.pollTransmit()?.payload {
        // The answer that a server would give, but for what the input says.
        var answer = datagram
        if answer.count >= 20 { answer.replaceSubrange(8..<20, with: request[8..<20]) }
        client.handle(stun: answer, from: source, now: .zero)
        while client.pollEvent() != nil {}
    }
    guard let received = try? ReceivedSTUNMessage(parsing: datagram) else { return }
    try expect(isSTUN, "what can be read is STUN")
    try expect(!received.isAuthentic(key: key) && !received.isAuthentic(key: key, .sha256), "nobody knows the key")
    let written = received.message.encoded(key: key)
    let again = try ReceivedSTUNMessage(parsing: written)
    try expect(again.isAuthentic(key: key) && again.hasFingerprint, "what we sign is authentic")
    try expect(again.message.encoded(key: key) == written, "a message survives being written")
}

/// Attributes of an input, as STUN has them: for messages that get a header, a transaction and a signature of the target's.
func attributes(_ bytes: [UInt8], _ id: STUNTransactionID) -> [STUNAttribute] {
    var padded = bytes.prefix(0x8000 - bytes.count % 4)
    padded.removeLast(padded.count % 4)
    var header = STUNMessage(.request, transactionID: id).encoded(fingerprint: false)
    header[2] = UInt8(truncatingIfNeeded: padded.count >> 8)
    header[3] = UInt8(truncatingIfNeeded: padded.count)
    return (try? ReceivedSTUNMessage(parsing: header + padded))?.message.attributes ?? []
}

/// An agent with a peer: what comes is signed as the peer would, answers requests that were made, or is anything.
func fuzzICEAgent(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var now = Instant(nanoseconds: 1_000_000_000)
    var configuration = ICEConfiguration()
    configuration.maximumPairs = 16
    var agent = ICEAgent(
        configuration: configuration, role: script.byte() & 1 == 0 ? .controlling : .controlled, entropy: .seed(7),
        now: now)
    var random = SeededGenerator(seed: 3)
    guard let remote = ICECredentials(ufrag: "peer", password: password) else {
        throw FuzzFinding(description: "no credentials")
    }
    agent.addLocalCandidate(.host(TransportAddress(.v4(0x0a00_0001), port: 4000)))
    agent.addLocalCandidate(.host(TransportAddress(.v6(0x2001_0db8_0000_0000, 1), port: 4000), rank: 1))
    agent.setRemote(credentials: remote, isLite: false, now: now)
    var requests: [Transmit] = []
    func drain() throws {
        var count = 0
        while let transmit = agent.pollTransmit() {
            count += 1
            if STUNMessage.messageClass(of: transmit.payload) == .request { requests.append(transmit) }
        }
        if requests.count > 16 { requests.removeFirst(requests.count - 16) }
        while agent.pollEvent() != nil { count += 1 }
        try expect(count < 400, "one input causes few outputs")
    }
    for _ in 0..<64 where !script.isAtEnd {
        let from = TransportAddress(.v4(0xc000_0200 | UInt32(script.choice(4))), port: 1 + UInt16(script.choice(4)))
        switch script.choice(8) {
        case 0: agent.handle(stun: script.piece(), from: from, now: now)
        case 1, 2:
            let id = STUNTransactionID.random(using: &random)
            let request = STUNMessage(
                .request, transactionID: id,
                attributes: [.username(Array("\(agent.localCredentials.ufrag):peer".utf8))]
                    + attributes(script.piece(), id))
            let signature = STUNIntegrityKey(password: agent.localCredentials.password)
            agent.handle(stun: request.encoded(key: signature), from: from, now: now)
        case 3, 4:
            guard !requests.isEmpty else { break }
            let request = requests.remove(at: script.choice(requests.count))
            guard let id = STUNMessage.transactionID(of: request.payload) else { break }
            let isError = script.choice(4) == 0
            var answers = attributes(script.piece(), id)
            if answers.isEmpty { answers = [isError ? .errorCode(487, reason: "") : .xorMappedAddress(from)] }
            let answer = STUNMessage(isError ? .error : .success, transactionID: id, attributes: answers)
            let signature = STUNIntegrityKey(password: password)
            agent.handle(
                stun: answer.encoded(key: signature), from: script.choice(4) == 0 ? from : request.destination, now: now
            )
        case 5:
            if let candidate = Candidate(sdp: String(decoding: script.piece(), as: UTF8.self)) {
                agent.addRemoteCandidate(candidate, now: now)
            } else {
                agent.addRemoteCandidate(.host(from), now: now)
            }
        case 6:
            now += script.duration()
            agent.handleTimeout(now: now)
        default:
            switch script.choice(4) {
            case 0: agent.restart(now: now)
            case 1: agent.networkChanged(now: now)
            case 2: agent.endOfRemoteCandidates(now: now)
            default: agent.setRemote(credentials: remote, isLite: script.choice(2) == 0, now: now)
            }
        }
        try drain()
    }
}
