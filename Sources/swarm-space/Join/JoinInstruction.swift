import JSON
import SwarmBase
import SwarmEngine

/// What a program asks for: one JSON object.
enum JoinInstruction: Equatable {
    case send(String, to: PeerID, SendOptions)
    case broadcast(String)
    case put(soul: String, key: String, value: JSONValue)
    case watch(soul: String)
    case peers
    case block(PathKind, PeerID?)
    case unblock(PathKind, PeerID?)
    /// Sends a file as a byte stream, and takes those that come into a file.
    case stream(file: String, to: PeerID, name: String, MessagePriority)
    case accept(file: String, name: String)
    /// Asks a member to do something; takes what members ask for; answers it.
    case request(action: String, text: String, of: PeerID, timeout: Duration?)
    case handle(action: String)
    case respond(id: String, text: String)
    /// Admission.
    case kick(PeerID)
    case blockMember(PeerID)
    case unblockMember(PeerID)
    case leave

    /// How a message is to be sent.
    struct SendOptions: Equatable {
        var priority = MessagePriority.normal
        var isOrdered = true
        /// For how long it is of use.
        var lifetime: Duration?
    }

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
        case "send": self = .send(try fields.text("text"), to: try fields.peer("to"), try fields.sendOptions())
        case "broadcast": self = .broadcast(try fields.text("text"))
        case "put":
            guard let content = value["value"] else { throw fields.missing("value", "a JSON value") }
            self = .put(soul: try fields.text("soul"), key: try fields.text("key"), value: content)
        case "watch": self = .watch(soul: try fields.text("soul"))
        case "peers": self = .peers
        case "block": self = .block(try fields.path("path"), try fields.optionalPeer("peer"))
        case "unblock": self = .unblock(try fields.path("path"), try fields.optionalPeer("peer"))
        case "stream":
            self = .stream(
                file: try fields.text("file"), to: try fields.peer("to"), name: try fields.text("name"),
                try fields.sendOptions().priority)
        case "accept": self = .accept(file: try fields.text("file"), name: try fields.text("name"))
        case "request":
            self = .request(
                action: try fields.text("action"), text: try fields.text("text"), of: try fields.peer("to"),
                timeout: try fields.duration("timeout_ms"))
        case "handle": self = .handle(action: try fields.text("action"))
        case "respond": self = .respond(id: try fields.text("id"), text: try fields.text("text"))
        case "kick": self = .kick(try fields.peer("peer"))
        case "block_member": self = .blockMember(try fields.peer("peer"))
        case "unblock_member": self = .unblockMember(try fields.peer("peer"))
        case "leave": self = .leave
        default:
            throw Misunderstanding(
                message:
                    "no such command: use send, broadcast, put, watch, peers, stream, accept, request, handle, respond, block, unblock, kick, block_member, unblock_member or leave"
            )
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

        func sendOptions() throws(Misunderstanding) -> SendOptions {
            var options = SendOptions()
            if let word = value["priority"] {
                guard let priority = word.string.flatMap({ MessagePriority(rawValue: $0) }) else {
                    throw missing("priority", "\"low\", \"normal\", \"high\" or \"urgent\"")
                }
                options.priority = priority
            }
            if let word = value["ordered"] {
                guard case .bool(let isOrdered) = word else { throw missing("ordered", "true or false") }
                options.isOrdered = isOrdered
            }
            options.lifetime = try duration("deadline_ms")
            return options
        }

        /// A time in milliseconds, if there is one.
        func duration(_ key: String) throws(Misunderstanding) -> Duration? {
            guard let word = value[JSONText(key)] else { return nil }
            guard case .number(let milliseconds) = word, milliseconds >= 0, milliseconds < 1e12 else {
                throw missing(key, "a number of milliseconds from now")
            }
            return .milliseconds(Int64(milliseconds))
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
