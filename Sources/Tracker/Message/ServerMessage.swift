import JSON
import Magnet
import SwarmBase

/// What a tracker says to a client, as far as a client needs it.
enum ServerMessage: Equatable {
    /// The reply to an announce.
    struct Reply: Equatable {
        var infoHash: InfoHash
        var interval: Duration?
        var minimumInterval: Duration?
        var complete: Int
        var incomplete: Int
        var trackerID: JSONText?
        var warning: String?
    }

    case reply(Reply)
    case offer(InfoHash, TrackerPeerID, TrackerOfferID, sdp: JSONText)
    case answer(InfoHash, TrackerPeerID, TrackerOfferID, sdp: JSONText)
    case failure(String)

    /// Reads a frame; `nil` for anything that a client has no use for.
    init?(parsing frame: [UInt8], maximumByteCount: Int) {
        guard let message = JSONValue.trackerMessage(frame, maximumByteCount: maximumByteCount) else { return nil }
        if let reason = message["failure reason"] {
            self = .failure(Self.shortened(reason.string ?? "unspecified"))
            return
        }
        guard message["action"] == "announce", let infoHash = message["info_hash"]?.infoHash else { return nil }
        if let description = message["offer"] ?? message["answer"], !description.isNull {
            guard let peer = message["peer_id"]?.peerID, let offer = message["offer_id"]?.offerID,
                let sdp = description["sdp"]?.text
            else { return nil }
            let isAnswer = message["offer"].map(\.isNull) ?? true
            self = isAnswer ? .answer(infoHash, peer, offer, sdp: sdp) : .offer(infoHash, peer, offer, sdp: sdp)
            return
        }
        self = .reply(
            Reply(
                infoHash: infoHash, interval: Self.seconds(message["interval"]),
                minimumInterval: Self.seconds(message["min interval"] ?? message["min_interval"]),
                complete: Self.count(message["complete"]), incomplete: Self.count(message["incomplete"]),
                trackerID: message["tracker id"]?.text.flatMap { $0.byteCount <= 256 ? $0 : nil },
                warning: message["warning message"]?.string.map(Self.shortened)))
    }

    /// A number of seconds from 0 up to a day; what is larger counts as a day.
    private static func seconds(_ value: JSONValue?) -> Duration? {
        guard let number = value?.number, number >= 0 else { return nil }
        return .milliseconds(Int64(min(number, 86_400) * 1000))
    }

    private static func count(_ value: JSONValue?) -> Int {
        guard let number = value?.number, number >= 0 else { return 0 }
        return Int(min(number, 1e9))
    }

    private static func shortened(_ text: String) -> String { String(text.unicodeScalars.prefix(200)) }
}
