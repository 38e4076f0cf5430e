public import JSON

/// What one frame from a stranger may hold. Real messages nest at most 6 deep.
public struct GunLimits: Sendable {
    /// The JSON of a frame: 32 deep, 4 MiB, 100,000 values.
    public var frame = JSONLimits(depth: 32, bytes: 4 << 20, elements: 100_000)
    /// The longest value, in bytes of its text.
    public var valueBytes = 64 << 10
    /// The longest soul or key, in bytes.
    public var nameBytes = 4 << 10
    /// The longest message id, in bytes.
    public var messageIDBytes = 128
    /// The most keys that one message may write.
    public var records = 10_000
    /// The most messages in one batch.
    public var messages = 10_000

    public init() {}
}
