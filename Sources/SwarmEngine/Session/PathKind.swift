/// One way to reach a member.
public enum PathKind: String, CaseIterable, Sendable {
    /// A WebRTC DataChannel over a host, server- or peer-reflexive candidate pair.
    case direct
    /// Sealed envelopes through the GUN mesh.
    case relay
}
