import Foundation
import Gun
import JSON
import SEA

/// One place in the graph: a node, or a key that keys of other nodes lead to through links.
///
/// ```swift
/// try await graph["room"]["title"].put("Meadow")
/// let title = try await graph["room"]["title"].value()?.text
/// for await title in graph["room"]["title"].changes() { print(title) }
/// ```
public struct GraphReference: Sendable {
    let host: GraphHost
    let root: String
    let names: [String]
    var signer: SEAPair?
    var certificate: JSONText?

    /// How long reading waits for those who are asked, unless it is said otherwise.
    public static let patience: Duration = .seconds(3)

    init(host: GraphHost, root: String, names: [String] = [], signer: SEAPair? = nil, certificate: JSONText? = nil) {
        self.host = host
        self.root = root
        self.names = names
        self.signer = signer
        self.certificate = certificate
    }

    /// A key of the node here; of the node that this links to, when this is a key itself.
    public subscript(key: String) -> GraphReference {
        GraphReference(host: host, root: root, names: names + [key], signer: signer, certificate: certificate)
    }

    /// The same place, written with the permission of its owner: what ``GraphUser/certify(_:)`` gave.
    public func with(certificate: String) -> GraphReference {
        var reference = self
        reference.certificate = JSONText(certificate)
        return reference
    }

    private func path() throws(GraphError) -> GraphHost.Path {
        guard let soul = Soul(root) else { throw .invalidName }
        var keys: [Key] = []
        for name in names {
            guard let key = Key(name) else { throw .invalidName }
            keys.append(key)
        }
        return GraphHost.Path(soul: soul, keys: keys)
    }

    // MARK: Reading

    /// What is held here now, after relays and members have been asked; `nil` when there is nothing.
    ///
    /// A node has no value of its own: see ``node(within:)``.
    ///
    /// - Parameter limit: how long to wait for those who are asked. Without anybody to ask, what is held counts at once.
    public func value(within limit: Duration = patience) async throws(GraphError) -> GraphValue? {
        try await host.record(path(), within: limit).map { GraphValue($0.content) }
    }

    /// The public key of who signed the value here; `nil` where nothing is signed.
    public func author(within limit: Duration = patience) async throws(GraphError) -> String? {
        try await host.record(path(), within: limit)?.author
    }

    /// The soul of the node that this is or links to.
    public func soul(within limit: Duration = patience) async throws(GraphError) -> String? {
        try await host.soul(path(), within: limit)?.text.string
    }

    /// All keys of the node that this is or links to, those without a value any more left out.
    public func node(within limit: Duration = patience) async throws(GraphError) -> [String: GraphValue] {
        guard let soul = try await host.soul(path(), within: limit) else { return [:] }
        var node: [String: GraphValue] = [:]
        for record in try await host.records(of: soul, within: limit) where record.content != .null {
            node[record.key.text.string] = GraphValue(record.content)
        }
        return node
    }

    /// The value here, decoded; of a node its keys, and those of the nodes that it links to, down to eight.
    ///
    /// - Returns: `nil` when there is nothing.
    public func value<Value: Decodable & Sendable>(
        as type: Value.Type = Value.self, within limit: Duration = patience
    ) async throws(GraphError) -> Value? {
        let path = try path()
        let json: JSONValue?
        if path.keys.isEmpty {
            json = try await tree(path.soul, depth: 0, seen: [], within: limit)
        } else if let content = try await host.record(path, within: limit)?.content {
            json = try await expanded(content, depth: 0, seen: [], within: limit)
        } else {
            json = nil
        }
        guard let json, !json.isNull else { return nil }
        do { return try JSONDecoder().decode(type, from: Data(json.serialized())) } catch {
            throw .mismatch(String(describing: error))
        }
    }

    private func expanded(
        _ content: GunValue, depth: Int, seen: Set<Soul>, within limit: Duration
    ) async throws(GraphError) -> JSONValue? {
        guard case .link(let soul) = content, depth < 8, !seen.contains(soul) else { return content.json }
        return try await tree(soul, depth: depth + 1, seen: seen, within: limit) ?? content.json
    }

    private func tree(
        _ soul: Soul, depth: Int, seen: Set<Soul>, within limit: Duration
    ) async throws(GraphError) -> JSONValue? {
        let records = try await host.records(of: soul, within: limit)
        guard !records.isEmpty else { return nil }
        var object = JSONObject()
        for record in records {
            object[record.key.text] = try await expanded(
                record.content, depth: depth, seen: seen.union([soul]), within: limit)
        }
        return .object(object)
    }

    /// The value here and each that takes its place, one's own writes included.
    ///
    /// A reader that is slow is given the latest value, not each in between.
    public func changes() -> GraphChanges { GraphChanges(host: host, path: try? path()) }

