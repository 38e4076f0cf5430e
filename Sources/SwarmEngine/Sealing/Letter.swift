import Crypto
import DHT
import SwarmBase
import WebRTC

/// A signal in its short form: what a mailbox in the DHT holds. Descriptions are compact there, and sender, recipient and signature
/// are left out: who could write it is known from the key (docs/protocol.md, "Signaling over the DHT").
struct Letter: Equatable, Sendable {
    /// As in ``Signal``.
    var kind: UInt8
    var timestamp: UInt64
    var id: UInt64
    var connection: ConnectionID
    var attempt: UInt64
    /// The compact description, or what the signal has.
    var content: [UInt8]

    /// What all letters in one mailbox may have together: an item's value without its length, the seal and the version.
    static let largest = DHTItem.largestValue - 4 - 28 - 1
    static let headSize = 35

    /// - Returns: `nil` when a description has no compact form.
    init?(_ signal: Signal) {
        kind = signal.content.kind
        timestamp = signal.timestamp
        id = signal.id
        connection = signal.connection
        attempt = signal.attempt
        switch signal.content {
        case .offer(let sdp):
            guard let content = Self.compact(sdp, as: .offer) else { return nil }
            self.content = content
        case .answer(let sdp):
            guard let content = Self.compact(sdp, as: .answer) else { return nil }
            self.content = content
        case .candidates, .restartRequest, .closed:
            content = signal.content.body
        }
        guard content.count + Self.headSize <= Self.largest else { return nil }
    }

    /// The whole signal.
    func signal(from sender: PeerID, to recipient: PeerID) -> Signal? {
        let content: Signal.Content?
        switch kind {
        case 1: content = SessionDescription(compact: self.content.base64URL).map { .offer(sdp: $0.sdp) }
        case 2: content = SessionDescription(compact: self.content.base64URL).map { .answer(sdp: $0.sdp) }
        default: content = Signal.Content(kind: kind, body: self.content)
        }
        guard let content else { return nil }
        return Signal(
            sender: sender, recipient: recipient, timestamp: timestamp, id: id, connection: connection,
            attempt: attempt, content: content)
    }

    private static func compact(_ sdp: String, as kind: SessionDescription.Kind) -> [UInt8]? {
        (try? SessionDescription(kind: kind, parsing: sdp))?.compact.flatMap { [UInt8](base64URL: $0) }
    }

    // MARK: The mailbox's content

    /// Seals letters, the oldest first; the oldest are left out when there is no room.
    static func sealed(_ letters: [Letter], with key: SymmetricKey) -> [UInt8]? {
        var room = largest
        var kept: [Letter] = []
        for letter in letters.reversed() {
            room -= headSize + letter.content.count
            guard room >= 0 else { break }
            kept.insert(letter, at: 0)
        }
        var writer = ByteWriter(capacity: largest)
        writer.integer(UInt8(1))
        for letter in kept {
            writer.integer(letter.kind)
            writer.integer(letter.timestamp)
            writer.integer(letter.id)
            writer.integer(letter.connection.value)
            writer.integer(letter.attempt)
            writer.prefixed(by: UInt16.self, letter.content)
        }
        let box = try? AES.GCM.seal(writer.bytes, using: key, authenticating: Topic.label("mail"))
        return box?.combined.map { Array($0) }
    }

    /// Opens what `sealed` made.
    static func opened(_ sealed: [UInt8], with key: SymmetricKey) throws(Refusal) -> [Letter] {
        guard let box = try? AES.GCM.SealedBox(combined: sealed) else { throw .malformed }
        guard let plaintext = try? AES.GCM.open(box, using: key, authenticating: Topic.label("mail")) else {
            throw .notForUs
        }
        var reader = ByteReader(Array(plaintext))
        guard reader.integer(UInt8.self) == 1 else { throw .malformed }
        var letters: [Letter] = []
        while !reader.isAtEnd {
            guard let kind: UInt8 = reader.integer(), let timestamp: UInt64 = reader.integer(),
                let id: UInt64 = reader.integer(), let connection: UInt64 = reader.integer(),
                let attempt: UInt64 = reader.integer(), let content = reader.prefixed(by: UInt16.self)
            else { throw .malformed }
            letters.append(
                Letter(
                    kind: kind, timestamp: timestamp, id: id, connection: ConnectionID(value: connection),
                    attempt: attempt, content: content))
        }
        return letters
    }

    private init(
        kind: UInt8, timestamp: UInt64, id: UInt64, connection: ConnectionID, attempt: UInt64, content: [UInt8]
    ) {
        self.kind = kind
        self.timestamp = timestamp
        self.id = id
        self.connection = connection
        self.attempt = attempt
        self.content = content
    }
}
