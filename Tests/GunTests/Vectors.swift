import Foundation
import JSON
import SwarmBase

@testable import Gun

/// Recordings of real peers, in `Resources`.
enum Vectors {
    static func load(_ name: String) throws -> JSONValue {
        guard let url = Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Resources") else {
            throw CocoaError(.fileNoSuchFile)
        }
        return try JSONValue(
            parsing: [UInt8](Data(contentsOf: url)), limits: JSONLimits(bytes: 1 << 22, elements: 1_000_000))
    }

    struct Frame {
        var time: Double
        var connection: String
        var isToRelay: Bool
        var text: String
        var bytes: [UInt8] { Array(text.utf8) }
    }

    static func scenarios() throws -> [String: [Frame]] {
        var scenarios: [String: [Frame]] = [:]
        for (name, frames) in try load("frames")["scenarios"]?.object?.members ?? [] {
            scenarios[name.string] = frames.array?.compactMap { frame in
                guard let parts = frame.array, parts.count == 4, let time = parts[0].number,
                    let connection = parts[1].string, let direction = parts[2].string, let text = parts[3].string
                else { return nil }
                return Frame(time: time, connection: connection, isToRelay: direction == ">", text: text)
            }
        }
        return scenarios
    }
}

extension [UInt8] {
    var string: String { String(decoding: self, as: UTF8.self) }
}

/// The messages of a frame; empty when it holds none.
func messages(_ frame: [UInt8]) -> [GunMessage] {
    if case .messages(let messages, _) = GunFrame(parsing: frame, limits: GunLimits()) { messages } else { [] }
}

func json(_ text: String) -> JSONValue { (try? JSONValue(parsing: text)) ?? .null }

/// A put of one key as a frame.
func putFrame(_ id: String, _ soul: Soul, _ key: Key, _ value: GunValue, _ state: Double) -> [UInt8] {
    GunMessage.put(
        MessageID(JSONText(id)), GunGraph([GunRecord(soul: soul, key: key, value: value, state: state)])
    ).serialized()
}

func getFrame(_ id: String, _ soul: Soul, _ key: Key? = nil) -> [UInt8] {
    GunMessage.get(MessageID(JSONText(id)), key.map { .key(soul, $0) } ?? .node(soul)).serialized()
}

extension GunMessage {
    /// The records of a put without a fault.
    var records: [GunRecord] {
        if case .graph(let graph) = put { graph.records } else { [] }
    }
}

/// All that a disk of the tests holds.
func records(on disk: [Soul: [Key: GunEntry]]) -> [GunRecord] {
    disk.flatMap { soul, entries in entries.map { GunRecord(soul: soul, key: $0.key, entry: $0.value) } }
}
