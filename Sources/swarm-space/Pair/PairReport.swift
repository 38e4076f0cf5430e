import Crypto
import JSON
import SCTP
import SwarmBase
import WebRTC

/// One thing that `pair` says.
enum PairReport {
    case description(SessionDescription)
    case state(PeerConnectionState)
    case open(DataChannelOptions, id: DataChannelID)
    case message(label: String, id: DataChannelID, kind: DataChannelMessageKind, payload: [UInt8])
    case channelClosed(label: String, id: DataChannelID?)
    case closed
    case error(String)

    /// The line of the contract.
    var json: JSONValue {
        switch self {
        case .description(let description):
            ["type": .string(description.kind.rawValue), "sdp": .string(description.sdp)]
        case .state(let state):
            ["event": "state", "state": .string(state.rawValue)]
        case .open(let options, let id):
            [
                "event": "open", "label": .string(options.label), "id": .integer(Int(id)),
                "protocol": .string(options.protocol), "ordered": .bool(options.isOrdered),
                "maxRetransmits": options.maxRetransmits.map { .integer(Int($0)) } ?? .null,
                "maxPacketLifeTime": options.maxPacketLifeTime.map { .integer(Int($0)) } ?? .null,
            ]
        case .message(let label, let id, let kind, let payload):
            [
                "event": "message", "label": .string(label), "id": .integer(Int(id)),
                "kind": kind == .text ? "text" : "binary", "bytes": .integer(payload.count),
                "sha256": .string(SHA256.hash(data: payload).map { $0 }.hexadecimal),
            ]
        case .channelClosed(let label, let id):
            ["event": "closed", "label": .string(label), "id": id.map { .integer(Int($0)) } ?? .null]
        case .closed:
            ["event": "closed"]
        case .error(let message):
            ["event": "error", "message": .string(message)]
        }
    }
}
