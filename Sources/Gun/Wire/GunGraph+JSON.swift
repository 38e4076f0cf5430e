import JSON

/// Why a put is refused whole. The text goes to the writer as `err`.
public enum GraphFault: String, Error, Sendable {
    case notAGraph = "Invalid graph: not an object."
    case notANode = "Invalid graph: a node is not an object."
    case noMetadata = "Invalid graph: a node without metadata."
    case soulMismatch = "Invalid graph: a node's soul is not its name."
    case noStates = "Invalid graph: a node without states."
    case noState = "Invalid graph: a key without a state."
    case badState = "Invalid graph: a state is not a finite number."
    case badValue = "Invalid graph: a value of a kind that a key cannot hold."
    case badName = "Invalid graph: an empty soul or key, or one that is too long."
    case valueTooLong = "Invalid graph: a value is too long."
    case tooManyKeys = "Invalid graph: too many keys in one message."
    case tooFarAhead = "Invalid graph: a state is too far in the future."
}

extension GunGraph {
    /// Reads the graph of a put, all of it or none: the first fault refuses the whole message.
    ///
    /// States of keys that are not there are ignored.
    init(_ json: JSONValue, limits: GunLimits) throws(GraphFault) {
        guard let graph = json.object else { throw .notAGraph }
        var records: [GunRecord] = []
        for (name, node) in graph.members {
            guard let members = node.object else { throw .notANode }
            guard let soul = Soul(name), name.byteCount <= limits.nameBytes else { throw .badName }
            guard let metadata = members["_"]?.object else { throw .noMetadata }
            guard metadata["#"]?.text == name else { throw .soulMismatch }
            guard let states = metadata[">"]?.object else { throw .noStates }
            for (name, json) in members.members where name != Key.reserved {
                guard let key = Key(name), name.byteCount <= limits.nameBytes else { throw .badName }
                guard let state = states[name] else { throw .noState }
                guard let state = state.number, state.isFinite else { throw .badState }
                guard let value = GunValue(json) else { throw .badValue }
                guard value.byteCount <= limits.valueBytes else { throw .valueTooLong }
                guard records.count < limits.records else { throw .tooManyKeys }
                records.append(GunRecord(soul: soul, key: key, value: value, state: state))
            }
        }
        self.init(records)
    }

    /// Appends `{soul: {"_": {"#": soul, ">": {key: state, …}}, key: value, …}, …}`.
    func serialize(into output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        var start = 0
        while start < records.count {
            let soul = records[start].soul
            let end = records[start...].firstIndex { $0.soul != soul } ?? records.count
            if start > 0 { output.append(UInt8(ascii: ",")) }
            soul.text.serialize(into: &output)
            output.append(contentsOf: ":{\"_\":{\"#\":".utf8)
            soul.text.serialize(into: &output)
            output.append(contentsOf: ",\">\":{".utf8)
            for (place, record) in records[start..<end].enumerated() {
                if place > 0 { output.append(UInt8(ascii: ",")) }
                record.key.text.serialize(into: &output)
                output.append(UInt8(ascii: ":"))
                output.append(javaScriptNumber: record.state)
            }
            output.append(contentsOf: "}}".utf8)
            for record in records[start..<end] {
                output.append(UInt8(ascii: ","))
                record.key.text.serialize(into: &output)
                output.append(UInt8(ascii: ":"))
                record.value.serialize(into: &output)
            }
            output.append(UInt8(ascii: "}"))
            start = end
        }
        output.append(UInt8(ascii: "}"))
    }
}
