/// Why something sealed or signed was not accepted. Counted by kind, never answered.
public enum Refusal: String, Error, CaseIterable, Sendable {
    /// Not the shape the protocol gives it.
    case malformed
    /// Sealed for somebody else, or with keys of an earlier run.
    case notForUs
    /// The seal or the signature does not verify.
    case forged
    /// Older, or further in the future, than `SwarmEngineConfiguration.freshness` allows.
    case stale
    /// Seen before.
    case replayed
    /// More than is forwarded for one member.
    case overLimit
}
