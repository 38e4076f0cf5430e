import JSON
import SwarmBase
import SwarmEngine

/// What a program asks for: one JSON object.
enum JoinInstruction: Equatable {
    case send(String, to: PeerID)
    case broadcast(String)
    case put(soul: String, key: String, value: JSONValue)
    case watch(soul: String)
    case peers
    case block(PathKind, PeerID?)
    case unblock(PathKind, PeerID?)
    case leave

    /// What is wrong with a line of input.
    struct Misunderstanding: Error, Equatable {
        var message: String
    }

    /// Reads `{"cmd":…}`.
    init(json bytes: [UInt8]) throws(Misunderstanding) {
        let limits = JSONLimits(depth: 8, bytes: JoinSession.maximumLineLength, elements: 1000)
        let value: JSONValue
        do { value = try JSONValue(parsing: bytes, limits: limits) } catch {
            throw Misunderstanding(message: "this line is not JSON: give one object, such as {\"cmd\":\"peers\"}")
        }
        guard value.object != nil, let command = value["cmd"]?.string else {
            throw Misunderstanding(message: "no \"cmd\": give one object, such as {\"cmd\":\"peers\"}")
        }
        let fields = Fields(command: command, value: value)
        switch command {
        case "send": self = .send(try fields.text("text"), to: try fields.peer("to"))
        case "broadcast": self = .broadcast(try fields.text("text"))
        case "put":
            guard let content = value["value"] else { throw fields.missing("value", "a JSON value") }
            self = .put(soul: try fields.text("soul"), key: try fields.text("key"), value: content)
        case "watch": self = .watch(soul: try fields.text("soul"))
        case "peers": self = .peers
        case "block": self = .block(try fields.path("path"), try fields.optionalPeer("peer"))
        case "unblock": self = .unblock(try fields.path("path"), try fields.optionalPeer("peer"))
        case "leave": self = .leave
        default:
            throw Misunderstanding(
                message: "no such command: use send, broadcast, put, watch, peers, block, unblock or leave")
        }
    }

    private struct Fields {
        let command: String
        let value: JSONValue

        func missing(_ key: String, _ what: String) -> Misunderstanding {
            Misunderstanding(message: "\(command): \"\(key)\" has to be \(what)")
        }

        func text(_ key: String) throws(Misunderstanding) -> String {
            guard let text = value[JSONText(key)]?.string else { throw missing(key, "a text") }
            return text
        }

        func peer(_ key: String) throws(Misunderstanding) -> PeerID {
            guard let peer = PeerID(try text(key)) else { throw missing(key, "the id of a member") }
            return peer
        }

        func optionalPeer(_ key: String) throws(Misunderstanding) -> PeerID? {
            value[JSONText(key)] == nil ? nil : try peer(key)
        }

        func path(_ key: String) throws(Misunderstanding) -> PathKind {
            guard let path = PathKind(rawValue: try text(key)) else {
                throw missing(key, "\"direct\", \"turn\" or \"relay\"")
            }
            return path
        }
    }
}
