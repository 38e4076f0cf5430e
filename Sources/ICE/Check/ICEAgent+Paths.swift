public import SwarmBase

extension ICEAgent {
    /// Whether a datagram from or to this address of the peer takes the way through a TURN server of either side.
    ///
    /// - Parameter relay: the relayed address of ours that it goes by; `nil` for the shared socket.
    public func isRelayed(_ remote: TransportAddress, via relay: TransportAddress?) -> Bool {
        relay != nil
            || generations.contains { $0.pairs.contains { $0.path.remote == remote && $0.remoteKind == .relayed } }
    }
}
