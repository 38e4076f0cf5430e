public import JSON

/// One message between peers, validated. What does not belong on the wire is dropped when it is read.
public struct GunMessage: Equatable, Sendable {
    /// What the member `put` held.
    public enum Put: Equatable, Sendable {
        case graph(GunGraph)
        /// A graph with a fault: none of it counts.
        case malformed(GraphFault)
    }

    /// `#`: the id; missing in messages from sloppy peers.
    public var id: MessageID?
    /// `@`: the id of the message that this one answers.
    public var answered: MessageID?
    /// `get`: a query.
    public var get: GunQuery?
    /// `put`: data.
    public var put: Put?
    /// `##`: the content hash of `put`, or of what the asker has already.
    public var hash: Int32?
    /// `ok`: the result of a put, a wish for acknowledgements in one, or an application's data in an answer.
    public var ok: JSONValue?
    /// `err`: why a put was refused.
    public var err: JSONText?
    /// `%`: more of this answer follows.
    public var hasMore = false
    /// The id of the next part, when `%` names it.
    public var nextPart: MessageID?
    /// `dam`: a control verb.
    public var dam: JSONText?
    /// `pid`: the sender's name for itself in a handshake.
    public var pid: JSONText?
    /// `><`: the names of peers that have the message already, the first eight.
    public var heard: [JSONText] = []
    /// `hops`: through how many relays of ours the message has come, 0 when it is not said. A member of our own; others
    /// pass over it.
    public var hops = 0
    /// The whole of an application's message: one that neither asks, writes, answers nor controls (gun.md §5).
    public var application: JSONObject?

    public init(id: MessageID?) { self.id = id }

    /// Reads one message.
    ///
    /// - Returns: `nil` when it is not an object, or when an id or the verb is not a text of acceptable length.
    init?(_ json: JSONValue, limits: GunLimits) {
        guard let object = json.object else { return nil }
        switch object["#"] {
        case nil: id = nil
        case .text(let text) where (1...max(limits.messageIDBytes, 1)).contains(text.byteCount): id = MessageID(text)
        default: return nil
        }
        switch object["@"] {
        case nil: answered = nil
        case .text(let text) where text.byteCount <= limits.messageIDBytes: answered = MessageID(text)
        case .number(let number): answered = MessageID(JSONText(javaScriptNumber(number)))
        default: return nil
        }
        switch object["dam"] {
        case nil: dam = nil
        case .text(let text) where text.byteCount <= limits.messageIDBytes: dam = text
        default: return nil
        }
        pid = object["pid"]?.text.flatMap { $0.byteCount <= limits.messageIDBytes ? $0 : nil }
        get = object["get"].map { GunQuery($0) }
        if let put = object["put"], answered == nil || !put.isNull {
            do throws(GraphFault) {
                self.put = .graph(try GunGraph(put, limits: limits))
            } catch {
                self.put = .malformed(error)
            }
        }
        hash = object["##"]?.integer.flatMap { Int32(exactly: $0) }
        ok = object["ok"]
        err = object["err"].flatMap { fault in
            switch fault {
            case .null, .bool(false): nil
            case .text(let text): text.isEmpty ? nil : text
            default: JSONText(utf8: fault.serialized())
            }
        }
        if let list = object["><"]?.text, list.byteCount <= Self.longestHeard { heard = Self.names(in: list) }
        hops = object["hops"]?.integer.map { min(max($0, 0), 1000) } ?? 0
        if get == nil, put == nil, dam == nil, answered == nil, object["nts"] == nil, object["NTS"] == nil,
            object.members.contains(where: { !Self.protocolMembers.contains($0.key) })
        {
            application = object
        }
        switch object["%"] {
        case nil, .null, .bool(false): break
        case .text(let text):
            hasMore = true
            nextPart = MessageID(text)
        default: hasMore = true
        }
    }

    /// How many characters a hash has at most: those of -2147483648.
    private static let widestHash = 11

