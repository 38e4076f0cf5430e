import SwarmBase

/// What passed on a candidate pair of connectivity checks, both those that found it and those that keep it.
public struct ICEPairCounters: Hashable, Sendable {
    public var requestsSent = 0
    public var responsesReceived = 0
    public var requestsReceived = 0
    public var responsesSent = 0
    /// The sum of all round trips that were measured.
    public var totalRoundTripTime = Duration.zero

    public init() {}
}

/// How it stands with a candidate pair, for those who look into it (`RTCIceCandidatePairStats`).
public struct ICEPairStatus: Hashable, Sendable {
    /// RFC 8445 §6.1.2.6, without `frozen`.
    public enum State: String, Hashable, Sendable {
        case waiting = "waiting"
        case inProgress = "in-progress"
        case failed = "failed"
        case succeeded = "succeeded"
    }

    public var path: ICEPath
    /// Our candidate: the one that the peer sees us at, when a check has told; or one of the same base.
    public var localCandidate: Candidate?
    /// The peer's candidate; its foundation is only known when it was told.
    public var remoteKind: CandidateKind
    public var remotePriority: UInt32
    public var priority: UInt64
    public var state: State
    /// Whether data goes this way.
    public var isSelected: Bool
    /// Smoothed.
    public var roundTripTime: Duration?
    public var counters: ICEPairCounters
}

extension ICEAgent {
    /// The pairs of the newest generation, and of the one in use when that is an older one.
    public var pairStatus: [ICEPairStatus] {
        generations.reversed().flatMap { generation in
            generation.pairs.map { pair in
                ICEPairStatus(
                    path: pair.path, localCandidate: localCandidate(of: pair), remoteKind: pair.remoteKind,
                    remotePriority: pair.remotePriority, priority: pair.priority,
                    state: ICEPairStatus.State(pair.state),
                    isSelected: pair.path == sendPath && generation.selected == sendPath,
                    roundTripTime: pair.roundTrip, counters: pair.counters)
            }
        }
    }

    private func localCandidate(of pair: CandidatePair) -> Candidate? {
        if let relay = pair.path.relay { return localCandidates.first { $0.address == relay } }
        if let seen = pair.reflexiveAddress, let known = localCandidates.first(where: { $0.address == seen }) {
            return known
        }
        return localCandidates.first {
            $0.kind == .host && $0.address.address.isIPv6 == pair.path.remote.address.isIPv6
        }
    }
}

extension ICEPairStatus.State {
    init(_ state: CandidatePair.State) {
        switch state {
        case .waiting: self = .waiting
        case .inProgress: self = .inProgress
        case .succeeded: self = .succeeded
        case .failed: self = .failed
        }
    }
}
