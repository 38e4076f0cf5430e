import Crypto
import SwarmBase

/// Names one peer connection: eight random bytes of the side that offered it.
struct ConnectionID: Hashable, Sendable {
    let value: UInt64
}

/// One signaling message. Signed by its sender; sealed to its recipient, or to the topic when it is an offer to whoever
/// gets it from a tracker (docs/protocol.md, "Signal").
struct Signal: Equatable, Sendable {
    /// What it says.
    enum Content: Equatable, Sendable {
        /// An SDP offer; one for a connection that exists already asks for an ICE restart.
        case offer(sdp: String)
        /// The SDP answer.
        case answer(sdp: String)
        /// Candidates found after the description was sent (RFC 8838).
        case candidates(ufrag: String, [String])
        /// "My end of this connection is silent: make a new offer", from the side that does not offer.
        case restartRequest
        /// "This connection is no more at my end", in answer to an offer to restart it.
        case closed
    }

    var sender: PeerID
    /// `nil`: to whoever gets it.
    var recipient: PeerID?
    /// Milliseconds since 1970 by the sender's clock.
    var timestamp: UInt64
    /// Random: a copy that comes by another carrier is known by it.
    var id: UInt64
    var connection: ConnectionID
    /// Grows with every offer that the deciding side makes or answers; the other side ignores lower ones.
    var attempt: UInt64
    var content: Content

    /// The largest signal, sealed, in bytes.
    static let largest = 16 * 1024

    /// Signs, and seals to `recipientKey`.
    func sealed(by identity: Identity, to recipientKey: SessionPublicKey, topic: Topic) throws(Refusal) -> [UInt8] {
        let body = try signed(by: identity, topic: topic)
        return try SealedBox.seal(body, to: recipientKey, info: Topic.label("signal") + topic.id)
    }

    /// Signs, and seals to the topic.
    func sealed(by identity: Identity, topic: Topic) throws(Refusal) -> [UInt8] {
        try topic.seal(try signed(by: identity, topic: topic), as: "open offer")
    }

    /// Opens a signal sealed to us. Freshness and replay are the caller's to check.
    init(opening sealed: [UInt8], with key: SessionKeyPair, topic: Topic) throws(Refusal) {
        guard sealed.count <= Self.largest else { throw .malformed }
        let body = try SealedBox.open(sealed[...], with: key, info: Topic.label("signal") + topic.id)
        try self.init(signed: body, topic: topic)
    }

    /// Opens a signal sealed to the topic.
    init(openingForAnyone sealed: [UInt8], topic: Topic) throws(Refusal) {
        guard sealed.count <= Self.largest else { throw .malformed }
        try self.init(signed: try topic.open(sealed, as: "open offer"), topic: topic)
    }

    private func signed(by identity: Identity, topic: Topic) throws(Refusal) -> [UInt8] {
        var writer = ByteWriter(capacity: 1200)
        writer.integer(UInt8(1))
        writer.integer(content.kind)
        writer.append(sender.rawRepresentation)
        writer.append(recipient?.rawRepresentation ?? [UInt8](repeating: 0, count: 64))
        writer.integer(timestamp)
        writer.integer(id)
        writer.integer(connection.value)
        writer.integer(attempt)
        let body = content.body
        guard body.count <= Self.largest / 2 else { throw .malformed }
        writer.prefixed(by: UInt16.self, body)
        guard let signature = try? identity.sign(Topic.label("signal") + topic.id + writer.bytes) else {
            throw .malformed
        }
        writer.append(signature)
        return writer.bytes
    }

    private init(signed bytes: [UInt8], topic: Topic) throws(Refusal) {
        var reader = ByteReader(bytes)
        guard let version: UInt8 = reader.integer(), version == 1, let kind: UInt8 = reader.integer(),
            let from = reader.bytes(64), let sender = PeerID(rawRepresentation: from), let to = reader.bytes(64),
            let timestamp: UInt64 = reader.integer(), let id: UInt64 = reader.integer(),
            let connection: UInt64 = reader.integer(), let attempt: UInt64 = reader.integer(),
            let body = reader.prefixed(by: UInt16.self), reader.remaining == 64, let signature = reader.bytes(64),
            let content = Content(kind: kind, body: body)
        else { throw .malformed }
        var recipient: PeerID?
        if to.contains(where: { $0 != 0 }) {
            guard let peer = PeerID(rawRepresentation: to) else { throw .malformed }
            recipient = peer
        }
        guard sender.verifies(signature, of: Topic.label("signal") + topic.id + bytes.dropLast(64)) else {
            throw .forged
        }
        self.init(
            sender: sender, recipient: recipient, timestamp: timestamp, id: id,
            connection: ConnectionID(value: connection), attempt: attempt, content: content)
    }

    init(
        sender: PeerID, recipient: PeerID?, timestamp: UInt64, id: UInt64, connection: ConnectionID, attempt: UInt64,
        content: Content
    ) {
        self.sender = sender
        self.recipient = recipient
        self.timestamp = timestamp
        self.id = id
        self.connection = connection
        self.attempt = attempt
        self.content = content
    }
}

extension Signal.Content {
    var kind: UInt8 {
        switch self {
        case .offer: 1
        case .answer: 2
        case .candidates: 3
        case .restartRequest: 4
        case .closed: 5
        }
    }

    var body: [UInt8] {
        switch self {
        case .offer(let sdp), .answer(let sdp): Array(sdp.utf8)
        case .candidates(let ufrag, let lines): Array(([ufrag] + lines).joined(separator: "\n").utf8)
        case .restartRequest, .closed: []
        }
    }

    init?(kind: UInt8, body: [UInt8]) {
        let text = String(decoding: body, as: UTF8.self)
        switch kind {
        case 1: self = .offer(sdp: text)
        case 2: self = .answer(sdp: text)
        case 3:
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            guard let ufrag = lines.first, lines.count <= 33 else { return nil }
            self = .candidates(ufrag: ufrag, Array(lines.dropFirst()))
        case 4 where body.isEmpty: self = .restartRequest
        case 5 where body.isEmpty: self = .closed
        default: return nil
        }
    }
}
