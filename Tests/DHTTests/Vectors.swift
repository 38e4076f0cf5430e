import DHT
import Foundation
import SwarmBase
import Testing

/// Recorded data: see each file's `about`.
enum Recorded {
    static func load(_ name: String) throws -> [String: Any] {
        let url = try #require(Bundle.module.url(forResource: "Resources/\(name)", withExtension: "json"))
        return try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    }

    /// A field of hexadecimal digits.
    static func bytes(_ object: [String: Any], _ key: String) throws -> [UInt8] {
        try #require((object[key] as? String).flatMap { [UInt8](hexadecimal: $0) }, "\(key)")
    }

    /// Every datagram of a recording: who sent it, and its bytes.
    static func datagrams(_ log: Any?) throws -> [(isAnswer: Bool, bytes: [UInt8])] {
        try (log as? [[String: Any]] ?? []).map { ($0["d"] as? String == "in", try bytes($0, "hex")) }
    }
}

/// One node, and strangers that ask it.
struct Conversation {
    var node: DHTNode
    var now = Instant.zero

    init(configuration: DHTConfiguration = .reachable, seed: UInt64 = 1) {
        node = DHTNode(configuration: configuration, entropy: .seed(seed), now: now)
    }

    /// Sends a datagram and gives what comes back to the sender.
    mutating func exchange(_ datagram: [UInt8], from source: TransportAddress) -> [[UInt8]] {
        node.handle(datagram: datagram, from: source, now: now)
        var answers: [[UInt8]] = []
        while let transmit = node.pollTransmit() {
            // The node pings who asks: that is no answer.
            guard transmit.destination == source,
                let message = try? KRPCMessage(decoding: transmit.payload)
            else { continue }
            if case .query = message.body { continue }
            answers.append(transmit.payload)
        }
        return answers
    }

    mutating func ask(_ method: KRPCQuery.Method, from source: TransportAddress = .stranger(1)) throws -> KRPCMessage {
        var entropy = Entropy.seed(UInt64(source.port))
        let query = KRPCMessage(
            transaction: [1, 2], body: .query(KRPCQuery(sender: .random(using: &entropy), method: method)))
        let answer = try #require(exchange(query.encoded, from: source).first)
        return try KRPCMessage(decoding: answer)
    }

    mutating func response(_ method: KRPCQuery.Method, from source: TransportAddress = .stranger(1)) throws
        -> KRPCResponse
    {
        let body = try ask(method, from: source).body
        guard case .response(let response) = body else {
            Issue.record("\(body)")
            throw KRPCRefusal.noise
        }
        return response
    }

    mutating func error(_ method: KRPCQuery.Method, from source: TransportAddress = .stranger(1)) throws -> Int64 {
        let body = try ask(method, from: source).body
        guard case .error(let error) = body else {
            Issue.record("\(body)")
            throw KRPCRefusal.noise
        }
        return error.code
    }
}

extension DHTConfiguration {
    static var reachable: DHTConfiguration {
        var configuration = DHTConfiguration()
        configuration.isReachable = true
        return configuration
    }
}

extension TransportAddress {
    /// A public address, another network for each number.
    static func stranger(_ number: UInt32) -> TransportAddress {
        TransportAddress(.v4(0x2d00_0001 + number << 8), port: UInt16(10_000 + number % 50_000))
    }
}
