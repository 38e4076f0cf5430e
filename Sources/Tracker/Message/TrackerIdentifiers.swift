import JSON
public import Magnet
public import SwarmBase

/// `peer_id`: the 20 bytes by which a tracker and its peers know one member of a swarm for one session. Not an
/// identity: nothing proves it. Ordered bytewise.
public struct TrackerPeerID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Held as another 20 bytes are: in three words, without an allocation.
    private let value: InfoHash

    /// The 20 bytes in order.
    public var bytes: [UInt8] { value.bytes }

    /// `nil` unless there are exactly 20 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard let value = InfoHash(bytes: bytes) else { return nil }
        self.value = value
    }

    init(_ value: InfoHash) { self.value = value }

    /// A new id: at most 20 bytes of `prefix` (BEP 20: client and version), the rest random letters and digits.
    public static func random(prefix: String, using entropy: inout Entropy) -> TrackerPeerID {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        var bytes = Array(prefix.utf8.prefix(20))
        while bytes.count < 20 { bytes.append(alphabet[Int.random(in: 0..<alphabet.count, using: &entropy)]) }
        guard let id = TrackerPeerID(bytes: bytes) else { preconditionFailure("20 bytes") }
        return id
    }

    public static func < (a: TrackerPeerID, b: TrackerPeerID) -> Bool { a.value < b.value }

    /// The bytes in hexadecimal.
    public var description: String { bytes.hexadecimal }
}

/// `offer_id`: what an offer and its answer have in common. Opaque; ours are 20 random bytes, others' may be any text.
public struct TrackerOfferID: Hashable, Sendable, CustomStringConvertible {
    let text: JSONText

    /// The longest id that is taken, in bytes of UTF-8: three times what the longest one in use (20 bytes) can take.
    static let maximumByteCount = 128

    init?(text: JSONText) {
        guard !text.isEmpty, text.byteCount <= Self.maximumByteCount else { return nil }
        self.text = text
    }

    /// An id of these bytes, at most 64 (libtorrent insists on 20); `nil` for none or more.
    public init?(bytes: [UInt8]) {
        guard (1...64).contains(bytes.count) else { return nil }
        text = JSONText(latin1: bytes)
    }

    /// 20 random bytes.
    public static func random(using entropy: inout Entropy) -> TrackerOfferID {
        guard let id = TrackerOfferID(bytes: entropy.bytes(20)) else { preconditionFailure("20 bytes") }
        return id
    }

    /// The bytes, if all characters are U+0000…U+00FF.
    public var bytes: [UInt8]? { text.latin1Bytes }

    /// The id in hexadecimal.
    public var description: String { text.utf8.hexadecimal }
}

/// One offer of ours: fresh, and never to be sent to a second tracker.
public struct TrackerOffer: Hashable, Sendable {
    public var id: TrackerOfferID
    /// The session description with all its candidates: a tracker cannot carry later ones.
    public var sdp: String

    public init(id: TrackerOfferID, sdp: String) {
        self.id = id
        self.sdp = sdp
    }
}

/// An offer or an answer that came from a peer.
public struct TrackerSignal: Hashable, Sendable {
    /// The swarm it belongs to.
    public var infoHash: InfoHash
    /// Who sent it, by the tracker's word.
    public var peerID: TrackerPeerID
    /// For an offer: to be given back with the answer. For an answer: which of our offers it is for.
    public var offerID: TrackerOfferID
    /// Untrusted text of at most ``TrackerClientConfiguration/maximumSDPByteCount``.
    public var sdp: String

    public init(infoHash: InfoHash, peerID: TrackerPeerID, offerID: TrackerOfferID, sdp: String) {
        self.infoHash = infoHash
        self.peerID = peerID
        self.offerID = offerID
        self.sdp = sdp
    }
}
