/// Why a session description cannot be used. Unknown lines are never a reason.
public enum SDPError: Error, Equatable, Sendable {
    /// It does not begin with `v=0`.
    case notSDP
    /// It is longer, or has more media sections, than `SDPLimits` allows.
    case tooLong
    /// There is no `m=application` section for data channels, or its port is 0: rejected.
    case noDataSection
    /// An attribute is missing that there must be, such as `ice-ufrag` or `fingerprint`.
    case missing(String)
    /// An attribute has a value that it must not have.
    case invalid(String)
}

/// How much of a description is read. Real ones have 500…8000 bytes.
public struct SDPLimits: Sendable {
    /// Bytes of UTF-8.
    public var bytes = 65_536
    /// Candidates that are kept; more are ignored. RFC 8445 §6.1.2.5 bounds the pairs at 100.
    public var candidates = 100
    /// Fingerprints that are kept; more are ignored.
    public var fingerprints = 16
    /// Media sections.
    public var sections = 64

    public init() {}
}
