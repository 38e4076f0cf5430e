import Foundation
import SwarmBase

@testable import SwarmEngine

/// Known answers for lanes, requests and byte streams, for every implementation: `Resources/lanes.json`. Bytes are hexadecimal.
///
/// Scripts are lists of steps: what is done, with what, and what comes of it. They repeat, so the file does too.
struct LaneVectors: Codable, Equatable {
    struct Step: Codable, Equatable {
        /// What is done.
        var action: String
        /// A packet, a content, or a control message.
        var bytes: String?
        var number: Int?
        /// What comes of it, one text each.
        var results: [String] = []
    }

    struct Script: Codable, Equatable {
        var what: String
        var lane: Int
        /// The largest message, in bytes.
        var largest: Int
        var steps: [Step]
    }

    struct Packet: Codable, Equatable {
        var packet: String
        /// As `Frame.vector` tells it; none for a packet that is malformed.
        var frames: [String]?
    }

    struct Control: Codable, Equatable {
        var bytes: String
        /// `nil` for what is malformed, or of a later version.
        var message: String?
    }

    var packets: [Packet]
    var controls: [Control]
    /// What a reader does.
    var inbound: [Script]
    /// What a writer does.
    var outbound: [Script]
    /// Both directions of a byte stream.
    var streams: [Script]
    /// The ranks that send, while each has packets of 1,000 bytes.
    var schedule: [Int]

    static func load() throws -> LaneVectors {
        guard let url = Bundle.module.url(forResource: "lanes", withExtension: "json", subdirectory: "Resources")
        else { throw CocoaError(.fileNoSuchFile) }
        return try JSONDecoder().decode(LaneVectors.self, from: Data(contentsOf: url))
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try (encoder.encode(self) + Data("\n".utf8)).write(to: URL(fileURLWithPath: path))
    }
}

extension ControlMessage {
    /// The message as the vectors tell it.
    var vector: String {
        switch self {
        case .request(let id, let limit, let action, let payload):
            "request \(id) \(limit.map { Int($0.milliseconds) } ?? 0) \(action) \(payload.hexadecimal)"
        case .response(let id, let status, let payload): "response \(id) \(status) \(payload.hexadecimal)"
        case .cancel(let id): "cancel \(id)"
        case .open(let id, let limit, let name): "open \(id) \(limit) \(name)"
        case .finished(let id): "finished \(id)"
        case .reset(let id, let code): "reset \(id) \(code)"
        }
    }
}

extension Frame {
    var packet: String {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return bytes.hexadecimal
    }
}
