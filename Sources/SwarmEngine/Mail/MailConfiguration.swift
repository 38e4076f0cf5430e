/// What is left for members that are away, and what is kept for others (docs/protocol.md, "Mail").
public struct MailConfiguration: Sendable {
    /// Whether mail is left and taken at all.
    public var isUsed = true
    /// Whether mail of others is kept for them; only a member that keeps its state does.
    public var keepsForOthers = true
    /// How long no session must have been up before mail is left.
    public var absence: Duration = .seconds(3)
    /// How long an item waits for what follows.
    public var gathering: Duration = .milliseconds(200)
    /// How many bytes of mail may wait for one member.
    public var largestBacklog = 16 << 20
    /// How many one-time prekeys each other member is given.
    public var oneTimePrekeys = 32
    /// How long a prekey that may be used again is good for.
    public var lastResortLifetime: Duration = .seconds(7 * 86_400)
    /// How long mail is good for, and the private half of such a prekey is kept.
    public var lifetime: Duration = .seconds(14 * 86_400)
    /// How many members keep the mail of one.
    public var keepers = 3

    public init() {}
}
