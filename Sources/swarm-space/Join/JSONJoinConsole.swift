import JSON
import SwarmBase
import SwarmEngine
import SwarmSpace

/// One JSON object a line, both ways.
struct JSONJoinConsole: JoinConsole {
    let swarm: Swarm
    let output: ConsoleOutput
    private let exchanges: JSONExchanges

    init(swarm: Swarm, output: ConsoleOutput) {
        self.swarm = swarm
        self.output = output
        exchanges = JSONExchanges(swarm: swarm, output: output)
    }

    func begin() {
        write(["event": "joined", "self": .string("\(swarm.peerID)"), "infohash": .string("\(swarm.infoHash)")])
    }

    func report(_ event: SwarmEvent) { write(event.json) }

    func take(_ line: ConsoleInput.Line) async -> Bool {
        guard case .bytes(let bytes) = line else {
            complain("a line has \(JoinSession.maximumLineLength) bytes at most")
            return true
        }
        do {
            return try await perform(JoinInstruction(json: bytes))
        } catch let error as JoinInstruction.Misunderstanding {
            complain(error.message)
        } catch {
            complain("\(error)")
        }
        return true
    }

    /// A program that has nothing more to ask may still want to hear.
    func inputEnded() -> Bool { true }

    func stillTrying(_ reason: String) { complain("nothing can be reached yet: \(reason)") }

    func end() {}

    private func perform(_ instruction: JoinInstruction) async throws -> Bool {
        switch instruction {
        case .send(let text, let peer, let options):
            try await swarm.send(
                text, to: peer, priority: options.priority, ordered: options.isOrdered,
                deadline: options.lifetime.map { .now + $0 })
        case .broadcast(let text): try await swarm.broadcast(text)
        case .put(let soul, let key, let value): try await swarm.put(soul: soul, key: key, value: value)
        case .watch(let soul): try await swarm.watch(soul: soul)
        case .peers:
            let peers = await swarm.peers.map { peer -> JSONValue in
                ["peer": .string("\(peer.id)"), "name": .string(peer.name), "path": .string(peer.path.rawValue)]
            }
            write(["event": "peers", "peers": .array(peers)])
        case .block(let path, let peer): try await swarm.block(path, peer)
        case .unblock(let path, let peer): try await swarm.unblock(path, peer)
        case .stream(let file, let peer, let name, let priority):
            try await exchanges.send(file, to: peer, name: name, priority)
        case .accept(let file, let name): try await exchanges.accept(file, name: name)
        case .request(let action, let text, let peer, let timeout):
            exchanges.request(action, text, of: peer, timeout: timeout)
        case .handle(let action): try await exchanges.handle(action)
        case .respond(let id, let text): exchanges.respond(id, text)
        case .kick(let peer): try await swarm.kick(peer)
        case .blockMember(let peer): try await swarm.block(peer)
        case .unblockMember(let peer): try await swarm.unblock(peer)
        case .leave: return false
        }
        return true
    }

    private func complain(_ message: String) { write(["event": "error", "message": .string(message)]) }

    private func write(_ event: JSONValue) { output.line(event.serialized()) }
}

extension SwarmEvent {
    /// The event as the contract has it.
    var json: JSONValue {
        switch self {
        case .discovered(let peer, let plane):
            ["event": "discovered", "peer": .string("\(peer)"), "plane": .string(plane.rawValue)]
        case .peer(let peer, let name, let path):
            ["event": "peer", "peer": .string("\(peer)"), "name": .string(name), "path": .string(path.rawValue)]
        case .path(let peer, let path, let rtt):
            [
                "event": "path", "peer": .string("\(peer)"), "path": .string(path.rawValue),
                "rtt_ms": rtt.map { .number(($0.milliseconds * 1000).rounded() / 1000) } ?? .null,
            ]
        case .message(let peer, .text(let text), let path, let sequence):
            Self.message(peer, ("text", .string(text)), path, sequence)
        case .message(let peer, .binary(let bytes), let path, let sequence):
            Self.message(peer, ("binary", .string(bytes.base64URL)), path, sequence)
        case .delivered(let peer, let sequence):
            ["event": "delivered", "to": .string("\(peer)"), "seq": .number(Double(sequence))]
        case .stored(let peer, let sequence):
            ["event": "stored", "to": .string("\(peer)"), "seq": .number(Double(sequence))]
        case .away(let peer):
            ["event": "away", "peer": .string("\(peer)")]
        case .expired(let peer, let sequence):
            ["event": "expired", "to": .string("\(peer)"), "seq": .number(Double(sequence))]
        case .rejected(let peer, let sequence, let reason):
            [
                "event": "rejected", "to": .string("\(peer)"), "seq": .number(Double(sequence)),
                "reason": .string("\(reason)"),
            ]
        case .left(let peer):
            ["event": "left", "peer": .string("\(peer)")]
        case .state(let soul, let key, let value):
            ["event": "state", "soul": .string(soul), "key": .string(key), "value": value]
        case .warning(let message):
            ["event": "error", "message": .string(message)]
        }
    }

    private static func message(
        _ peer: PeerID, _ content: (JSONText, JSONValue), _ path: PathKind, _ sequence: UInt64
    ) -> JSONValue {
        .object([
            "event": "message", "from": .string("\(peer)"), content.0: content.1, "path": .string(path.rawValue),
            "seq": .number(Double(sequence)),
        ])
    }
}
