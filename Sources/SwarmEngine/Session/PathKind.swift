/// One way to reach a member.
public enum PathKind: String, CaseIterable, Sendable {
    /// A WebRTC DataChannel over a host, server- or peer-reflexive candidate pair.
    case direct
    /// A WebRTC DataChannel through a TURN server of either side.
    case turn
    /// Sealed envelopes through a third member that both are connected with.
    case mesh
    /// Sealed envelopes through the GUN mesh.
    case relay
}

/// What takes a session's packets. ICE chooses between `PathKind.direct` and `turn`, so these two are one carrier.
enum Carrier: CaseIterable {
    /// The peer connection.
    case connection
    /// The GUN mesh.
    case relay
    /// A third member.
    case mesh
}