    /// The keys of the node here that have a value, and each that gets a new one.
    public func map() -> GraphEntries { GraphEntries(reference: self, path: try? path()) }

    // MARK: Writing

    /// Writes a value. It is kept on disk when the call returns, if there is a data directory, and reaches others as soon
    /// as there is a way.
    ///
    /// `put(nil)` deletes. What is written through links that do not exist yet makes them.
    public func put(_ value: GraphValue) async throws(GraphError) { try await write(.value(value)) }

    /// Writes a value of one's own type: a number, a text or a truth value at a key; of anything that has members each
    /// under its own key, and members of members into nodes that are linked.
    public func put<Value: Encodable & Sendable>(_ value: Value) async throws(GraphError) {
        try await write(GraphTree(encoding: value))
    }

    /// Writes a link to another place's node.
    public func put(_ other: GraphReference) async throws(GraphError) {
        guard let soul = try await other.soul() else { throw .invalidValue("a link to nothing") }
        try await put(.link(soul))
    }

    /// Adds an element to the set here: a value under a new key, or a new node with the members of the value.
    ///
    /// - Returns: the element's place.
    @discardableResult
    public func set<Value: Encodable & Sendable>(_ value: Value) async throws(GraphError) -> GraphReference {
        let tree = try GraphTree(encoding: value)
        let name = newName()
        if case .value = tree {
            try await self[name].write(tree)
            return self[name]
        }
        let owner = Soul(root).flatMap { UserSoul.owner(of: $0.text) }
        let soul = owner.map { "~\($0)/\(name)" } ?? name
        let node = GraphReference(host: host, root: soul, signer: signer, certificate: certificate)
        try await node.write(tree)
        try await self[soul].write(.value(.link(soul)))
        return node
    }

    private func newName() -> String {
        let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXZabcdefghijklmnopqrstuvwxyz")
        return String((0..<20).map { _ in alphabet.randomElement() ?? "0" })
    }

    private func write(_ tree: GraphTree) async throws(GraphError) {
        let path = try path()
        var values: [(soul: Soul, key: Key, value: GunValue)] = []
        // The nodes on the way: those that are linked, and new ones where nothing is.
        var soul = path.soul
        for key in path.keys.dropLast() {
            soul = try await step(from: soul, key, adding: &values)
        }
        if let last = path.keys.last {
            try await add(tree, at: soul, last, to: &values, depth: 0)
        } else {
            guard case .members(let members) = tree else { throw .invalidValue("a node has keys, not a value") }
            for (key, tree) in members { try await add(tree, at: soul, key, to: &values, depth: 0) }
        }
        try await host.write(values, signer: signer, certificate: certificate)
    }

    /// The node that a key links to, or is to link to from now on.
    private func step(
        from soul: Soul, _ key: Key, adding values: inout [(soul: Soul, key: Key, value: GunValue)]
    ) async throws(GraphError) -> Soul {
        let held = try await host.record(GraphHost.Path(soul: soul, keys: [key]), within: Self.patience)?.content
        if case .link(let next) = held { return next }
        guard let next = Soul("\(soul)/\(key)") else { throw .invalidName }
        values.append((soul, key, .link(next)))
        return next
    }

    private func add(
        _ tree: GraphTree, at soul: Soul, _ key: Key, to values: inout [(soul: Soul, key: Key, value: GunValue)],
        depth: Int
    ) async throws(GraphError) {
        switch tree {
        case .value(let value):
            guard let value = value.gun else { throw .invalidValue("a number that is not finite") }
            values.append((soul, key, value))
        case .members(let members):
            guard depth < 16 else { throw .invalidValue("members of members beyond sixteen") }
            let next = try await step(from: soul, key, adding: &values)
            for (name, tree) in members { try await add(tree, at: next, name, to: &values, depth: depth + 1) }
        }
    }
}

/// A value of the application's own as the graph has it: a value, or a node's members.
enum GraphTree: Sendable {
    case value(GraphValue)
    case members([(Key, GraphTree)])

    init(encoding value: some Encodable) throws(GraphError) {
        let json: JSONValue
        do { json = try JSONValue(parsing: Array(try JSONEncoder().encode(value))) } catch {
            throw .invalidValue(String(describing: error))
        }
        try self.init(json)
    }

    private init(_ json: JSONValue) throws(GraphError) {
        switch json {
        case .array: throw .invalidValue("an array: add its elements with set(_:)")
        case .object(let object):
            // A link as it is on the wire.
            if let link = GunValue(json) {
                self = .value(GraphValue(link))
                return
            }
            var members: [(Key, GraphTree)] = []
            for (name, value) in object.members {
                guard let key = Key(name) else { throw .invalidName }
                members.append((key, try GraphTree(value)))
            }
            self = .members(members)
        default:
            guard let value = GunValue(json) else { throw .invalidValue("a number that is not finite") }
            self = .value(GraphValue(value))
        }
    }
}
