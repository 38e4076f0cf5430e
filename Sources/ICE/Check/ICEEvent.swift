public import SwarmBase

/// How far an agent is (the states of `RTCIceTransport`, without `completed`).
public enum ICEState: String, Hashable, Sendable {
    /// The peer's credentials are not known.
    case new
    /// Looking for a pair that works.
    case checking
    /// A pair works.
    case connected
    /// The pair in use is silent; consent still holds, and all pairs are being checked.
    case disconnected
    /// No pair works and the agent has given up, or consent has expired: only a restart helps.
    case failed
    /// ``ICEAgent/close()`` was called.
    case closed
}

/// What an ``ICEAgent`` tells its owner.
public enum ICEEvent: Hashable, Sendable {
    /// The new value of ``ICEAgent/state``.
    case stateChanged(ICEState)
    /// ``ICEAgent/sendPath`` is now this path; with the pair's round trip time when it was measured.
    case selectedPairChanged(ICEPath, rtt: Duration?)
    /// Authenticated STUN came from this address, for the first time or for the first time in long: other traffic from
    /// there is the peer's too.
    case validatedRemote(TransportAddress)
}
