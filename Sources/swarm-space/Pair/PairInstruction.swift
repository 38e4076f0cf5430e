import DataChannels
import Foundation
import JSON

/// A line that is not understood; the text says why.
struct PairInputError: Error, Equatable {
    var message: String
}

/// One line of input to `pair`, understood.
enum PairInstruction: Equatable {
    case description(SessionDescription)
    case candidate(ICECandidate)
    case open(label: String, DataChannelOptions)
    case send(label: String, DataChannelMessage)
    case close(label: String)
    case restart
    case disconnect

    /// The longest input line in bytes: a message of 262,144 characters, each written as a `\u` escape, and a margin.
    static let maximumLineLength = 2 << 20

    /// Reads a line of the contract: one JSON object.
    init(json line: [UInt8]) throws(PairInputError) {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: line, limits: JSONLimits(bytes: Self.maximumLineLength))
        } catch {
            throw PairInputError(message: "not JSON: \(error)")
        }
        guard let object = value.object else { throw PairInputError(message: "not a JSON object") }
        switch (object["type"]?.string, object["cmd"]?.string) {
        case ("candidate", _): self = try Self.candidate(object)
        case (let type?, _): self = .description(try Self.description(type, object))
        case (_, "open"): self = .open(label: try Self.label(object), try Self.options(object))
        case (_, "send"): self = try Self.send(object)
        case (_, "close"): self = .close(label: try Self.label(object))
        case (_, "restart"): self = .restart
        case (_, "disconnect"): self = .disconnect
        case (_, let command?): throw PairInputError(message: "no command \(Self.quoted(command))")
        case (nil, nil): throw PairInputError(message: "neither \"type\" nor \"cmd\" is a text")
        }
    }

    private static func quoted(_ text: String) -> String {
        String(decoding: JSONValue.string(String(text.prefix(80))).serialized(), as: UTF8.self)
    }

    private static func description(
        _ type: String, _ object: JSONObject
    ) throws(PairInputError) -> SessionDescription {
        guard let kind = SessionDescription.Kind(rawValue: type) else {
            throw PairInputError(message: "no type \(quoted(type))")
        }
        guard let sdp = object["sdp"]?.string else { throw PairInputError(message: "\"sdp\" is not a text") }
        return SessionDescription(kind, sdp: sdp)
    }

    private static func candidate(_ object: JSONObject) throws(PairInputError) -> PairInstruction {
        let value = object["candidate"] ?? .null
        // No line means that no more will come.
        if value.isNull { return .candidate(ICECandidate("")) }
        guard let line = value.string else { throw PairInputError(message: "\"candidate\" is not a text") }
        return .candidate(ICECandidate(line, usernameFragment: object["usernameFragment"]?.string))
    }

    private static func label(_ object: JSONObject) throws(PairInputError) -> String {
        guard let label = object["label"]?.string else { throw PairInputError(message: "\"label\" is not a text") }
        return label
    }

    private static func options(_ object: JSONObject) throws(PairInputError) -> DataChannelOptions {
        var options = DataChannelOptions()
        func member<T>(_ name: JSONText, _ read: (JSONValue) -> T?) throws(PairInputError) -> T? {
            guard let value = object[name], !value.isNull else { return nil }
            guard let result = read(value) else { throw PairInputError(message: "\"\(name)\" has a wrong value") }
            return result
        }
        options.protocol = try member("protocol") { $0.string } ?? ""
        options.isOrdered = try member("ordered") { $0.bool } ?? true
        let number = { (value: JSONValue) in value.integer.flatMap { UInt16(exactly: $0) } }
        switch (try member("maxRetransmits", number), try member("maxPacketLifeTime", number)) {
        case (nil, nil): break
        case (let count?, nil): options.reliability = .maxRetransmits(count)
        case (nil, let time?): options.reliability = .maxPacketLifeTime(time)
        case (_?, _?):
            throw PairInputError(message: "only one of \"maxRetransmits\" and \"maxPacketLifeTime\" may be given")
        }
        return options
    }

    private static func send(_ object: JSONObject) throws(PairInputError) -> PairInstruction {
        let label = try label(object)
        if let text = object["text"]?.text {
            return .send(label: label, .text(String(decoding: text.utf8, as: UTF8.self)))
        }
        guard let base64 = object["base64"]?.string else {
            throw PairInputError(message: "neither \"text\" nor \"base64\" is a text")
        }
        guard let data = Data(base64Encoded: base64) else { throw PairInputError(message: "\"base64\" is not base64") }
        return .send(label: label, .binary(Array(data)))
    }
}
