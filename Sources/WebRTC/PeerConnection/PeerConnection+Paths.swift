internal import ICE
public import SwarmBase

extension PeerConnection {
    /// Which kind of way a datagram takes between us and this address of the peer.
    ///
    /// - Parameter relay: the relayed address of ours that it goes by; `nil` for the shared socket.
    public func path(to remote: TransportAddress, via relay: TransportAddress?) -> PeerConnectionPath {
        ice.isRelayed(remote, via: relay) ? .relayed(by: relay) : .direct
    }
}
