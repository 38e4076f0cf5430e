import JSON
import Magnet

/// Reading and writing the members that both ends use. A 20-byte value is a text of 20 characters U+0000…U+00FF.
extension JSONValue {
    /// Parses one message with the bounds of this protocol.
    static func trackerMessage(_ frame: [UInt8], maximumByteCount: Int) -> JSONObject? {
        (try? JSONValue(parsing: frame, limits: .tracker(bytes: maximumByteCount)))?.object
    }

    static func bytes(_ bytes: [UInt8]) -> JSONValue { .text(JSONText(latin1: bytes)) }

    /// The value as an info-hash.
    var infoHash: InfoHash? { text.flatMap(\.twentyBytes).flatMap { InfoHash(bytes: $0) } }

    /// The value as a peer id.
    var peerID: TrackerPeerID? { text.flatMap(\.twentyBytes).flatMap { TrackerPeerID(bytes: $0) } }

    /// The value as an offer id.
    var offerID: TrackerOfferID? { text.flatMap(TrackerOfferID.init(text:)) }
}

extension JSONLimits {
    /// The bounds of this protocol.
    static func tracker(bytes: Int) -> JSONLimits { JSONLimits(depth: 16, bytes: bytes, elements: 2000) }
}

extension JSONText {
    /// The 20 bytes of a binary string; `nil` for any other text.
    var twentyBytes: [UInt8]? {
        guard byteCount <= 40, let bytes = latin1Bytes, bytes.count == 20 else { return nil }
        return bytes
    }
}
