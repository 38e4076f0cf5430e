import DHT
import SwarmBase

/// One KRPC message.
func fuzzKRPC(_ bytes: [UInt8]) throws {
    guard let message = try? KRPCMessage(decoding: bytes) else { return }
    let written = message.encoded
    let again = try KRPCMessage(decoding: written)
    try expect(again.transaction == message.transaction, "the same transaction")
    try expect(again.encoded == written, "written twice alike")
}

/// A node that searches and is asked. The script is what others send: answers to what was asked, queries, anything.
func fuzzDHTNode(_ bytes: [UInt8]) throws {
    var script = FuzzInput(bytes)
    var now = Instant(nanoseconds: 1_000_000_000)
    var configuration = DHTConfiguration()
    configuration.storage.infoHashes = 8
    configuration.storage.items = 8
    configuration.mostTransactions = 32
    configuration.isReachable = script.byte() & 1 == 0
    var node = DHTNode(configuration: configuration, entropy: .seed(9), saved: script.piece(), now: now)
    guard let target = NodeID(bytes: [UInt8](repeating: 0x61, count: 20)) else { return }
    node.addBootstrap(TransportAddress(.v4(0x0a00_0001), port: 6881), now: now)
    node.handleTimeout(now: now)
    var asked: [(transaction: [UInt8], by: TransportAddress)] = []
    for _ in 0..<64 {
        var count = 0
        while let transmit = node.pollTransmit() {
            count += 1
            guard let message = try? KRPCMessage(decoding: transmit.payload) else {
                throw FuzzFinding(description: "what a node sends cannot be read")
            }
            if case .query = message.body { asked.append((message.transaction, transmit.destination)) }
        }
        while node.pollEvent() != nil { count += 1 }
        try expect(count < 1_000, "one input causes few outputs")
        try expect(node.stored.infoHashes <= 8 && node.stored.items <= 8, "the stores stay in their bounds")
        if asked.count > 32 { asked.removeFirst(asked.count - 32) }
        guard !script.isAtEnd else { break }
        let source = TransportAddress(.v4(0x0a00_0000 | UInt32(script.choice(8))), port: 6881)
        switch script.choice(8) {
        case 0: node.handle(datagram: script.piece(), from: source, now: now)
        case 1, 2, 3:
            // An answer that finds its query, whatever it says.
            guard !asked.isEmpty, var message = try? KRPCMessage(decoding: script.piece()) else { break }
            let query = asked.remove(at: script.choice(asked.count))
            message.transaction = query.transaction
            node.handle(datagram: message.encoded, from: query.by, now: now)
        case 4:
            guard !asked.isEmpty else { break }
            var entropy = SeededGenerator(seed: UInt64(script.byte()))
            let query = asked.remove(at: script.choice(asked.count))
            var response = KRPCResponse(sender: .random(using: &entropy))
            response.hasNodes = true
            for _ in 0..<script.choice(9) {
                let address = TransportAddress(
                    .v4(0x0b00_0000 | UInt32(script.byte())), port: 1 + UInt16(script.byte()))
                response.nodes.append(NodeContact(id: .random(using: &entropy), address: address))
            }
            response.token = [1]
            let message = KRPCMessage(transaction: query.transaction, body: .response(response), observed: source)
            node.handle(datagram: message.encoded, from: query.by, now: now)
        case 5, 6:
            now += script.duration()
            node.handleTimeout(now: now)
        default:
            switch script.choice(4) {
            case 0: _ = node.findNode(target, now: now)
            case 1: _ = node.getPeers(target, announcing: 0, now: now)
            case 2: _ = node.getImmutable(target, now: now)
            default: _ = node.getMutable(key: [UInt8](repeating: 1, count: 32), now: now)
            }
        }
    }
    _ = DHTNode(configuration: configuration, entropy: .seed(9), saved: node.savedTable, now: now)
}
