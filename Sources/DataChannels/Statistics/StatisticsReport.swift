/// What is known of a connection: the dictionaries of the W3C's "Identifiers for WebRTC's Statistics API", with their
/// members' names. Times are in seconds, sizes in bytes; identifiers are good within one report.
public struct StatisticsReport: Hashable, Sendable {
    public var peerConnection: PeerConnectionStatistics
    public var transport: TransportStatistics
    public var candidatePairs: [CandidatePairStatistics]
    public var localCandidates: [CandidateStatistics]
    public var remoteCandidates: [CandidateStatistics]
    /// The channels that are open or opening.
    public var dataChannels: [DataChannelStatistics]
    /// Ours first, then the peer's.
    public var certificates: [CertificateStatistics]

    /// The pair that data goes by.
    public var selectedCandidatePair: CandidatePairStatistics? {
        candidatePairs.first { $0.id == transport.selectedCandidatePairId }
    }
}

/// `RTCPeerConnectionStats`.
public struct PeerConnectionStatistics: Hashable, Sendable {
    public var dataChannelsOpened: Int
    public var dataChannelsClosed: Int
}

/// `RTCTransportStats`: all that passed, connectivity checks included.
public struct TransportStatistics: Hashable, Sendable {
    public var id: String
    public var packetsSent: Int
    public var packetsReceived: Int
    public var bytesSent: Int
    public var bytesReceived: Int
    /// `controlling` or `controlled`.
    public var iceRole: String
    public var iceLocalUsernameFragment: String?
    /// `RTCIceTransportState`.
    public var iceState: String
    /// `RTCDtlsTransportState`.
    public var dtlsState: String
    /// `client`, `server` or `unknown`.
    public var dtlsRole: String
    public var selectedCandidatePairId: String?
    public var selectedCandidatePairChanges: Int
    public var localCertificateId: String
    public var remoteCertificateId: String?
}

/// `RTCIceCandidatePairStats`.
public struct CandidatePairStatistics: Hashable, Sendable {
    public var id: String
    public var transportId: String
    public var localCandidateId: String?
    public var remoteCandidateId: String
    /// `waiting`, `in-progress`, `failed` or `succeeded`.
    public var state: String
    public var nominated: Bool
    /// The latest round trips, smoothed; `nil` before there was one.
    public var currentRoundTripTime: Double?
    public var totalRoundTripTime: Double
    public var requestsSent: Int
    public var requestsReceived: Int
    public var responsesSent: Int
    public var responsesReceived: Int
}

/// `RTCIceCandidateStats`.
public struct CandidateStatistics: Hashable, Sendable {
    public var id: String
    public var transportId: String
    public var address: String
    public var port: Int
    public var `protocol`: String
    /// `host`, `srflx`, `prflx` or `relay`.
    public var candidateType: String
    public var priority: Int
    public var foundation: String?
    public var relatedAddress: String?
    public var relatedPort: Int?
}

/// `RTCDataChannelStats`. Messages and bytes count when the network, or a reader here, has been given them.
public struct DataChannelStatistics: Hashable, Sendable {
    public var id: String
    public var label: String
    public var `protocol`: String
    public var dataChannelIdentifier: Int?
    /// `RTCDataChannelState`.
    public var state: String
    public var messagesSent: Int
    public var bytesSent: Int
    public var messagesReceived: Int
    public var bytesReceived: Int
}

/// `RTCCertificateStats`, as far as a description tells it.
public struct CertificateStatistics: Hashable, Sendable {
    public var id: String
    public var fingerprint: String
    public var fingerprintAlgorithm: String
}
