import SCTP
import WebRTC

/// An offer or an answer: what one side tells the other by some other way, a web server or a piece of paper.
public struct SessionDescription: Hashable, Sendable {
    /// Which half of the exchange it is.
    public enum Kind: String, Hashable, Sendable { case offer, answer }

    public let kind: Kind
    /// As browsers write it (RFC 8866, RFC 9429).
    public let sdp: String

    /// Takes what the other side has sent; it is understood when it is used.
    public init(_ kind: Kind, sdp: String) {
        self.kind = kind
        self.sdp = sdp
    }

    /// Reads the short form; `nil` for anything else.
    public init?(compact text: String) {
        guard let core = WebRTC.SessionDescription(compact: text) else { return nil }
        self.init(core)
    }

    /// A short form for our own peers in about 200 characters of base64url: it survives being copied by hand, and fits a QR
    /// code. `nil` for a description that could not be read, or without a SHA-256 fingerprint.
    public var compact: String? { (try? core())?.compact }

    /// How many candidates it carries; 0 for a description that could not be read.
    public var candidateCount: Int { (try? core())?.candidates.count ?? 0 }

    init(_ core: WebRTC.SessionDescription) {
        kind = core.kind == .offer ? .offer : .answer
        sdp = core.sdp
    }

    func core() throws(DataChannelsError) -> WebRTC.SessionDescription {
        do {
            return try WebRTC.SessionDescription(kind: kind == .offer ? .offer : .answer, parsing: sdp)
        } catch {
            throw .invalidDescription("\(error)")
        }
    }
}

/// A candidate that is told after the description (RFC 8838; `RTCIceCandidateInit`).
public struct ICECandidate: Hashable, Sendable {
    /// `candidate:…`; empty when no more will follow.
    public var candidate: String
    public var sdpMid: String
    public var sdpMLineIndex: Int
    /// The ICE generation it belongs to.
    public var usernameFragment: String?

    public init(_ candidate: String, sdpMid: String = "0", sdpMLineIndex: Int = 0, usernameFragment: String? = nil) {
        self.candidate = candidate
        self.sdpMid = sdpMid
        self.sdpMLineIndex = sdpMLineIndex
        self.usernameFragment = usernameFragment
    }
}

/// How far a connection is (`RTCPeerConnectionState`).
public enum ConnectionState: String, Hashable, Sendable {
    /// The peer's description is not known.
    case new
    /// Looking for a path, or shaking hands.
    case connecting
    /// Messages may pass.
    case connected
    /// The path is silent; it may come back by itself.
    case disconnected
    /// The path is lost: `PeerConnection.restartICE()` may bring another. Or the handshake has failed, then `closed` follows.
    case failed
    /// It is over.
    case closed

    init(_ state: PeerConnectionState) {
        switch state {
        case .new: self = .new
        case .connecting: self = .connecting
        case .connected: self = .connected
        case .disconnected: self = .disconnected
        case .failed: self = .failed
        case .closed: self = .closed
        }
    }
}

extension DataChannelsError {
    init(_ error: PeerConnectionError) {
        switch error {
        case .closed, .unknownChannel: self = .closed
        case .wrongKind, .unexpectedAnswer: self = .wrongDescription
        case .roleConflict: self = .invalidDescription("the peer wants the DTLS role that this side has")
        case .limitReached: self = .limitReached
        case .dtls(let error): self = .invalidDescription("DTLS: \(error)")
        case .dataChannel(.messageTooLarge(limit: let limit)): self = .messageTooLarge(limit: limit)
        case .dataChannel(let error): self = .cannotOpenChannel("\(error)")
        }
    }
}
