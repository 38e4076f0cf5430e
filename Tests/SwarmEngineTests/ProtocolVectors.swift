import Crypto
import Foundation
import JSON
import Magnet
import SEA
import SwarmBase

@testable import SwarmEngine

/// Known answers of docs/protocol.md, for every implementation: `Resources/protocol.json`. Bytes are hexadecimal.
struct ProtocolVectors: Codable, Equatable {
    struct Member: Codable, Equatable {
        /// SEA's numbers.
        var pub: String
        var priv: String
        /// The session key: private number, and x ‖ y.
        var sessionPrivate: String
        var sessionPublic: String
    }

    struct TopicVector: Codable, Equatable {
        var infoHash: String
        var secret: String?
        var id: String
        var day: Int
        var presenceSoul: String
        /// Of Alice.
        var inboxSoul: String
        var week: Int
        var mailSoul: String
        var tag: String
        var sealedWord: String
        var sealedPlaintext: String
        var sealed: String
    }

    struct NameVector: Codable, Equatable {
        var name: String
        var secret: String?
        var infoHash: String
    }

    struct PresenceVector: Codable, Equatable {
        var peer: String
        var timestamp: UInt64
        var isLeaving: Bool
        var knowsLanes: Bool
        var keepsState: Bool
        var takesLaneMail: Bool
        var name: String
        var sealed: String
    }

    struct EnvelopeVector: Codable, Equatable {
        var sender: String
        var receiver: String
        var keyID: String
        var counter: UInt64
        var packet: String
        var envelope: String
    }

    /// From epoch 0 of the two members to epoch 1.
    struct RekeyingVector: Codable, Equatable {
        /// Who has the lower PeerID.
        var lower: String
        /// The two fresh keys: private number, and x ‖ y.
        var lowerPrivate: String
        var lowerPublic: String
        var higherPrivate: String
        var higherPublic: String
        /// What each signs.
        var offered: String
        var answered: String
        /// Packets of one frame each.
        var rekey: String
        var rekeyed: String
        /// In epoch 1.
        var envelopes: [EnvelopeVector]
    }

    /// From Alice to Bob.
    struct MailVector: Codable, Equatable {
        var prekey: UInt32
        /// Private number, and x ‖ y.
        var prekeyPrivate: String
        var prekeyPublic: String
        var timestamp: UInt64
        var packet: String
        var item: String
        /// A packet of one frame: prekeys that Bob gives Alice, among them the one above as last resort.
        var bundle: String
        var bundleSigned: String
        /// A packet of several lanes with deadlines, and what a reader takes of it at different times.
        var lanes: LaneMailVector
    }

    struct LaneMailVector: Codable, Equatable {
        struct Reading: Codable, Equatable {
            /// Milliseconds since 1970.
            var time: UInt64
            var taken: [String]
        }

        var packet: String
        var frames: [String]
        var readings: [Reading]
    }

    struct SignalVector: Codable, Equatable {
        var kind: Int
        var timestamp: UInt64
        var id: UInt64
        var connection: UInt64
        var attempt: UInt64
        /// The SDP, or the ufrag and candidates by LF.
        var content: String
        /// From Alice to Bob; of an open offer: to the topic.
        var isOpenOffer: Bool
        var sealed: String
    }

    struct FrameVector: Codable, Equatable {
        var packet: String
        /// One text for each frame: its type and fields.
        var frames: [String]
    }

    struct RefusedVector: Codable, Equatable {
        var what: String
        /// presence, signal, envelope or packet
        var kind: String
        var bytes: String
        var refusal: String
    }

    var members: [String: Member]
    var topics: [TopicVector]
    var names: [NameVector]
    var presences: [PresenceVector]
    var envelopes: [EnvelopeVector]
    var rekeying: RekeyingVector
    var mail: MailVector
    var signals: [SignalVector]
    var frames: [FrameVector]
    var trackerText: String
    var refused: [RefusedVector]

    static let file = "protocol.json"

    static func load() throws -> ProtocolVectors {
        guard let url = Bundle.module.url(forResource: "protocol", withExtension: "json", subdirectory: "Resources")
        else { throw CocoaError(.fileNoSuchFile) }
        return try JSONDecoder().decode(ProtocolVectors.self, from: Data(contentsOf: url))
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try (encoder.encode(self) + Data("\n".utf8)).write(to: URL(fileURLWithPath: path))
    }
}

