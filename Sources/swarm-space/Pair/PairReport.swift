import Crypto
import DataChannels
import JSON
import SwarmBase

/// One thing that `pair` says.
enum PairReport {
    case description(SessionDescription)
    case state(ConnectionState)
    case open(DataChannel)
    case message(DataChannel, DataChannelMessage)
    case channelClosed(DataChannel)
    case closed
    case error(String)

    /// The line of the contract.
    var json: JSONValue {
        switch self {
        case .description(let description):
            ["type": .string(description.kind.rawValue), "sdp": .string(description.sdp)]
        case .state(let state):
            ["event": "state", "state": .string(state.rawValue)]
        case .open(let channel):
            [
                "event": "open", "label": .string(channel.label), "id": Self.number(channel.id),
                "protocol": .string(channel.options.protocol), "ordered": .bool(channel.options.isOrdered),
                "maxRetransmits": Self.number(channel.options.maxRetransmits),
                "maxPacketLifeTime": Self.number(channel.options.maxPacketLifeTime),
            ]
        case .message(let channel, let message):
            [
                "event": "message", "label": .string(channel.label), "id": Self.number(channel.id),
                "kind": .string(message.kind), "bytes": .integer(message.byteCount),
                "sha256": .string(SHA256.hash(data: message.bytes).map { $0 }.hexadecimal),
            ]
        case .channelClosed(let channel):
            ["event": "closed", "label": .string(channel.label), "id": Self.number(channel.id)]
        case .closed:
            ["event": "closed"]
        case .error(let message):
            ["event": "error", "message": .string(message)]
        }
    }

    private static func number(_ value: UInt16?) -> JSONValue { value.map { .integer(Int($0)) } ?? .null }
}

extension DataChannelMessage {
    /// As the contract calls it.
    fileprivate var kind: String {
        switch self {
        case .text: "text"
        case .binary: "binary"
        }
    }
}
