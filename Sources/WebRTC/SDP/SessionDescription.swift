public import DTLS
public import ICE
internal import SwarmBase

/// An offer or an answer for data channels and nothing else: what is read from and written to SDP
/// (RFC 8866, with RFC 8839 for ICE, RFC 8841 for SCTP, RFC 8842 for DTLS and RFC 9429 for the whole).
public struct SessionDescription: Equatable, Sendable {
    /// Which half of the exchange it is (RFC 3264).
    public enum Kind: String, Hashable, Sendable { case offer, answer }

    /// Who starts the DTLS handshake (RFC 8842 §5).
    public enum Setup: String, Hashable, Sendable { case actpass, active, passive }

    /// How the SCTP port is written.
    public enum SCTPForm: Hashable, Sendable {
        /// `UDP/DTLS/SCTP webrtc-datachannel` and `a=sctp-port` (RFC 8841).
        case sctpPort
        /// `DTLS/SCTP 5000` and `a=sctpmap`: the drafts before it, still sent by old applications.
        case sctpmap
    }

    /// A section for something else than data channels: refused, but its place in the order is kept (RFC 3264 §6).
    public struct OtherSection: Equatable, Sendable {
        /// Its place among all `m=` lines, from 0.
        public var index: Int
        /// `audio`, `video`, …
        public var media: String
        /// `UDP/TLS/RTP/SAVPF`, …
        public var transport: String
        /// The format list as it stood.
        public var formats: String
        public var mid: String?
    }

    public var kind: Kind
    /// The `sess-id` of `o=`, below 2^63; 0 when the peer wrote no number.
    public var sessionID: UInt64
    /// The `sess-version` of `o=`: one more with each new description.
    public var version: UInt64
    /// The media identification of the data section (RFC 9143 §7); any token.
    public var mid: String?
    /// Whether a BUNDLE group names the data section.
    public var isBundled: Bool
    public var credentials: ICECredentials
    /// Whether the agent never sends checks (RFC 8445 §2.5).
    public var isLite: Bool
    /// `trickle`, `ice2`, … in their order.
    public var iceOptions: [String]
    /// At least one; several are alternatives (RFC 8122 §5).
    public var fingerprints: [DTLSFingerprint]
    public var setup: Setup
    /// The port of SCTP inside DTLS.
    public var sctpPort: UInt16
    /// The largest message in bytes that the sender of the description takes; `Int.max` when it said "no limit".
    public var maxMessageSize: Int
    /// Whether the sender of the description takes datagrams that are larger than Ethernet's: nobody needs to.
    public var takesLargeDatagrams: Bool
    /// Only those that we can use: UDP, component 1, an address.
    public var candidates: [Candidate]
    /// Whether no candidate will follow.
    public var hasEndOfCandidates: Bool
    public var form: SCTPForm
    public var otherSections: [OtherSection]

    /// What a description without `a=max-message-size` means, in bytes (RFC 8841 §6).
    public static let defaultMaxMessageSize = 65_536

    /// A description with one section in today's form.
    public init(
        kind: Kind, sessionID: UInt64, version: UInt64, mid: String? = "0", isBundled: Bool = true,
        credentials: ICECredentials, isLite: Bool = false, iceOptions: [String] = ["trickle", "ice2"],
        fingerprints: [DTLSFingerprint], setup: Setup, sctpPort: UInt16 = 5000, maxMessageSize: Int = 262_144,
        takesLargeDatagrams: Bool = false, candidates: [Candidate] = [], hasEndOfCandidates: Bool = false,
        form: SCTPForm = .sctpPort, otherSections: [OtherSection] = []
    ) {
        self.kind = kind
        self.sessionID = sessionID
        self.version = version
        self.mid = mid
        self.isBundled = isBundled
        self.credentials = credentials
        self.isLite = isLite
        self.iceOptions = iceOptions
        self.fingerprints = fingerprints
        self.setup = setup
        self.sctpPort = sctpPort
        self.maxMessageSize = maxMessageSize
        self.takesLargeDatagrams = takesLargeDatagrams
        self.candidates = candidates
        self.hasEndOfCandidates = hasEndOfCandidates
        self.form = form
        self.otherSections = otherSections
    }
}