    /// Members that say nothing by themselves.
    private static let protocolMembers: Set<JSONText> = ["#", "##", "%", "><", "ok", "err", "hops", "DBG", "_", "$"]

    /// Eight names of up to 128 bytes: gun.js looks at the first 99 characters only (gun.md §5.3).
    private static let longestHeard = 1024

    private static func names(in list: JSONText) -> [JSONText] {
        list.utf8.split(separator: UInt8(ascii: ","), maxSplits: 8).prefix(8).map { JSONText(utf8: $0) }
    }

    /// The message as the text of one frame.
    public func serialized() -> [UInt8] {
        var output: [UInt8] = []
        serialize(into: &output)
        return output
    }

    /// Appends the message as a JSON object.
    func serialize(into output: inout [UInt8]) {
        if var application {
            application["#"] = id.map { .text($0.text) }
            // Internal to a process, never on the wire (gun.md §5).
            for name: JSONText in ["_", "$", "DBG"] { application[name] = nil }
            application["hops"] = hops > 0 ? .number(Double(hops)) : nil
            return application.serialize(into: &output)
        }
        output.append(UInt8(ascii: "{"))
        var isFirst = true
        func name(_ name: StaticString, into output: inout [UInt8]) {
            output.append(contentsOf: isFirst ? "\"".utf8 : ",\"".utf8)
            isFirst = false
            output.append(contentsOf: name.description.utf8)
            output.append(contentsOf: "\":".utf8)
        }
        func text(_ member: StaticString, _ value: JSONText?) {
            guard let value else { return }
            name(member, into: &output)
            value.serialize(into: &output)
        }
        text("#", id?.text)
        if let hash {
            name("##", into: &output)
            let start = output.count
            output.append(javaScriptNumber: Double(hash))
            // As wide as the widest, with the spaces that JSON allows: how long a frame is, and so how it is cut into packets,
            // does not depend on sealed values. That is what lets a simulated run repeat.
            output.append(contentsOf: repeatElement(UInt8(ascii: " "), count: Self.widestHash - (output.count - start)))
        }
        if hasMore {
            name("%", into: &output)
            (nextPart.map { .text($0.text) } ?? JSONValue.number(1)).serialize(into: &output)
        }
        text("@", answered?.text)
        if !heard.isEmpty {
            name("><", into: &output)
            JSONText(utf8: heard.map(\.utf8).joined(separator: [UInt8(ascii: ",")])).serialize(into: &output)
        }
        if hops > 0 {
            name("hops", into: &output)
            output.append(javaScriptNumber: Double(hops))
        }
        text("dam", dam)
        text("pid", pid)
        text("err", err)
        if let ok {
            name("ok", into: &output)
            ok.serialize(into: &output)
        }
        if let get {
            name("get", into: &output)
            get.serialize(into: &output)
        }
        if case .graph(let graph) = put {
            name("put", into: &output)
            graph.serialize(into: &output)
        }
        output.append(UInt8(ascii: "}"))
    }
}

extension GunMessage {
    /// A put.
    static func put(_ id: MessageID, _ graph: GunGraph) -> GunMessage {
        var message = GunMessage(id: id)
        message.put = .graph(graph)
        return message
    }

    /// A query.
    static func get(_ id: MessageID, _ query: GunQuery) -> GunMessage {
        var message = GunMessage(id: id)
        message.get = query
        return message
    }

    /// An answer, to be given its content; without any it says "not found".
    static func answer(_ id: MessageID, to answered: MessageID) -> GunMessage {
        var message = GunMessage(id: id)
        message.answered = answered
        return message
    }

    /// The handshake: a greeting, or the reply to one.
    static func handshake(_ id: MessageID, pid: JSONText, answering answered: MessageID?) -> GunMessage {
        var message = GunMessage(id: id)
        message.dam = "?"
        message.pid = pid
        message.answered = answered
        return message
    }

    /// A complaint about a frame.
    static func complaint(_ id: MessageID, _ text: JSONText) -> GunMessage {
        var message = GunMessage(id: id)
        message.dam = "!"
        message.err = text
        return message
    }
}
