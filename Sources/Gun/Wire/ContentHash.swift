public import JSON

/// The 32-bit hash that `##` carries: of the JSON text of a put with the members of every object sorted.
public enum ContentHash {
    /// How the sender's JSON puts members in order.
    public enum Order: Sendable {
        /// UTF-16 order throughout.
        case codeUnits
        /// Names that are array indices first, by number, as JavaScript objects keep them; the others in UTF-16 order.
        case indicesFirst
    }

    /// The hash of a text: h = 31 h + code unit, over UTF-16 code units, in 32 bits.
    public static func of(_ text: JSONText) -> Int32 {
        text.utf16.reduce(0) { $0 &* 31 &+ Int32($1) }
    }

    /// The hash of a put.
    public static func of(_ graph: GunGraph, order: Order = .codeUnits) -> Int32 {
        if order == .codeUnits, let soul = graph.records.first?.soul, graph.records.last?.soul == soul {
            return ofNode(soul, graph.records)
        }
        var nodes = JSONObject()
        for group in grouped(graph.records, order) {
            let soul = group[0].soul.text
            let sorted = group.sorted { precedes($0.key.text, $1.key.text, order) }
            let states = JSONObject(sorted.map { ($0.key.text, .number($0.state)) })
            let metadata: JSONValue = ["#": .text(soul), ">": .object(states)]
            let members = [(Key.reserved, metadata)] + sorted.map { ($0.key.text, $0.value.json) }
            nodes[soul] = .object(JSONObject(members.sorted { precedes($0.0, $1.0, order) }))
        }
        return of(JSONText(utf8: JSONValue.object(nodes).serialized()))
    }

    /// The same for the records of one node, without a tree in between: relays hash nearly every answer.
    private static func ofNode(_ soul: Soul, _ records: [GunRecord]) -> Int32 {
        let sorted = records.count > 1 ? records.sorted { $0.key < $1.key } : records
        var text: [UInt8] = []
        text.reserveCapacity(96 + records.reduce(0) { $0 + $1.cost })
        text.append(UInt8(ascii: "{"))
        soul.text.serialize(into: &text)
        text.append(contentsOf: ":{".utf8)
        var isMetadataWritten = false
        func metadata(into text: inout [UInt8]) {
            isMetadataWritten = true
            text.append(contentsOf: "\"_\":{\"#\":".utf8)
            soul.text.serialize(into: &text)
            text.append(contentsOf: ",\">\":{".utf8)
            for (place, record) in sorted.enumerated() {
                if place > 0 { text.append(UInt8(ascii: ",")) }
                record.key.text.serialize(into: &text)
                text.append(UInt8(ascii: ":"))
                text.append(javaScriptNumber: record.state)
            }
            text.append(contentsOf: "}}".utf8)
        }
        for (place, record) in sorted.enumerated() {
            if place > 0 { text.append(UInt8(ascii: ",")) }
            if !isMetadataWritten, Key.reserved < record.key.text {
                metadata(into: &text)
                text.append(UInt8(ascii: ","))
            }
            record.key.text.serialize(into: &text)
            text.append(UInt8(ascii: ":"))
            record.value.serialize(into: &text)
        }
        if !isMetadataWritten {
            text.append(UInt8(ascii: ","))
            metadata(into: &text)
        }
        text.append(contentsOf: "}}".utf8)
        // JSON has no lone surrogates: they are escaped.
        if text.allSatisfy({ $0 < 0x80 }) { return text.reduce(0) { $0 &* 31 &+ Int32($1) } }
        return of(JSONText(utf8: text))
    }

    private static func grouped(_ records: [GunRecord], _ order: Order) -> [[GunRecord]] {
        Dictionary(grouping: records, by: \.soul).values.sorted {
            precedes($0[0].soul.text, $1[0].soul.text, order)
        }
    }

    private static func precedes(_ a: JSONText, _ b: JSONText, _ order: Order) -> Bool {
        guard order == .indicesFirst else { return a < b }
        switch (index(a), index(b)) {
        case (let a?, let b?): return a < b
        case (.some, nil): return true
        case (nil, .some): return false
        case (nil, nil): return a < b
        }
    }

    /// The number of a name that is an array index (ECMA-262 §6.1.7): 0…2^32−2 in canonical decimal.
    private static func index(_ text: JSONText) -> UInt32? {
        guard text.byteCount <= 10, let number = UInt32(text.string), number < .max, String(number) == text.string
        else { return nil }
        return number
    }
}