/// The members of the vectors, with their keys.
struct VectorMember {
    let identity: Identity
    let session: SessionKeyPair
    let vector: ProtocolVectors.Member
    var id: PeerID { identity.peerID }

    init(_ vector: ProtocolVectors.Member, pair: SEAPair) throws {
        identity = Identity(pair)
        guard let bytes = [UInt8](hexadecimal: vector.sessionPrivate) else { throw Refusal.malformed }
        session = SessionKeyPair(try P256.KeyAgreement.PrivateKey(rawRepresentation: bytes))
        self.vector = vector
    }

    /// The same at each run: from a seed.
    static func make(seed: UInt64) throws -> VectorMember {
        var entropy = Entropy.seed(seed)
        let pair = SEAPair.generate(using: &entropy)
        guard let d = pair.json["priv"]?.string else { throw Refusal.malformed }
        let session = SessionKeyPair(try P256.KeyAgreement.PrivateKey(rawRepresentation: entropy.bytes(32)))
        let vector = ProtocolVectors.Member(
            pub: Identity(pair).peerID.description, priv: d,
            sessionPrivate: Array(session.privateKey.rawRepresentation).hexadecimal,
            sessionPublic: session.publicKey.rawRepresentation.hexadecimal)
        return try VectorMember(vector, pair: pair)
    }
}

extension Frame {
    /// The frame as the vectors tell it.
    var vector: String {
        switch self {
        case .data(let frame):
            (frame.lane == .plain ? "data " : "lane \(frame.lane.number) data ")
                + "\(frame.stream) \(frame.sequence) \(frame.base) \(frame.message) \(frame.flags.rawValue) "
                + frame.payload.hexadecimal
        case .acknowledgement(let frame):
            "acknowledgement \(frame.stream) \(frame.received) \(frame.durable) \(frame.window)"
                + (frame.isPlain
                    ? ""
                    : " lane \(frame.lane.number) \(frame.outcomes.map { "\($0.message):\($0.code)" }) \(frame.bitmap.hexadecimal)")
        case .confirmed(let lane, let stream, let base): "confirmed \(lane.number) \(stream) \(base)"
        case .bytes(let piece): "bytes \(piece.id) \(piece.offset) \(piece.isEnd) \(piece.payload.hexadecimal)"
        case .credit(let id, let received, let limit): "credit \(id) \(received) \(limit)"
        case .refused(let reason): "refused \(reason)"
        case .ping(let id): "ping \(id)"
        case .pong(let id): "pong \(id)"
        case .bye: "bye"
        case .neighbours(let forwards, let ids): "neighbours \(forwards) \(ids)"
        case .presence(let sealed): "presence \(sealed.hexadecimal)"
        case .forward(let peer, let datagram): "forward \(peer) \(datagram.hexadecimal)"
        case .forwarded(let datagram): "forwarded \(datagram.hexadecimal)"
        case .rekeying(.rekey(let epoch, let key, let signature)):
            "rekey \(epoch) \(key.rawRepresentation.hexadecimal) \(signature.hexadecimal)"
        case .rekeying(.rekeyed(let epoch, let key, let signature)):
            "rekeyed \(epoch) \(key.rawRepresentation.hexadecimal) \(signature.hexadecimal)"
        case .rekeying(.switched(let epoch)): "switched \(epoch)"
        case .prekeys(let bundle):
            "prekeys \(bundle.lastResort.vector) \(bundle.expiry) \(bundle.oneTime.map(\.vector)) "
                + bundle.signature.hexadecimal
        case .deadline(let message, let time): "deadline \(message) \(time)"
        case .prekeyStock(let stock): "stock \(stock.lastResort?.value ?? 0) \(stock.oneTime)"
        }
    }
}

extension Prekey {
    /// The key as the vectors tell it.
    var vector: String { "\(id.value):\(key.rawRepresentation.hexadecimal)" }
}

extension Signal.Content {
    /// The content as the vectors tell it.
    var vector: (kind: Int, text: String) {
        switch self {
        case .offer(let sdp): (1, sdp)
        case .answer(let sdp): (2, sdp)
        case .candidates(let ufrag, let lines): (3, ([ufrag] + lines).joined(separator: "\n"))
        case .restartRequest: (4, "")
        case .closed: (5, "")
        }
    }
}
